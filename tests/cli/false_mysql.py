# SPDX-License-Identifier: MIT
"""Calls itself mysqld and speaks MySQL's protocol as far as the tests of the books need it: false_mysql.py SOCKET MODE

It answers like MySQL 8.0 of its manual, which no Debian package gives us, or it does what no server should. What a client
says to it is printed.
"""

import ctypes
import os
import socket
import struct
import sys

VERSIONS = {"8.0.36": "8.0.36", "8.0.30": "8.0.30", "5.6": "5.6.51-log"}
# PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, TRANSACTIONS, LONG_PASSWORD, LOCAL_FILES
CAPABILITIES = 0x200 | 0x8000 | 0x80000 | 0x2000 | 0x1 | 0x80
OK = b"\0\0\0\2\0\0\0"
END = b"\xfe\0\0\2\0"

VARIABLES = {"version": "8.0.36", "version_comment": "MySQL Community Server - GPL", "performance_schema": "ON",
             "innodb_buffer_pool_size": "1073741824", "innodb_buffer_pool_instances": "8", "innodb_page_size": "16384",
             "innodb_buffer_pool_chunk_size": "134217728",
             "temptable_max_ram": "1073741824", "large_pages": "OFF"}
STATUS = {"Innodb_buffer_pool_bytes_data": "17678336", "Innodb_buffer_pool_pages_misc": "18446744073709551615",
          "Threads_connected": "3", "Uptime": "77"}
EVENTS = [("memory/innodb/buf_buf_pool", "1121560064", "1121560064", "8"),
          ("memory/innodb/memory", "-4096", "20480", "-2"),
          ("memory/sql/TABLE", "652441", "669269", "457")]
THREADS = [("0", "5856", "1270430", "1307317", "thread/sql/main", None),
           ("8", "5901", "98304", "2097152", "app", "Sleep"), ("9", "5902", "65536", "65536", "ebb", "Query")]

OPENED = []
OPEN = [("d", "t1", "1", "0"), ("d", "t2", "2", "0")]
WITHDRAWING = "Withdrawing blocks to be shrunken."
# What is left to say of a resize, last first; the first stays.
STATES = ["Completed resizing buffer pool at 240101 10:00:00."]


class Peer:
    def __init__(self, connection):
        self.connection, self.sequence = connection, 0

    def send(self, payload):
        self.connection.sendall(struct.pack("<I", len(payload))[:3] + bytes([self.sequence & 255]) + payload)
        self.sequence += 1

    def receive(self):
        head = self.exactly(4)
        self.sequence = head[3] + 1
        return self.exactly(int.from_bytes(head[:3], "little"))

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def refuse(self, code, text):
        self.send(b"\xff" + struct.pack("<H", code) + b"#42000" + text.encode())

    def columns(self, count):
        self.send(bytes([count]))
        for at in range(count):
            name = b"c%d" % at
            self.send(b"".join(bytes([len(word)]) + word for word in (b"def", b"", b"", b"", name, name)) +
                      b"\x0c\x2d\0\0\1\0\0\xfd\0\0\0\0\0")
        self.send(END)

    def rows(self, rows):
        self.rows_of(len(rows[0]), rows)

    def rows_of(self, count, rows):
        self.columns(count)
        for row in rows:
            self.send(b"".join(b"\xfb" if cell is None else bytes([len(cell)]) + cell.encode() for cell in row))
        self.send(END)

    def rows_for_ever(self, count):
        self.columns(count)
        row = b"".join(bytes([len(cell)]) + cell for cell in (b"%010d" % 7,) * count)
        many = b"".join(struct.pack("<I", len(row))[:3] + bytes([n & 255]) + row
                        for n in range(self.sequence, self.sequence + 256))
        while True:
            self.connection.sendall(many)


def greet(peer, mode):
    version = VERSIONS.get(mode, "8.0.36").encode()
    peer.send(b"\x0a" + version + b"\0" + struct.pack("<I", 9) + b"12345678\0" +
              struct.pack("<HBHHB", CAPABILITIES & 0xffff, 45, 2, CAPABILITIES >> 16, 21) + bytes(10) +
              b"123456789012\0mysql_native_password\0")
    peer.receive()
    if mode.startswith("switch:"):
        peer.send(b"\xfe" + mode[7:].encode() + b"\0Who are you?\0")
        print("answer", peer.receive(), flush=True)
    peer.send(OK)


def change(peer, mode, text):
    """What is said by who wants to change something; False: it is something else."""
    name = text.split("'")[1] if " LIKE '" in text else None
    if "USER_PRIVILEGES" in text:
        peer.rows([("SYSTEM_VARIABLES_ADMIN",), ("FLUSH_TABLES",)])
    elif "CURRENT_ROLE" in text:
        peer.rows([("NONE",)])
    elif "CONNECTION_ID" in text:
        peer.rows([("9",)])
    elif text.startswith("SHOW OPEN TABLES"):
        OPENED.append(text)
        peer.rows_of(4, OPEN if mode == "in use" or (mode == "in use later" and len(OPENED) > 1) else [])
    elif name == "innodb_buffer_pool_size":
        peer.rows([(name, VARIABLES[name])])
    elif name == "Innodb_buffer_pool_resize_status":
        peer.rows([(name, STATES.pop() if len(STATES) > 1 else STATES[0])])
    elif name == "Open_tables":
        peer.rows([(name, "100")])
    elif text.startswith("SET GLOBAL innodb_buffer_pool_size = "):
        VARIABLES["innodb_buffer_pool_size"] = text.split(" = ")[1]
        STATES[:] = [WITHDRAWING] if mode == "resize for ever" else [*STATES, *[WITHDRAWING] * 6]
        peer.send(OK)
    elif text == "FLUSH LOCAL TABLES":
        peer.send(OK)
    else:
        return False
    return True


def answer(peer, mode, text):
    if mode == "file" and text.startswith("SHOW"):
        peer.send(b"\xfb/etc/passwd")
        print("answer", peer.receive(), flush=True)
        peer.send(OK)
    elif mode == "5.6" and "max_execution_time" in text:
        peer.refuse(1193, "Unknown system variable 'max_execution_time'")
    elif mode == "5.6" and "EVENT_NAME" in text:
        peer.refuse(1146, "Table 'performance_schema.memory_summary_global_by_event_name' doesn't exist")
    elif change(peer, mode, text):
        pass
    elif text.startswith("SET"):
        peer.send(OK)
    elif mode == "endless":
        peer.rows_for_ever(4 if "EVENT_NAME" in text else 2)
    elif mode == "wide":
        peer.rows([("a",) * 50])
    elif text.startswith("SHOW GLOBAL VARIABLES"):
        peer.rows(list(VARIABLES.items()))
    elif text.startswith("SHOW GLOBAL STATUS"):
        peer.rows([*STATUS.items(), ("Innodb_buffer_pool_resize_status", STATES[-1])])
    elif text.startswith("SHOW ENGINE"):
        peer.rows([("performance_schema", "performance_schema.memory", "213345678")])
    elif "setup_instruments" in text:
        peer.rows([("490", "489")])
    elif "EVENT_NAME" in text:
        peer.rows(EVENTS)
    elif mode in ("8.0.30", "5.6"):
        peer.refuse(1054, "Unknown column 'TOTAL_MEMORY' in 'field list'")
    else:
        peer.rows(THREADS)


def serve(connection, mode):
    peer = Peer(connection)
    greet(peer, mode)
    while (said := peer.receive())[:1] == b"\3":
        print("said", said[1:].decode(), flush=True)
        answer(peer, mode, said[1:].decode())


def main():
    path, mode = sys.argv[1:]
    if mode.startswith(("resiz", "in use")):
        VARIABLES["innodb_buffer_pool_instances"] = "2"
    if mode == "resizing":
        STATES[:] = [WITHDRAWING]
    ctypes.CDLL(None).prctl(15, b"mysqld", 0, 0, 0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(4)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        try:
            serve(connection, mode)
        except (ConnectionError, struct.error) as error:
            print("end", type(error).__name__, flush=True)
        connection.close()


main()
