#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_kill.py: SIGKILL, again and again, of each daemon and of both, under load.

Promise: whatever was answered 250 arrives; the sender repeats the rest. The hop gets a message
         twice only when a kill came between its dot and the durable outcome.
Trap:    one hop takes a second to answer the dot, so that some kills come at that time.
"""
import collections
import itertools
import signal
import time

import harness


IN_FLIGHT = 40                 # the hops' `connections` in the example configuration


def kills(lab, check, seconds):
    """A daemon each second; then both: returns how often each died, all of which came back."""
    until = time.monotonic() + seconds
    count = collections.Counter()
    for names in itertools.cycle((("dataplane",), ("control",), ("dataplane", "control"))):
        if time.monotonic() > until:
            return count
        time.sleep(1)
        for name in names:
            if not lab.processes[name].is_alive():
                check(False, f"{name} lived until its kill", lab.processes[name].output()[-800:])
            lab.kill(name, signal.SIGKILL)
            count[name] += 1
        for name in names:
            lab.daemon_start(name)


def deliveries_repeated(found):
    """A message's recipients of one domain are one delivery."""
    more = collections.Counter()
    for (ident, rcpt), count in found.arrived.items():
        key = ident, rcpt.rpartition("@")[2]
        more[key] = max(more[key], count - 1)
    return sum(more.values())


def test(lab, check):
    seconds = lab.options.minutes * 60 if lab.options.minutes else 40
    lab.sink_start("staff-store")
    # A second before each answer to the dot: kills fall into deliveries that the hop has taken.
    lab.sink_start("student-store", "-W", ".:1")
    lab.bounce_sinks_start()
    lab.daemons_start()
    count = int(seconds * 20)
    sender = lab.send_start("killed", "--count", str(count), "--connections", "6", "--pause",
                            "0.2", "--size-max", "300000", "--timeout", "15", "--deadline",
                            str(seconds + 120))
    done = kills(lab, check, seconds)
    check(done["dataplane"] > 0 and done["control"] > 0,
          f"{sum(done.values())} kills; every daemon came back")
    sent = lab.send_wait(sender, seconds + 200)
    check(sent["accepted"] == count, f"{count} messages answered 250 in the end; "
          f"{sent['states'].get('unanswered', 0)} attempts fell to a kill", str(sent))
    check(sent["states"].get("refused", 0) == 0, "no 5xx: nothing inside is visible outside")
    lab.cli("retry", "all", "--reason", "end of test", "--yes", check=False)
    check(harness.settle(lab, 180), "nothing waits, nothing is frozen", str(lab.totals()))
    harness.account_check(lab, check, duplicates_allowed=True)
    repeated = deliveries_repeated(harness.account(lab)[0])
    bound = IN_FLIGHT * done["dataplane"]
    check(repeated <= bound, f"{repeated} deliveries repeated, at most {bound}: what could be "
          f"under way at {done['dataplane']} deaths of the dataplane")
    for name in ("dataplane", "control"):
        lab.kill(name, signal.SIGTERM)
    verified = lab.cli("spool", "verify", "--dir", lab.path("spool"), check=False)
    check(verified.returncode == 0, "holdfast spool verify finds the files sound",
          verified.stdout[-500:])
    listed = lab.cli("spool", "list", "--dir", lab.path("spool"), check=False)
    check(listed.returncode == 0 and "\n0 messages;" in listed.stdout,
          "holdfast spool list shows nothing that waits, from the files alone",
          listed.stdout[-500:])


def options(parser):
    parser.add_argument("--minutes", type=float, default=0, help="instead of 40 seconds")


if __name__ == "__main__":
    harness.main("kill", test, options)
