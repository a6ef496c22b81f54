#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_trial.py: the trial by hand that docs/OPERATING.md describes, word for word.

Promise: what a person types from there works, and leaves nothing.
Trap:    the lab beside it only reserves hugepages; names and directories are the document's.
"""
import glob
import os
import re
import subprocess

import harness
from lab import HOUSE

DOCUMENT = os.path.join(HOUSE, "docs", "OPERATING.md")
FOLDER = "/var/tmp/holdfast-trial"

# Waits for conditions where a person would look.
BETWEEN = """
until_true() {
    for _ in $(seq 600); do "$@" && return 0; sleep 0.05; done
    return 1
}
attached() { $B/control/cli/holdfast --config $T/holdfast.conf status >/dev/null 2>&1; }
arrived() { ls $T/sink/2* >/dev/null 2>&1; }
until_true attached || { echo "not attached"; cat $T/*.log; }
"""
AFTER = """
until_true arrived || echo "nothing arrived"
cat $T/sink/2*
"""


def blocks():
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    part = text.split("## A trial by hand", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", part, re.S)


def clean():
    """What a run of this test that was killed left."""
    for side in ("outside", "relay", "inside"):
        pids = subprocess.run(["ip", "netns", "pids", f"trial-{side}"], capture_output=True,
                              text=True, check=False).stdout.split()
        for pid in pids:
            os.kill(int(pid), 9)
        subprocess.run(["ip", "netns", "del", f"trial-{side}"], stderr=subprocess.DEVNULL,
                       check=False)
    subprocess.run(["rm", "-rf", FOLDER], check=True)


def test(lab, check):
    clean()
    found = blocks()
    check(len(found) == 3, "the document has its three pieces", str(len(found)))
    begin, send, end = found
    begin = begin.replace("B=$PWD/build", f"B={lab.build}")
    if not lab.hugepages:
        begin = begin.replace("-e 's|instance", "-e 's|hugepages = true|hugepages = false|' "
                              "-e 's|instance")
    done = subprocess.run(["bash", "-e"], input=begin + BETWEEN + send + AFTER + end, text=True,
                          cwd=HOUSE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          check=False)
    shown = done.stdout[-1500:]
    # `wait` ends with the status of what was killed.
    check("250 2.0.0" in done.stdout, "swaks hears 250", shown)
    check("X-Rcpt-Args: <you@staff.campus.example>" in done.stdout,
          "and the hop has the message", shown)
    left = [name for name in os.listdir("/run/netns") if name.startswith("trial-")]
    check(not left and not os.path.exists(FOLDER), "nothing is left", f"{left} {shown}")
    check(not glob.glob("/dev/shm/holdfast-trial*"), "nor shared memory",
          str(glob.glob("/dev/shm/holdfast-trial*")))
    clean()


if __name__ == "__main__":
    harness.main("trial", test)
