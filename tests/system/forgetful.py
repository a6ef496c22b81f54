#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/forgetful.py: a hop that takes one connection and crashes.

Promise: the kernel under it knows nothing of the connection afterwards; with its RST lost on the
         way, the peer does not know that.
"""
import socket
import struct
import sys


def main(address, port):
    with socket.create_server((address, int(port))) as server:
        print("listens", flush=True)
        connection, peer = server.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        print(f"forgot {peer[0]}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
