#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_loss.py: 5 % of the packets are lost, both ways, on both sides.

Promise: the same mail arrives, whole and once. Lost packets only cost time.
"""
import harness
from lab import DOMAINS


def test(lab, check):
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()
    lab.loss_set(lab.options.percent)
    sent = lab.send("lossy", "--count", str(lab.options.count), "--connections", "16",
                    "--size-max", "200000", "--timeout", "60", "--deadline", "120")
    check(sent["accepted"] == lab.options.count, f"all answered 250 in {sent['seconds']} s",
          str(sent))
    sent = lab.send("lossy-large", "--count", "2", "--connections", "2", "--size-min", "2000000",
                    "--size-max", "2000000", "--rcpt", "big@" + DOMAINS[0], "--timeout", "120")
    check(sent["accepted"] == 2, f"2 MB each answered 250 in {sent['seconds']} s", str(sent))
    check(harness.settle(lab, 120), "nothing waits, with the loss still on", str(lab.totals()))
    lab.loss_set(0)
    check(lab.cli_json("status")["counters"]["tcp_retransmits"] > 0, "segments were sent "
          "again: the loss was real")
    # A lost connection at the dot may double a message towards the hop; it must not be the rule.
    totals = harness.account_check(lab, check, duplicates_allowed=True)
    check(totals["duplicates"] <= totals["accepted"] // 50, "duplicates are rare",
          str(totals["duplicates"]))


def options(parser):
    parser.add_argument("--percent", type=int, default=5)
    parser.add_argument("--count", type=int, default=200)


if __name__ == "__main__":
    harness.main("loss", test, options)
