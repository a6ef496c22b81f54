# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/rawsmtp.py: SMTP by hand, for what no library sends: BDAT, bare LF, many pieces.
As a script: rawsmtp.py HOST:PORT < JSON list of steps; prints the replies as JSON.

Promise: bytes go out as given, in the pieces given.
Trap:    it runs inside a namespace as a process of its own; steps and replies travel as JSON with
         latin-1 strings, one character a byte.

A step is ["send", text], ["reply"] (waits for one, multi-line), ["replies", seconds] (all that come
until nothing comes for that long), ["sleep", seconds] or ["fill", bytes] (that many body bytes in
lines of 72).
"""
import json
import re
import socket
import sys
import time


class Raw:
    def __init__(self, target, timeout=60):
        host, port = target.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.timeout = timeout

    def send(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def reply(self):
        """One reply, or "" when the peer has closed."""
        until = time.monotonic() + self.timeout
        while True:
            match = re.match(rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n", self.buffer)
            if match:
                self.buffer = self.buffer[match.end():]
                return match.group(0).decode("latin-1").strip()
            if time.monotonic() > until:
                return "timeout"
            try:
                more = self.socket.recv(65536)
            except OSError:
                more = b""
            if not more:
                return ""
            self.buffer += more

    def replies(self, seconds):
        """All replies, until nothing comes for that long."""
        self.socket.settimeout(seconds)
        try:
            while True:
                more = self.socket.recv(65536)
                if not more:
                    break
                self.buffer += more
        except OSError:
            pass
        self.socket.settimeout(self.timeout)
        lines, self.buffer = self.buffer.decode("latin-1").splitlines(), b""
        return [line for line in lines if line[3:4] != "-"]

    def fill(self, size):
        line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567\r\n"
        block = line * 1000
        while size >= len(block):
            self.socket.sendall(block)
            size -= len(block)
        self.socket.sendall(line * (size // len(line)))


def main():
    raw = Raw(sys.argv[1])
    out = []
    for step in json.load(sys.stdin):
        try:
            if step[0] == "send":
                raw.send(step[1])
            elif step[0] == "reply":
                out.append(raw.reply())
            elif step[0] == "replies":
                out.extend(raw.replies(step[1]))
            elif step[0] == "sleep":
                time.sleep(step[1])
            elif step[0] == "fill":
                raw.fill(step[1])
            else:
                raise ValueError(step)
        except OSError as error:
            out.append(f"closed: {error}")
            break
    print(json.dumps(out))


if __name__ == "__main__":
    main()
