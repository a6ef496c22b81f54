#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_user.py: both daemons give their privileges up to a user of their own, and make
what directories are missing.

Promise: it works whichever starts first, and again after both were killed. They then have no
         privileges except on their own files.
"""
import glob
import os
import pwd
import signal

import harness

USER = "nobody"
REPLACE = ((r'(?m)^user = .*$', f'user = "{USER}"; group = "nogroup";'),)


def owner(path):
    return pwd.getpwuid(os.stat(path).st_uid).pw_name


def effective(process):
    """The user ids of all threads of a process: real, effective, saved, of files."""
    return {pwd.getpwuid(int(word)).pw_name for row in rows(process, "Uid:")
            for word in row.split()[1:]}


def rows(process, *words):
    """The lines of its threads' status that begin with one of the words."""
    found = []
    for path in glob.glob(f"/proc/{process.pid}/task/*/status"):
        with open(path, encoding="ascii") as file:
            found += [row for row in file if row.startswith(words)]
    return found


def powerless(process):
    """No thread has a capability, nor can one get any."""
    caps = rows(process, "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:")
    new = rows(process, "NoNewPrivs:")
    return len(caps) == 5 * len(new) > 0 and all(int(row.split()[1], 16) == 0 for row in caps) \
        and all(row.split()[1] == "1" for row in new)


def test(lab, check):
    for part in ("run", "state", "spool"):
        os.rmdir(lab.path(part))
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()     # control first
    for part in ("run", "state", "spool"):
        check(owner(lab.path(part)) == USER, f"{part} belongs to {USER}", owner(lab.path(part)))
    for name in ("control", "dataplane"):
        check(effective(lab.processes[name]) == {USER}, f"holdfast-{name} runs as {USER} alone",
              str(effective(lab.processes[name])))
        check(powerless(lab.processes[name]), f"holdfast-{name} can gain no right, in any thread",
              str(rows(lab.processes[name], "Cap", "NoNewPrivs:")))
    sent = lab.send("before", "--count", "50", "--size-max", "100000")
    check(sent["accepted"] == 50, "mail is answered 250", str(sent))
    for name in ("control", "dataplane"):
        lab.kill(name, signal.SIGKILL)
    lab.daemon_start("dataplane")
    lab.daemon_start("control")
    sent = lab.send("after", "--count", "50", "--size-max", "100000")
    check(sent["accepted"] == 50, "and after both were killed and started again", str(sent))
    check(harness.settle(lab), "nothing waits", str(lab.totals()))
    check(all(owner(os.path.join(lab.path("spool"), name)) == USER
              for name in os.listdir(lab.path("spool"))),
          f"every file of the spool is {USER}'s")
    harness.account_check(lab, check, duplicates_allowed=True)


if __name__ == "__main__":
    harness.main("user", test, replace=REPLACE)
