#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_space.py: the spool's volume is full: a tmpfs smaller than the configured spool.

Promise: senders hear 452, nothing that was answered 250 is lost, both daemons start again on the
         full volume, and once the hop is back the spool empties and takes mail.
"""
import os
import signal

import harness
from lab import RELAY_USER, command, wait_until

VOLUME_MIB = 180
REPLACE = ((r"(?m)^(\s+)segment = \"[^\"]*\"", r'\1segment = "8MiB"'),
           (r"segments_max = \d+", "segments_max = 64"),
           (r"state_segment = \"[^\"]*\"", 'state_segment = "1MiB"'))


def fill(lab, check):
    sent = lab.send("fill", "--count", "2000", "--many", "0", "--size-min", "80000", "--size-max",
                    "80000", "--deadline", "10", "--connections", "8")
    check(sent["accepted"] > 500, "mail was accepted while there was room", str(sent))
    check(sent["states"].get("deferred", 0) > 0, "and then 452", str(sent))
    check(sent["states"].get("refused", 0) == 0, "nobody heard a 5xx", str(sent))
    status = lab.cli("status", check=False)
    check(status.returncode != 0 and "full" in status.stdout, "holdfast status says so",
          status.stdout)
    stat = os.statvfs(lab.path("spool"))
    free_mib = stat.f_bavail * stat.f_frsize >> 20
    check(free_mib > 60, "a reserve is left on the volume", f"{free_mib} MiB")


def test(lab, check):
    def is_said_full():
        status = lab.cli("status", check=False)
        return status.returncode == 2 and "the spool is full" in status.stdout

    lab.bounce_sinks_start()
    options = f"size={VOLUME_MIB}m,mode=0700,uid={RELAY_USER},gid={RELAY_USER}"
    command("mount", "-t", "tmpfs", "-o", options, "none", lab.path("spool"))
    lab.daemons_start()
    fill(lab, check)
    for name in ("dataplane", "control"):
        lab.kill(name, signal.SIGKILL)
    lab.daemons_start()
    check(lab.totals()["waiting"] > 500, "both started again, and all of it is there",
          str(lab.totals()))
    check(wait_until(is_said_full, 20), "and status says again that the spool is full",
          lab.cli("status", check=False).stdout)
    lab.sinks_start()
    check(harness.settle(lab), "the hop is back: everything went out", str(lab.totals()))
    check(wait_until(lambda: lab.cli("status", check=False).returncode == 0, 30),
          "holdfast status: OK", lab.cli("status", check=False).stdout)
    sent = lab.send("after", "--count", "50", "--many", "0", "--size-max", "80000")
    check(sent["states"] == {"accepted": 50}, "the next mail is accepted at once", str(sent))
    check(harness.settle(lab), "and goes out", str(lab.totals()))
    harness.account_check(lab, check, duplicates_allowed=True)


if __name__ == "__main__":
    harness.main("space", test, replace=REPLACE)
