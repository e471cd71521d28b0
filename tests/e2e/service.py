# SPDX-License-Identifier: MIT
"""The ways in which an operator puts a MariaDB server on the library: mysqld_safe's malloc-lib, a systemd drop-in."""

import glob
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "preload"))
# pylint: disable=wrong-import-position
from mariadb_server import Server  # noqa: E402
from real import process_tree, run_test  # noqa: E402

MALLOC_LIB = "malloc-lib in [mysqld_safe] puts the server on the library"
DROP_IN = "systemd accepts the drop-in"
UNIT = "[Unit]\nDescription=a server\n[Service]\nType=simple\nExecStart=/bin/true\n"


def find_server(parent_pid):
    names = {name: pid for pid, name in process_tree(parent_pid).items()}
    return names.get("mariadbd") or names.get("mysqld")


def malloc_lib(test, user):
    if not shutil.which("mysqld_safe"):
        test.check_part_skipped(MALLOC_LIB, "mysqld_safe is not installed (package mariadb-server, which is a service)")
        return
    server = Server(test, user, "safe")
    server.create()
    settings = os.path.join(test.folder, "safe.cnf")
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f"[mysqld_safe]\nmalloc-lib={test.library.path}\nskip-kill-mysqld\nskip-syslog\n")
    # mysqld_safe writes its log itself; its own messages go to the one that this script opened.
    log = os.path.join(test.folder, "mysqld.log")
    safe = test.start(["mysqld_safe", f"--defaults-file={settings}", "--no-auto-restart", f"--log-error={log}",
                       *server.options()], False, server.log, user=user)
    try:
        # With no-auto-restart the script may end once the server is up; the pid file then names the server.
        deadline = time.monotonic() + 45
        while server.ask("SELECT 1") != "1" and time.monotonic() < deadline:
            time.sleep(0.1)
        pid = find_server(safe.pid) or int(read(server.pid_file) or 0)
        counter = test.library.served(pid)
        test.check(counter > 0, f"{MALLOC_LIB} (counter {counter})", read(log)[-1500:])
    finally:
        server.ask("SHUTDOWN")
        test.stop(safe)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def drop_ins(test):
    """The drop-ins that the project ships, or else the one line that its manual shows."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    shipped = glob.glob(os.path.join(root, "packaging", "**", "*.service.d", "*.conf"), recursive=True)
    if shipped:
        return {os.path.basename(path): read(path) + "\n" for path in shipped}
    return {"ebb.conf": f"[Service]\nEnvironment=LD_PRELOAD={test.library.path}\n"}


def verify(folder, unit):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--generators=no", unit], capture_output=True,
                          text=True, check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": folder + ":"})
    return [line for line in done.stderr.splitlines() if folder in line]


def systemd_drop_in(test):
    if not shutil.which("systemd-analyze"):
        test.check_part_skipped(DROP_IN, "systemd-analyze is not installed (package systemd)")
        return
    for name, text in drop_ins(test).items():
        folder = os.path.join(test.folder, "units-" + name)
        os.makedirs(os.path.join(folder, "ebb-test.service.d"))
        for path, content in (("ebb-test.service", UNIT), (f"ebb-test.service.d/{name}", text)):
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                file.write(content)
        test.check_equal(verify(folder, "ebb-test.service"), [], f"{DROP_IN} {name}")
        # The same check must see a fault, or it would prove nothing.
        with open(os.path.join(folder, "ebb-test.service.d", name), "a", encoding="utf-8") as file:
            file.write("[Service]\nEnvironmnet=LD_PRELOAD=x\n")
        test.check(verify(folder, "ebb-test.service"), "and it does see a misspelt line in it")


def body(test):
    systemd_drop_in(test)
    for program, package in (("mariadbd", "mariadb-server-core"), ("mariadb", "mariadb-client-core")):
        test.need(program, package)
    malloc_lib(test, test.user_for("mysql", "nobody"))


run_test(body)
