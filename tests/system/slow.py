#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/slow.py: a sender that begins a message and then gives a byte now and then.

Promise: prints "drips" when the first bytes are acknowledged, and the reply at its end.
Trap:    it sends a byte every half second, so a timeout for silence never ends it.
"""
import select
import socket
import sys
import time

from rawsmtp import Raw


def acknowledged(sock):
    """Whether the peer has acknowledged all that was sent: SIOCOUTQ is 0."""
    import array
    import fcntl
    import termios
    left = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, left)
    return left[0] == 0


def main(target, recipient, size):
    raw = Raw(target)
    raw.reply()
    for line in ("EHLO slow.example", "MAIL FROM:<slow@client.example>", f"RCPT TO:<{recipient}>",
                 "DATA"):
        raw.send(line + "\r\n")
        reply = raw.reply()
    if not reply.startswith("354"):
        print(f"ended: {reply}", flush=True)
        return
    raw.send("Subject: slow\r\n\r\n")
    raw.fill(size)
    while not acknowledged(raw.socket):
        time.sleep(0.01)
    print("drips", flush=True)
    begin = time.monotonic()
    while not select.select([raw.socket], [], [], 0.5)[0]:
        try:
            raw.send("x")
        except OSError:
            break
    print(f"ended after {time.monotonic() - begin:.1f} s: {raw.reply()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
