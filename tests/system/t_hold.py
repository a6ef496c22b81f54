#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_hold.py: the operator's command against a running relay.

Promise: a hold holds what it selects: mail that is there and mail that comes later, also over a
         restart of control. Release sends it. A dry run changes nothing. Each act needs a reason
         and is audited. Exit codes and JSON are as docs/ADMIN.md says.
"""
import base64
import json
import signal

import harness
from lab import DOMAINS, wait_until

STAFF, STUDENTS = DOMAINS


def send(lab, check, name, domain, count=20):
    sent = lab.send(name, "--count", str(count), "--size-max", "5000", "--many", "0",
                    "--domain", domain)
    check(sent["accepted"] == count, f"{count} messages to {domain} answered 250", str(sent))


def totals_reach(lab, seconds=30, **wanted):
    return wait_until(lambda: all(lab.totals()[name] == value for name, value in wanted.items()),
                      seconds, 0.2)


def usage(lab, check):
    for argv, status, what in (
            (["frobnicate"], 64, "an unknown command"),
            (["list", "colour=red"], 64, "an unknown term"),
            (["show", "not-an-id"], None, "a bad id"),
            (["hold", f"domain={STAFF}", "--yes"], 64, "a hold without a reason"),
            (["hold", "--reason", "r", "--yes"], 64, "a hold of nothing in particular"),
            (["release", "--reason", "r", "--yes"], 64, "a release of nothing in particular")):
        done = lab.cli(*argv, check=False)
        good = done.returncode == status if status else done.returncode in (1, 2, 64)
        check(good and len(done.stdout.strip().splitlines()) <= 3,
              f"{what} exits {status or 'not 0'} with a short word",
              f"{done.returncode}: {done.stdout}")
    done = lab.cli("--json", "list", "colour=red", check=False)
    check(json.loads(done.stdout).get("ok") is False, "an error with --json is JSON", done.stdout)
    check(lab.cli("discard", "all", "--reason", "r", "--yes", check=False).returncode == 64,
          "no command discards mail")


def holding(lab, check):
    dry = lab.cli_json("hold", f"domain={STAFF}", "--dry-run")
    check(dry["ok"] and lab.cli_json("rules")["rules"] == [], "a dry run makes no rule")
    made = lab.cli_json("hold", f"domain={STAFF}", "--reason", "INC-7 <b>\x1b[31m", "--yes")
    check(made["ok"] and made["rule"] > 0, "hold makes a rule", str(made))
    send(lab, check, "held", STAFF)
    send(lab, check, "free", STUDENTS)
    check(totals_reach(lab, held=20, waiting=0, in_flight=0), "20 are held, the others went on",
          str(lab.totals()))
    check(lab.dump_count() == 20, "20 at the hop", str(lab.dump_count()))
    status = lab.cli("status", check=False)
    check(status.returncode == 1, "status warns (exit 1) while something is held", status.stdout)
    check("\x1b" not in lab.cli("rules", check=False).stdout, "no escape reaches the terminal")
    listed = lab.cli_json("list", "state=held", "--limit", "5")
    check(len(listed["deliveries"]) == 5 and listed["total"] == 20 and listed["more"],
          "list pages", str(listed)[:300])
    shown = lab.cli_json("show", listed["deliveries"][0]["id"], "--body")
    body = shown.get("body", "").encode() or base64.b64decode(shown.get("body_base64", ""))
    check(b"X-Holdfast-Test: held-" in body, "show --body shows the message", str(shown)[:300])
    check(lab.cli_json("count", "--by", "state")["by"][0]["rcpts"] == 20, "count --by state")
    lab.kill("control", signal.SIGKILL)
    send(lab, check, "blind", STAFF, 10)
    lab.daemon_start("control")
    check(totals_reach(lab, held=30), "the hold is there after control's death and holds what came "
          "meanwhile", str(lab.totals()))
    check(lab.dump_count() == 20, "nothing of it leaked to the hop", str(lab.dump_count()))
    done = lab.cli("release", f"rule={made['rule']}", "--reason", "INC-7", "--yes=29", check=False)
    check(done.returncode != 0 and lab.totals()["held"] == 30,
          "--yes with another count than the plan's is refused", done.stdout)
    released = lab.cli_json("release", f"rule={made['rule']}", "--reason", "INC-7 done", "--yes")
    check(released["ok"] and released["rules_ended"] == [made["rule"]], "release ends the rule",
          str(released))
    check(harness.settle(lab, 60) and lab.dump_count() == 50, "what was held has arrived",
          f"{lab.totals()} {lab.dump_count()}")


def freezing(lab, check):
    lab.sinks_stop()
    lab.sinks_start(*lab.REJECTING)
    send(lab, check, "frozen", STAFF, 10)
    check(totals_reach(lab, frozen=10), "550 at RCPT freezes", str(lab.totals()))
    frozen = lab.cli_json("status")["frozen"]
    check(frozen and frozen[0]["count"] == 10 and frozen[0]["sample_reply"],
          "status tells class, count and a reply", str(frozen))
    lab.sinks_stop()
    lab.sinks_start()
    lab.kill("control", signal.SIGKILL)
    lab.daemon_start("control")
    check(totals_reach(lab, frozen=10), "frozen mail stays frozen over a restart, hop repaired or "
          "not", str(lab.totals()))
    one = lab.cli_json("list", "state=frozen", "--limit", "1")["deliveries"][0]
    shown = lab.cli_json("show", one["id"])
    check(shown["rcpts"][0]["code"] // 100 == 5 and shown["rcpts"][0]["reply"],
          "show tells the hop's reply", str(shown)[:400])
    dry = lab.cli_json("release", "state=frozen", "--dry-run")
    check(dry["released"] == 10 and lab.totals()["frozen"] == 10, "a dry release tells the count")
    released = lab.cli_json("release", f"id={one['id']}", "--reason", "try one", "--yes=1")
    check(released["released"] == 1 and totals_reach(lab, frozen=9, waiting=0, in_flight=0),
          "one is released alone", str(released))
    lab.cli_json("release", "state=frozen", "--reason", "all", "--yes")
    check(harness.settle(lab, 60), "the others follow", str(lab.totals()))


def test(lab, check):
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()
    check(wait_until(lambda: lab.cli("status", check=False).returncode == 0, 10),
          "status exits 0 when all is well")
    usage(lab, check)
    holding(lab, check)
    freezing(lab, check)
    entries = lab.cli_json("audit")["entries"]
    commands = [entry["cmd"] for entry in entries]
    check(commands.count("hold") == 1 and commands.count("release") == 3,
          "every act is in the audit, no dry run is", str(commands))
    check(all(entry["who"] and entry["reason"] for entry in entries), "with who and why")
    lab.kill("dataplane", signal.SIGKILL)
    check(wait_until(lambda: lab.cli("status", check=False).returncode == 2, 10),
          "status exits 2 without a dataplane")
    lab.daemon_start("dataplane")
    lab.kill("control")
    check(lab.cli("status", check=False).returncode == 2, "status exits 2 without control")
    lab.daemon_start("control")
    harness.settle(lab)
    harness.account_check(lab, check)


if __name__ == "__main__":
    harness.main("hold", test)
