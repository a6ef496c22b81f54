#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/flood.py: SYNs whose answers are never answered.

Promise: each of COUNT SYNs comes from a source port of its own of SOURCE.
Trap:    the kernel does not know these connections: nftables must drop the RSTs that it sends.
"""
import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def syn(source, target, port):
    """RFC 9293 section 3.1, with an MSS option."""
    head = struct.pack("!HHIIBBHHHBBH", port, 25, port * 7919, 0, 6 << 4, 0x02, 65535, 0, 0,
                       2, 4, 1460)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 6, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def main(source, target, count):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.bind((source, 0))
        for number in range(count):
            raw.sendto(syn(source, target, 1024 + number), (target, 0))
    print(f"sent {count}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
