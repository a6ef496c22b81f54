#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_problems.py: `status` does not say OK while mail is stuck: mail on 4xx past its
route's objective, orphans, a rule that has held nothing, a rule that cannot be read, damage.

Promise: each is said in words, with the exit status of its level; what status says to do, typed as
         it stands, ends it.
Trap:    a mute hop is told after ten minutes, too long for here: tests/unit/control/test_problems.c
         moves the clock. An overdue rule is in t_operators.py, a full spool in t_space.py.
"""
import glob
import os
import re
import shlex
import sqlite3

import harness
from lab import DOMAINS, command, wait_until

STAFF, STUDENTS = DOMAINS
OBJECTIVE = (r'hops = \[ "staff-store" \];', 'hops = [ "staff-store" ]; objective = "1s";')
NO_STUDENTS = (r'(?s),\s*\{ name = "students".*?; \}\n\);\s*$', "\n);\n")
MARK = b"X-Mark: these bytes are damaged"
BAD_MARK = MARK[:-1] + bytes([MARK[-1] ^ 0x20])


def problem(lab, what):
    """The problem of that kind, or None."""
    for found in lab.cli_json("status")["problems"]:
        if found["what"] == what:
            return found
    return None


def told(lab, check, what, words, level, sentence):
    """Waits until it is told; checks its words in the text for people, and the exit status."""
    wait_until(lambda: problem(lab, what) is not None, 30)
    shown = lab.cli("status", "--all", check=False)
    text = " ".join(shown.stdout.split())
    check(problem(lab, what) is not None and words in text and shown.returncode >= level, sentence,
          shown.stdout[:1500])
    return problem(lab, what) or {"do": ""}


def ended(lab, check, what, sentence):
    check(wait_until(lambda: problem(lab, what) is None, 30), sentence, str(problem(lab, what)))


def typed(lab, check, line, wanted):
    """Types the last command of that kind in what status says to do."""
    found = re.findall(rf"{wanted}[^;]*", line)
    check(found != [], f"status says a command: {wanted}", line)
    argv = shlex.split(found[-1]) if found else ["true"]
    if argv[0] == "holdfast":
        lab.cli(*argv[1:], "--yes")
    else:
        command(*argv)


def mail(lab, check, name, domain, count=3):
    sent = lab.send(name, "--count", str(count), "--size-max", "2000", "--many", "0", "--domain",
                    domain)
    check(sent["accepted"] == count, f"{count} messages to {domain} answered 250", str(sent))


def tempfail(lab, check):
    lab.sink_start("staff-store", "-r", "rcpt")
    mail(lab, check, "later", STAFF)
    told(lab, check, "tempfail", "route staff: 3 deliveries meet 4xx", 1,
         "mail on 4xx past its route's objective is told")
    lab.kill("sink-staff-store")
    lab.sink_start("staff-store")
    check(harness.settle(lab), "the hop takes it again", str(lab.totals()))
    ended(lab, check, "tempfail", "and nothing is told of it")


def orphans(lab, check):
    mail(lab, check, "orphan", STUDENTS)  # its hop does not run
    lab.config_write((*lab.replace, NO_STUDENTS))
    pid = lab.cli_json("status")["pid"]
    command("kill", "-HUP", str(pid))
    act = told(lab, check, "orphans", "3 deliveries are orphans", 1, "orphans are called orphans")
    lab.config_write(lab.replace)
    typed(lab, check, act["do"], "kill -HUP")
    ended(lab, check, "orphans", "the route is back, and status's own command took it")
    lab.sink_start("student-store")
    check(harness.settle(lab), "they go out", str(lab.totals()))


def edit_policy(lab, *statements):
    """As somebody would by hand, while control does not run."""
    lab.kill("control")
    with sqlite3.connect(lab.path("state", "policy.db")) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    lab.daemon_start("control")
    wait_until(lambda: lab.cli_json("status")["dataplane"]["attached"], 20)


def rules(lab, check):
    lab.cli("hold", "sender=nobody@nowhere.example", "--reason", "a slip", "--yes")
    edit_policy(lab, "UPDATE rules SET created_ms = created_ms - 7200000")
    act = told(lab, check, "idle_rule", "has held nothing", 1, "an idle rule is told")
    typed(lab, check, act["do"], "holdfast release")
    ended(lab, check, "idle_rule", "its end ends it")
    lab.cli("hold", f"domain={STUDENTS}", "--reason", "INC-8", "--yes")
    edit_policy(lab, "UPDATE rules SET selection = 'garbage' WHERE ended_ms IS NULL")
    mail(lab, check, "all-held", STAFF)
    act = told(lab, check, "bad_rule", "cannot be read in the policy database", 2,
               "a rule that cannot be read is told")
    check(wait_until(lambda: lab.totals()["held"] == 3, 20), "and holds all", str(lab.totals()))
    typed(lab, check, act["do"], "holdfast release")
    ended(lab, check, "bad_rule", "its end ends it, too")
    check(harness.settle(lab), "and lets go what it held", str(lab.totals()))


def flip(lab, mark):
    """Inverts a bit at the end of those bytes in the message log. Returns the number of places."""
    places = 0
    for path in glob.glob(lab.path("spool", "*")):
        with open(path, "r+b") as file:
            at = file.read().find(mark)
            if at >= 0:
                file.seek(at + len(mark) - 1)
                byte = file.read(1)[0]
                file.seek(at + len(mark) - 1)
                file.write(bytes([byte ^ 0x20]))
                places += 1
    return places


def times_damaged(lab, ident):
    return sum(event["class"] == "damaged" for event in lab.cli_json("show", ident)["events"])


def damage(lab, check):
    lab.kill("sink-staff-store")
    path = lab.path("marked.eml")
    with open(path, "wb") as file:
        file.write(MARK + b"\r\nSubject: x\r\n\r\nbody\r\n")
    done = lab.command("outside", "swaks", "--server", "198.51.100.10", "--helo", "client.example",
                       "--from", "a@client.example", "--to", f"mark@{STAFF}", "--data", f"@{path}",
                       check=False)
    check(done.returncode == 0, "a marked message is answered 250", done.stdout[-300:])
    check(wait_until(lambda: lab.totals()["waiting"] == 1, 20), "it waits", str(lab.totals()))
    for name in ("control", "dataplane"):
        lab.kill(name)
    check(flip(lab, MARK) == 1, "one of its bytes in the spool goes bad")
    lab.daemons_start()
    lab.sink_start("staff-store")
    act = told(lab, check, "damaged", "bytes of their mail in the spool are damaged", 2,
               "damage is said in the text, not in JSON alone")
    before = lab.dump_count()
    ident = lab.cli_json("list", "class=damaged")["deliveries"][0]["id"]
    typed(lab, check, act["do"], "holdfast release")
    check(wait_until(lambda: times_damaged(lab, ident) == 2 and lab.totals()["frozen"] == 1, 20),
          "a release reads it again, and freezes it again", str(lab.totals()))
    check(lab.dump_count() == before, "nothing of it was sent")
    for name in ("control", "dataplane"):
        lab.kill(name)
    check(flip(lab, BAD_MARK) == 1, "the byte is good again")
    lab.daemons_start()
    act = told(lab, check, "damaged", "damaged", 2, "it is frozen until somebody releases it")
    typed(lab, check, act["do"], "holdfast release")
    check(wait_until(lambda: lab.dump_count() == before + 1, 30), "now it goes out whole",
          str(lab.totals()))


def test(lab, check):
    lab.config_write(lab.replace)
    lab.daemons_start()
    tempfail(lab, check)
    orphans(lab, check)
    rules(lab, check)
    harness.account_check(lab, check)
    damage(lab, check)


if __name__ == "__main__":
    harness.main("problems", test, replace=(OBJECTIVE,))
