# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/harness.py: runs a system test: makes its lab, counts its checks, ends it.

Promise: a test prints its checks as it goes and closes with one line, PASS or FAIL, and the exit
         status that says the same; its lab is gone afterwards.
Trap:    checks go on after a failure, so that one run tells all that is wrong; exceptions end it.
"""
import argparse
import os
import signal
import sys
import time
import traceback

from compare import Account, line
from lab import HERE, HOUSE, Lab, wait_until

__all__ = ["HERE", "HOUSE", "Check", "account", "account_check", "main", "settle"]


class Check:
    """check(condition, sentence): counts, prints, and returns the condition."""

    def __init__(self, begin):
        self.begin = begin
        self.passed = 0
        self.failed = []

    def __call__(self, condition, sentence, detail=""):
        if condition:
            self.passed += 1
            print(f"  ok    {sentence}", flush=True)
        else:
            self.failed.append(sentence)
            print(f"  WRONG {sentence}{': ' if detail else ''}{detail}", flush=True)
        return bool(condition)


def settle(lab, seconds=120):
    """Waits until the relay has no mail left and control knows it; True when that happened."""
    def is_empty():
        status = lab.cli_json("status")
        plane = status["dataplane"]
        return plane["attached"] and plane["unread"] == 0 and not any(
            status["totals"][name] for name in ("waiting", "in_flight", "frozen", "held"))
    return wait_until(is_empty, seconds, 0.3)


def account(lab, held=0):
    found = Account([lab.journal], lab.sink_directories(), lab.bounce_directories())
    return found, found.totals(held)


def account_check(lab, check, duplicates_allowed=False):
    """Checks that all mail that was answered 250 arrived, once and unchanged, and nothing else."""
    found, totals = account(lab)
    print(f"  {line(totals)}", flush=True)
    check(totals["accepted"] > 0, "mail was accepted")
    check(totals["delivered"] == totals["accepted"], "all that was accepted arrived",
          "; ".join(totals["missing"][:5]))
    check(totals["bounced"] == 0, "nothing bounced")
    check(not found.wrong, "every arrival is as it was sent", "; ".join(found.wrong[:5]))
    if not duplicates_allowed:
        check(totals["duplicates"] == 0, "nothing arrived twice", str(totals["duplicates"]))
    return totals


def sanitizers_check(lab, check):
    """Ends both daemons in order, so that leaks are reported too, and looks at their logs."""
    for name in ("dataplane", "control"):
        if name in lab.processes and lab.processes[name].is_alive():
            status = lab.processes[name].kill(seconds=30)
            check(status == 0, f"{name} ends with status 0", str(status))
    reports = lab.sanitizer_reports()
    check(not reports, "no sanitizer reports anything", ", ".join(reports))
    for name, text in reports.items():
        print(f"--- {name} ---\n{text[:20000]}", file=sys.stderr)


def main(name, test, options=None, replace=()):
    """options: a function that adds arguments; the test gets them as lab.options. replace: in the
    example configuration, pairs of regular expression and text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(HOUSE, "build"))
    parser.add_argument("--instance", default=f"t-{name}")
    if options is not None:
        options(parser)
    begin = time.monotonic()
    check = Check(begin)
    lab = None
    # A time limit ends a test with SIGTERM: its lab must still be taken down.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("ended by SIGTERM"))
    try:
        parsed = parser.parse_args()
        lab = Lab(parsed.instance, parsed.build, say=lambda text: print(f"  {text}", flush=True),
                  replace=replace)
        lab.options = parsed
        with lab:
            test(lab, check)
            if lab.is_sanitized():
                sanitizers_check(lab, check)
            if check.failed:
                lab.logs_print()
    except Exception:
        traceback.print_exc()
        check.failed.append("exception")
    seconds = time.monotonic() - begin
    if check.failed:
        print(f"FAIL {name}: {len(check.failed)} of {check.passed + len(check.failed)} checks, "
              f"first: {check.failed[0]} ({seconds:.0f} s)", flush=True)
        sys.exit(1)
    print(f"PASS {name}: {check.passed} checks ({seconds:.0f} s)", flush=True)
    sys.exit(0)
