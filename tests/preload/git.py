# SPDX-License-Identifier: MIT
"""git under the library makes the same commits of a generated history, and gc leaves the same objects."""

import os
import random
import shutil

from real import run_test

COMMITS = 40
FILES = 150
ENVIRONMENT = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "1700000000 +0000",
               "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@example.org",
               "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER": "cat"}
# The history is written by one shell script, so that git runs some hundred times in one watched tree.
SCRIPT = r"""
set -eu
git init -q -b main .
git config gc.auto 0
i=0
while [ -d "../changes/$i" ]; do
    cp -r "../changes/$i/." .
    git add -A
    git commit -q -m "change $i"
    if [ $((i % 10)) -eq 5 ]; then
        git checkout -q -b "side$i" HEAD~3
        echo "side $i" >"side$i.txt"
        git add -A
        git commit -q -m "side $i"
        git checkout -q main
        git merge -q --no-edit "side$i"
    fi
    i=$((i + 1))
done
git gc -q --prune=now --aggressive
git fsck --full --strict
git rev-parse HEAD
git log --all --graph --stat | sha256sum
git log -p | sha256sum
git cat-file --batch-all-objects --batch-check | sha256sum
git blame file0.txt | sha256sum
git grep -n -c 'line 1[0-9]' | sha256sum
git status --porcelain
"""


def write_changes(folder, seed):
    draw = random.Random(seed)
    contents = {f"file{i}.txt": [f"line {n} {draw.getrandbits(60)}" for n in range(draw.randint(20, 400))]
                for i in range(FILES)}
    for commit in range(COMMITS):
        os.makedirs(os.path.join(folder, str(commit)))
        names = contents if commit == 0 else ["file0.txt"] + draw.sample(sorted(contents), 20)
        for name in names:
            lines = contents[name]
            for _ in range(draw.randint(1, 8)):
                lines[draw.randrange(len(lines))] = f"line {draw.randrange(1000)} {draw.getrandbits(60)}"
            with open(os.path.join(folder, str(commit), name), "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def body(test):
    test.need("git", "git")
    write_changes(os.path.join(test.folder, "changes"), test.seed)
    outcomes = []
    for preload in (False, True):
        repository = os.path.join(test.folder, "repository")
        os.mkdir(repository)
        outcomes.append(test.run(["sh", "-c", SCRIPT], preload, cwd=repository, env=ENVIRONMENT))
        test.check(outcomes[-1].status == 0, f"git succeeds {'with' if preload else 'without'} the library",
                   outcomes[-1].stderr[-2000:].decode(errors="replace"))
        shutil.rmtree(repository)
    plain, preloaded = outcomes
    test.check(plain.stdout.count(b"\n") == 6, "six lines of results", plain.stdout)
    test.check_equal(plain.stdout, preloaded.stdout, "equal commits, logs, objects, blame and grep")
    test.check_served(preloaded.served, "git")


run_test(body)
