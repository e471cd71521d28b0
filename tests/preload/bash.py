# SPDX-License-Identifier: MIT
"""bash under the library: arrays, strings, subshells, pipelines and functions give the same output."""

from real import run_test

SCRIPT = r"""
set -euo pipefail
x=SEED
next() { x=$(((x * 1103515245 + 12345) & 0x7fffffff)); }
declare -A count
declare -a list
for ((i = 0; i < 20000; i++)); do
    next
    key=key$((x % 3000))
    count[$key]=$((${count[$key]:-0} + 1))
    list+=("$key:$x")
done
for key in "${!count[@]}"; do echo "$key ${count[$key]}"; done | sort | md5sum
text=
for ((i = 0; i < 2000; i++)); do next; text+="$x "; done
echo "${#text} ${text//1/one}" | md5sum
printf '%s\n' "${list[@]}" | sort -t: -k2n |
    awk -F: '{ s[$1] += $2 } END { for (k in s) print k, s[k] }' | sort | md5sum
fold() { local depth=$1; if ((depth > 0)); then echo "$(fold $((depth - 1)))x"; fi; }
fold 30
for ((i = 0; i < 60; i++)); do (next; echo $((x % 100))) & done | sort -n | tr '\n' ' ' | md5sum
wait
unset 'list[5]'
list=("${list[@]}")
echo "${#list[@]} ${list[100]} ${list[-1]}"
"""


def body(test):
    bash = test.need("bash", "bash")
    script = SCRIPT.replace("SEED", str(test.seed))
    plain, preloaded = test.both(lambda _: [bash, "-c", script], "bash")
    test.check(plain.stdout.count(b"\n") == 6, "the script printed all of its lines", plain.stdout)
    test.check_equal(plain.stdout, preloaded.stdout, "equal output")
    test.check_served(preloaded.served, "bash")


run_test(body)
