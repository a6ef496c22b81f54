#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_operators.py: who may do what at the admin socket, and what happens to those who
should not be there: a look_group, the name behind sudo, members that nobody knows, garbage, and
thousands of idle clients beside a person at a prompt.

Trap: clients run as other users of the system, who have to be able to enter run_dir.
"""
import json
import os
import signal
import socket
import struct
import subprocess
import time

import harness
from lab import wait_until

LOOKER = "games"      # a user with a group of its own on every Debian
STRANGER = "nobody"
PYTHON = "/usr/bin/python3"  # Debian's: other users may run it
IDLE = 3000
# Runs as another user: one request, the answer on standard output.
CLIENT = """
import json, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
body = sys.argv[2].encode()
try:
    s.sendall(struct.pack("!I", len(body)) + body)
except BrokenPipeError:
    pass  # refused at once: the answer says why
head = s.recv(4, socket.MSG_WAITALL)
print(s.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL).decode())
"""
# Connects again and again, says nothing, and stays.
CROWD = """
import socket, sys, time
kept = []
for i in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    try:
        s.connect(sys.argv[1])
    except OSError:
        pass
    kept.append(s)
    if len(kept) > 200:
        kept.pop(0).close()
print("all", flush=True)
sys.stdin.read()
"""


def request(path, body):
    """As root: the answer to one request."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)  # waits while a crowd is before it
        s.settimeout(30)
        return ask(s, body)


def ask(s, body):
    text = json.dumps({"v": 1, **body}).encode()
    s.sendall(struct.pack("!I", len(text)) + text)
    head = s.recv(4, socket.MSG_WAITALL)
    return json.loads(s.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL))


def request_as(user, path, body):
    done = subprocess.run([PYTHON, "-c", CLIENT, path, json.dumps({"v": 1, **body})],
                          user=user, group=user if user == LOOKER else "nogroup",
                          extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False, cwd="/")
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"ok": None, "error": done.stdout[-300:]}


def roles(path, check):
    hold = {"cmd": "hold", "select": ["route=staff"], "reason": "to see", "dry_run": True}
    check(request_as(LOOKER, path, {"cmd": "status"})["ok"] is True, "one who may look looks")
    refused = request_as(LOOKER, path, hold)
    check(refused["ok"] is False and "look, not act" in refused["error"],
          "one who may look does not act", str(refused))
    removed = request_as(LOOKER, path, {"cmd": "rules", "remove": 1, "reason": "x"})
    check(removed["ok"] is False and "look, not act" in removed["error"], "nor ends a rule",
          str(removed))
    stranger = request_as(STRANGER, path, {"cmd": "status"})
    check(stranger["ok"] is False and "neither group" in stranger["error"],
          "a stranger is refused", str(stranger))


def names(lab, path, check):
    before = os.environ.get("SUDO_USER")
    os.environ["SUDO_USER"] = "alice"
    lab.cli("hold", "route=staff", "--reason", "behind sudo", "--yes")
    if before is None:
        del os.environ["SUDO_USER"]
    else:
        os.environ["SUDO_USER"] = before
    entry = lab.cli_json("audit")["entries"][0]
    check("alice" in entry["who"] and entry["who"].startswith("root"),
          "the audit names who is behind sudo", str(entry))
    odd = request(path, {"cmd": "hold", "select": ["route=staff"], "reason": "x",
                         "dry_run": True, "sudo_user": "a\x1b[31m(root)"})
    check(odd["ok"] is True, "a name that is none is left out", str(odd))


def members(path, check):
    typo = request(path, {"cmd": "hold", "select": ["all"], "reason": "x", "dryrun": True})
    check(typo["ok"] is False and "dryrun" in typo["error"],
          "a member that nobody knows stops an acting command", str(typo))
    check(len(request(path, {"cmd": "rules"})["rules"]) == 1, "and no rule came of it")
    empty = request(path, {"cmd": "release", "select": [], "reason": "x"})
    check(empty["ok"] is False, "an empty selection is refused", str(empty))
    unknown = request(path, {"cmd": "list", "select": ["class=polcy"]})
    check(unknown["ok"] is False and "policy" in unknown["error"],
          "an unknown class names the known ones", str(unknown))
    several = request(path, {"cmd": "count", "by": "route,class"})
    check(several["ok"] is True, "count by two fields", str(several))


def overdue(lab, path, check):
    held = request(path, {"cmd": "hold", "select": ["sender=nobody@*"], "reason": "x",
                          "review_ms": 1})
    status = request(path, {"cmd": "status"})
    kinds = [problem["what"] for problem in status["problems"]]
    check("overdue_rule" in kinds and status["level"] == 1, "an overdue rule is a problem",
          str(status["problems"]))
    shown = lab.cli("status", check=False)
    check(shown.returncode == 1 and f"rule {held['rule']}" in shown.stdout,
          "status says so in words and exits 1", shown.stdout[:600])
    for rule in request(path, {"cmd": "rules"})["rules"]:
        request(path, {"cmd": "release", "select": [f"rule={rule['id']}"], "reason": "done"})


def garbage(path, check):
    kept = []
    for bytes_ in (b"\x00\x00\x00\x05hello", b"\xff\xff\xff\xff", b"\x00\x10\x00\x00" + b"x" * 100,
                   b"GET / HTTP/1.1\r\n\r\n", struct.pack("!I", 2) + b"[]"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(path)
        s.sendall(bytes_)
        kept.append(s)
    check(request(path, {"cmd": "status"})["ok"] is True, "garbage and half requests stop nobody")
    for s in kept:
        s.close()


def crowd(path, check):
    person = socket.socket(socket.AF_UNIX)
    person.settimeout(30)
    person.connect(path)
    check(ask(person, {"cmd": "status"})["ok"] is True, "a person asks")
    idle = subprocess.Popen([PYTHON, "-c", CROWD, path, str(IDLE)], user=LOOKER,
                            group=LOOKER, extra_groups=[], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True, cwd="/")
    begin = time.monotonic()
    served = 0
    while idle.poll() is None and time.monotonic() < begin + 5:
        served += request(path, {"cmd": "status"})["ok"] is True
    check(served > 0, "others are served beside a crowd that says nothing")
    check(ask(person, {"cmd": "status"})["ok"] is True,
          "the person at the prompt is still connected")
    idle.send_signal(signal.SIGKILL)
    idle.wait()
    idle.stdin.close()
    idle.stdout.close()
    person.close()
    check(wait_until(lambda: request(path, {"cmd": "status"})["ok"] is True, 10),
          "and all is as before")


def test(lab, check):
    groups = f'admin_group = "root"; look_group = "{LOOKER}";'
    lab.config_write(((r'admin_group = "[^"]*";', groups), *lab.replace))
    lab.sinks_start()
    lab.daemons_start()
    path = os.path.join(lab.path("run"), "admin.sock")
    roles(path, check)
    names(lab, path, check)
    members(path, check)
    overdue(lab, path, check)
    garbage(path, check)
    crowd(path, check)
    lab.send("after", "--count", "20")
    harness.settle(lab)
    harness.account_check(lab, check)


if __name__ == "__main__":
    harness.main("operators", test)
