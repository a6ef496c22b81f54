#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_smuggle.py: SMTP smuggling: no end-of-data but CR LF dot CR LF ends a message.

Promise: with every false terminator, a second message hidden in the first one's body never
         becomes a message: neither here nor, passed on, at the next hop (RFC 5321 section 2.3.8).
"""
import os

import harness
from compare import arrivals_read
from lab import DOMAINS

TERMINATORS = {
    "LF . LF": "\n.\n", "LF . CRLF": "\n.\r\n", "CRLF . LF": "\r\n.\n", "CR . CR": "\r.\r",
    "CR . CRLF": "\r.\r\n", "CRLF . CR": "\r\n.\r", "CR . LF": "\r.\n", "LF . CR": "\n.\r",
    "CRLF . CR CRLF": "\r\n.\r\r\n", "CRLF CR . CRLF": "\r\n\r.\r\n", "NUL": "\r\n\0.\r\n",
    "CRLF . NUL CRLF": "\r\n.\0\r\n",
}


def test(lab, check):
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()
    accepted = 0
    for number, (name, terminator) in enumerate(TERMINATORS.items()):
        hidden = (f"MAIL FROM:<forged@client.example>\r\nRCPT TO:<hidden{number}@{DOMAINS[0]}>\r\n"
                  f"DATA\r\nSubject: hidden {number}\r\n\r\nsmuggled\r\n.\r\n")
        replies = lab.raw([
            ["reply"], ["send", "EHLO client.example\r\n"], ["reply"],
            ["send", "MAIL FROM:<real@client.example>\r\n"], ["reply"],
            ["send", f"RCPT TO:<outer{number}@{DOMAINS[0]}>\r\n"], ["reply"],
            ["send", "DATA\r\n"], ["reply"],
            ["send", f"Subject: outer {number}\r\n\r\nbody{terminator}{hidden}"],
            ["replies", 1.0]])
        after = replies[5:]
        good = sum(reply.startswith("250") for reply in after)
        accepted += good
        check(good <= 1 and not any(reply.startswith("354") for reply in after),
              f"{name}: at most one message, no second DATA", str(after))
    check(harness.settle(lab), "nothing waits", str(lab.totals()))
    arrivals = list(arrivals_read(lab.sink_directories()))
    check(len(arrivals) == accepted, f"{accepted} accepted, as many arrive at the hop",
          str(len(arrivals)))
    check(all(arrival.sender == "real@client.example" for arrival in arrivals),
          "no forged sender at the hop")
    check(all(rcpt.startswith("outer") for arrival in arrivals for rcpt in arrival.rcpts),
          "no hidden recipient at the hop")
    check(not any(os.listdir(directory) for directory in lab.bounce_directories()),
          "nothing bounced")


if __name__ == "__main__":
    harness.main("smuggle", test)
