#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_forget.py: a hop crashes while it owes us its greeting, and nothing tells us.

Promise: its mail goes on soon after the hop is back, not only after the five minutes of the command
         timeout: a keep-alive notices the crash.
"""
import os
import sys
import time

import harness
from lab import DOMAINS, HOP, SINK_PORTS, wait_until

STUDENTS = DOMAINS[1]
SOON = 60


def test(lab, check):
    port = SINK_PORTS["student-store"]
    lab.sink_start("staff-store")
    lab.bounce_sinks_start()
    for rule in ("add table inet crash",
                 "add chain inet crash out { type filter hook output priority 0 ; }",
                 f"add rule inet crash out tcp sport {port} tcp flags & rst == rst drop"):
        lab.command("inside", "nft", rule)
    crashed = lab.start("forgetful", "inside", sys.executable,
                        os.path.join(harness.HERE, "forgetful.py"), HOP, str(port))
    crashed.wait_for(lambda: "listens" in crashed.output(), "listens", 20)
    lab.daemons_start()
    sent = lab.send("forgotten", "--count", "1", "--many", "0", "--domain", STUDENTS)
    check(sent["accepted"] == 1, "answered 250", str(sent))
    check(wait_until(lambda: "forgot" in crashed.output(), 20), "the hop took the connection and "
          "crashed")
    crashed.popen.wait(10)
    lab.sink_start("student-store")
    lab.command("inside", "nft", "delete table inet crash")
    check(lab.totals()["in_flight"] == 1, "the relay waits for its greeting", str(lab.totals()))
    begin = time.monotonic()
    check(harness.settle(lab, SOON), f"delivered within {SOON} s of the hop's return",
          str(lab.totals()))
    print(f"  it took {time.monotonic() - begin:.0f} s")
    check(lab.cli_json("status")["counters"]["tcp_resets_received"] > 0,
          "the hop said by a reset that it knows of no connection")
    harness.account_check(lab, check)


if __name__ == "__main__":
    harness.main("forget", test)
