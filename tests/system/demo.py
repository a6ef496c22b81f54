#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/demo.py: what ./run shows: mail goes through, the next hop breaks in two ways, both
daemons are killed, the hop is repaired, and everything that was answered 250 arrives.

Promise: each step says what it does and what it found; the last line is the account, and the exit
         is zero only when all that was accepted arrived and nothing was held, lost or bounced.
Trap:    counts are per recipient. When the daemons were killed before a dot was answered, the
         sender sent the message again under a new id, as a relay would: only one has to arrive.
"""
import argparse
import os
import signal
import subprocess
import sys
import time

from compare import line, verdict
from harness import account, settle
from lab import CLIENT, DOMAINS, HOP, RELAY, Lab, wait_until

REASON = "INC-1: next hop repaired"
DAEMONS = ("dataplane", "control")


def tell(text):
    print(text, flush=True)


def found(condition, text):
    """A checked finding: a step whose check fails ends the run."""
    print(f"   {'ok   ' if condition else 'WRONG'} {text}", flush=True)
    if not condition:
        raise RuntimeError(text)


def show(text, lines=12):
    rows = text.rstrip().splitlines()
    for row in rows[:lines]:
        print(f"   | {row}")
    if len(rows) > lines:
        print(f"   | ... {len(rows) - lines} more lines")
    sys.stdout.flush()


def ask(lab, answer, *argv, lines=12):
    """Shows what the operator's command says, in which `answer` must be. Status 1 and 2 are
    "warning" and "critical"."""
    done = lab.cli(*argv, check=False)
    shown = " ".join(f'"{word}"' if " " in word else word for word in argv)
    found(done.returncode in (0, 1, 2) and answer in done.stdout, f"holdfast {shown}: {answer}")
    show(done.stdout, lines)


def step_start(lab):
    tell("1. namespaces, two next hops (smtp-sink), dataplane on DPDK ports, control")
    lab.sinks_start()
    lab.bounce_sinks_start()
    begin = time.monotonic()
    lab.daemons_start()
    found(True, f"both daemons are ready after {time.monotonic() - begin:.1f} s; "
          f"configuration: docs/holdfast.conf.example with private directories")
    pages = "hugepages" if lab.hugepages else "ordinary pages: no hugepages here"
    found(wait_until(lambda: lab.cli("status", check=False).returncode == 0, 20),
          f"holdfast status answers ({pages})")


def step_through(lab, count):
    tell(f"2. {count} messages of 1 KB to 1 MB, some to several recipients on two routes")
    bulk, few = count // 5, min(5, count // 100)
    sent = lab.send("through", "--count", str(count - 2 * bulk - few), "--size-min", "1000",
                    "--connections", "8")
    found(sent["accepted"] == sent["messages"],
          f"{sent['accepted']} of {sent['messages']} answered 250 in {sent['seconds']} s "
          f"({sent['recipients']} recipients)")
    lab.smtp_source("small", bulk, 1500, f"bulk@{DOMAINS[0]}")
    lab.smtp_source("many", bulk, 6000, f"bulk@{DOMAINS[1]}", rcpts=3)
    found(True, f"smtp-source: {2 * bulk} messages answered 250")
    for number in range(few):
        found(lab.swaks(f"swaks-{number}", [f"swaks@{DOMAINS[0]}", f"swaks@{DOMAINS[1]}"],
                        (1_000, 20_000, 300_000, 1_000_000, 5_000)[number]),
              f"swaks: message {number + 1} of {few} answered 250")
    found(settle(lab), "nothing waits any more")
    check, totals = account(lab)
    found(totals["delivered"] == totals["accepted"] and not check.wrong,
          f"all arrived, {totals['delivered']} recipients, compared by hash"
          + "".join(f"; {text}" for text in check.wrong[:3]))


def send_all(lab, name, count):
    sent = lab.send(name, "--count", str(count), "--size-min", "1000", "--connections", "8")
    found(sent["accepted"] == sent["messages"], f"{sent['accepted']} of {sent['messages']} "
          f"answered 250 ({sent['recipients']} recipients): outside, nothing is to be seen")


def step_refused(lab, count):
    tell(f"3. the next hop breaks: it refuses connections; {count} messages more")
    lab.sinks_stop()
    send_all(lab, "refused", count)
    found(wait_until(lambda: lab.totals()["waiting"] > 0, 20), "they wait")
    ask(lab, "refused", "status", lines=14)


def step_rejecting(lab, count):
    tell(f"   now the hop takes connections and answers 550 to every RCPT; {count} messages more,")
    tell("4. and both daemons are killed with SIGKILL in the middle of them")
    lab.sinks_start(*lab.REJECTING)
    journal_lines = file_lines(lab.journal)
    sender = lab.send_start("rejected", "--count", str(count), "--size-min", "1000",
                            "--connections", "8", "--pause", "0.05", "--deadline", "180",
                            "--timeout", "10")  # a waiting client notices no crash
    found(wait_until(lambda: file_lines(lab.journal) - journal_lines >= count // 4, 60, 0.01),
          f"a quarter of them is answered; killing processes {lab.processes['dataplane'].pid} "
          f"and {lab.processes['control'].pid}")
    for name in DAEMONS:
        lab.kill(name, signal.SIGKILL)
    begin = time.monotonic()
    lab.daemons_start()
    found(True, f"both are up again {time.monotonic() - begin:.1f} s after their start")
    sent = lab.send_wait(sender)
    found(sent["accepted"] == sent["messages"],
          f"{sent['accepted']} of {sent['messages']} answered 250; attempts without an answer at "
          f"the kill, sent again: {sent['states'].get('unanswered', 0)}; answered 5xx: "
          f"{sent['states'].get('refused', 0)}")
    found(wait_until(lambda: lab.totals()["frozen"] > 0 and lab.totals()["waiting"] == 0, 60),
          "what the hop refused is frozen")


def step_looking(lab, count):
    tell(f"   one of the two hops refuses connections again; {count} messages more; what waits, "
         "what is frozen, and why:")
    lab.kill("sink-student-store")
    send_all(lab, "both", count)
    found(wait_until(lambda: lab.totals()["waiting"] > 0 and lab.totals()["in_flight"] == 0, 20),
          "some wait, some are frozen")
    ask(lab, "user_unknown", "status", lines=20)
    for state, why in (("frozen", "550 5.1.1 User unknown"), ("waiting", "refused")):
        ident = lab.cli_json("list", f"state={state}", "--limit", "1")["deliveries"][0]["id"]
        ask(lab, ident, "list", f"state={state}", lines=5)
        ask(lab, why, "show", ident)


def file_lines(path):
    try:
        with open(path, "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


def step_repaired(lab):
    totals = lab.totals()
    tell(f"5. the hop is repaired; waiting {totals['waiting']}, frozen {totals['frozen']}")
    lab.sinks_stop()
    lab.sinks_start()
    found(wait_until(lambda: lab.totals()["waiting"] == 0, 120),
          "what waited went on by itself")
    ask(lab, "released", "release", "state=frozen", "--reason", REASON, "--yes", lines=4)
    found(settle(lab, 180), "nothing waits, nothing is frozen")


def step_account(lab):
    tell("6. what was answered 250 against what arrived, per message and recipient")
    try:
        held = lab.cli_json("count")["rcpts"]
    except (RuntimeError, KeyError) as error:
        tell(f"   WRONG holdfast count does not tell what is held: {error}")
        held = 0
    check, totals = account(lab, held)
    for text in (check.wrong + totals["missing"])[:20]:
        tell(f"   WRONG {text}")
    tell(f"   arrived although the dot was never answered (the sender sent it again): "
         f"{check.unanswered_arrived}")
    return totals, verdict(totals, check)


def steps(lab, messages):
    """All steps but the account. When a step fails, that is told, and the account still follows."""
    try:
        step_start(lab)
        step_through(lab, messages)
        step_refused(lab, messages * 2 // 5)
        step_rejecting(lab, messages - messages * 2 // 5 - messages // 10)
        step_looking(lab, messages // 10)
        step_repaired(lab)
        return True
    except (RuntimeError, LookupError, OSError, subprocess.SubprocessError) as error:
        print(f"./run: {error!r}", file=sys.stderr)
        lab.logs_print()
        return False


def any_ended(lab):
    return any(not lab.processes[name].is_alive() for name in DAEMONS)


def start_again(lab, name):
    """A daemon that does not start is tried again at the next look, so that its spool stays."""
    tell(f"starting holdfast-{name} again")
    try:
        lab.daemon_start(name)
    except RuntimeError as error:
        tell(f"{error}")
        lab.kill(name)


def serve(lab, build):
    """Leaves the relay running, so that a person can send mail and look."""
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()
    outside, cli = lab.namespace("outside"), os.path.join(build, "control", "cli", "holdfast")
    tell(f"""
The relay listens on {RELAY}:25; the client is {CLIENT}, the next hop {HOP} (ports 2525, 2526).
send   ip netns exec {outside} swaks --server {RELAY} --to you@{DOMAINS[0]},me@{DOMAINS[1]}
bulk   ip netns exec {outside} smtp-source -s 10 -m 1000 -l 4000 -t you@{DOMAINS[0]} {RELAY}:25
look   {cli} --config {lab.config} status
       ls {lab.path('sink', 'staff-store')}        (what the hop received)
       tail -f {lab.path('log', 'dataplane')} {lab.path('log', 'control')}
break  kill $(cut -d' ' -f1 {lab.path('pids', 'sink-staff-store')})        (the hop refuses)
mend   ip netns exec {lab.namespace('inside')} smtp-sink -u nobody -d \\
       {lab.path('sink', 'staff-store', 'm.')} {HOP}:2525 256 &
Ctrl-C ends it and removes everything.""")
    while True:
        wait_until(lambda: any_ended(lab), 3600, 0.2)
        for name in DAEMONS:
            if not lab.processes[name].is_alive():
                tell(f"holdfast-{name} ended:\n{lab.processes[name].output()[-1000:]}")
                start_again(lab, name)


def arguments():
    parser = argparse.ArgumentParser(prog="./run")
    parser.add_argument("mode", nargs="?", choices=("show", "serve"), default="show")
    parser.add_argument("--build", required=True)
    parser.add_argument("--instance", default="demo")
    parser.add_argument("--messages", type=int, default=1000, help="before and after the break")
    return parser.parse_args()


def main():
    options = arguments()
    # A shell that starts us in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SIGTERM and a closed terminal clean up as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    begin = time.monotonic()
    totals, good = None, False
    try:
        with Lab(options.instance, options.build, say=lambda text: tell(f"   {text}")) as lab:
            if options.mode == "serve":
                serve(lab, options.build)
            good = steps(lab, options.messages)
            totals, proven = step_account(lab)
            good = good and proven
            tell(f"   took {time.monotonic() - begin:.0f} s")
    except KeyboardInterrupt:
        tell("\nremoved everything" if options.mode == "serve" else "\ninterrupted; cleaned up")
        return 0 if options.mode == "serve" else 130
    except RuntimeError as error:
        print(f"./run: {error}", file=sys.stderr)
        return 1
    tell(line(totals))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
