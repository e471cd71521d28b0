# SPDX-License-Identifier: MIT
"""A mariadbd of our own: its data directory, its socket in a scratch folder, its clients.

Only mariadbd gets an allocator preloaded; the clients run as they are.
"""
import os
import pwd
import re
import shutil
import subprocess

from .process import Failure
from .server import Server, client

DATABASE = 'sbtest'

# Program: Debian package.
NEEDED = {
    'mariadbd': 'mariadb-server-core',
    'mariadb-install-db': 'mariadb-server-core',
    'mariadb': 'mariadb-client-core',
    'sysbench': 'sysbench',
}


def find(program):
    """The program's path; servers often live in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def missing(needed):
    """What to install, as a text, or None when all programs of {program: package} are there."""
    packages = sorted({package for program, package in needed.items() if not find(program)})
    return f'not installed (Debian: apt-get install {" ".join(packages)})' if packages else None


def user():
    """The server must be told that it may run as root, where the bench does."""
    return pwd.getpwuid(os.geteuid()).pw_name


def install(data_dir, log_path):
    """Makes a data directory with the system tables; root needs no password on the socket."""
    with open(log_path, 'wb') as log:
        status = subprocess.run(
            [
                find('mariadb-install-db'),
                '--no-defaults',
                f'--datadir={data_dir}',
                '--auth-root-authentication-method=normal',
                '--skip-test-db',
                f'--user={user()}',
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        ).returncode
    if status != 0:
        with open(log_path, encoding='utf-8', errors='replace') as log:
            raise Failure(f'mariadb-install-db ended with status {status}: {log.read().strip()[-300:]}')


def start(folder, data_dir, allocator, options, **settings):
    """The Server, not yet started. `folder` has to have a short path: the name of a Unix socket has at
    most 107 bytes."""
    command = [
        find('mariadbd'),
        '--no-defaults',
        f'--datadir={data_dir}',
        f'--socket={folder}/s',
        f'--pid-file={folder}/pid',
        f'--user={user()}',
        '--skip-networking',
        '--skip-log-bin',
        *options,
    ]
    return Server(command, allocator.environment(), os.path.join(folder, 'log'), **settings)


def login(folder, program='mariadb'):
    """How each of MariaDB's own clients is called."""
    return [find(program), '--no-defaults', '-uroot', f'--socket={folder}/s']


def wait(server, folder, timeout_s=120.0):
    """Until the server answers."""
    ping = [*login(folder), '--execute=select 1']
    server.wait_until(
        lambda: subprocess.run(ping, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
        == 0,
        timeout_s,
    )


def query(folder, statement):
    """The answer as text: columns separated by tabs, without titles."""
    return client([*login(folder), '--batch', '--skip-column-names', f'--execute={statement}'], 120.0)[1]


def status_values(text):
    """{name in small letters: number} of the answer to SHOW GLOBAL STATUS."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition('\t')
        if value.strip().lstrip('-').isdigit():
            found[name.lower()] = int(value)
    return found


def status(folder, *names):
    """Some of the server's counters, which all must exist."""
    listed = ', '.join(f"'{name}'" for name in names)
    found = status_values(query(folder, f'show global status where variable_name in ({listed})'))
    absent = [name for name in names if name.lower() not in found]
    if absent:
        raise Failure(f'the server does not tell {", ".join(absent)}')
    return found


def sysbench(folder, script, **options):
    """The command of sysbench up to its last word, run or prepare; table_size=5 becomes --table-size=5."""
    return [
        find('sysbench'),
        script,
        '--db-driver=mysql',
        f'--mysql-socket={folder}/s',
        '--mysql-user=root',
        f'--mysql-db={DATABASE}',
        *[f'--{name.replace("_", "-")}={value}' for name, value in options.items()],
    ]


def parse_sysbench(text):
    """{'time_s', 'qps', 'p95_ms'} from the output of sysbench run."""
    time_s = re.search(r'total time:\s+([0-9.]+)s', text)
    qps = re.search(r'queries:\s+\d+\s+\(([0-9.]+) per sec', text)
    p95_ms = re.search(r'95th percentile:\s+([0-9.]+)', text)
    if not (time_s and qps and p95_ms):
        raise Failure('cannot read the output of sysbench')
    return {'time_s': float(time_s[1]), 'qps': float(qps[1]), 'p95_ms': float(p95_ms[1])}


def version_text(text):
    """MariaDB's version in the output of mariadbd --version."""
    held = re.search(r'Ver (\S+)', text)
    return held[1] if held else 'unknown'
