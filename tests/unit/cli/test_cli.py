#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/unit/cli/test_cli.py HOLDFAST: the command against a control played by this script.

Promise: exit codes, confirmation, what is asked of control, and that nothing a stranger said
         reaches the terminal raw.
"""
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HOLDFAST = sys.argv.pop(1) if len(sys.argv) > 1 else "holdfast"
HOSTILE = "550 5.7.1 \x1b[2Jgo \u202e away\r\nX: \u009b31m"

STATUS = {
    "hostname": "mx.example.org", "level": 0, "policy_generation": 7, "segments_free": 12,
    "dataplane": {"attached": True, "start": 3, "heartbeat_age_ms": 200, "spool": "ok"},
    "totals": {"accepted_rcpts": 10, "delivered_rcpts": 4, "waiting": 2, "in_flight": 1,
               "frozen": 3, "held": 0, "waiting_rcpts": 3, "frozen_rcpts": 3, "held_rcpts": 0,
               "possible_duplicates": 1},
    "routes": [{"name": "staff", "waiting": 2, "in_flight": 1, "frozen": 3, "held": 0,
                "oldest_age_ms": 192000, "owner": "postmaster@example.org"},
               {"name": "quiet", "waiting": 0, "in_flight": 0, "frozen": 0, "held": 0,
                "oldest_age_ms": 0, "owner": "x@example.org"}],
    "hops": [{"name": "store", "breaker": "open", "failures": 5, "last_outcome": "refused",
              "last_code": 0, "last_text": HOSTILE, "since_ms": 1, "in_flight": 0,
              "next_probe_ms": 1500}],
    "frozen": [{"route": "staff", "class": "policy", "count": 3, "rcpts": 3,
                "sample_reply": HOSTILE}],
    "counters": {"rx_packets": 99},
}
DELIVERY = {"id": "5k2m0", "route": "staff", "state": "frozen", "sender": "", "rcpt_count": 3,
            "rcpts": ["jd@example.org", HOSTILE], "pending_rcpts": 3, "size": 2150,
            "age_ms": 192000, "attempts": 2, "next_ms": 0, "class": "policy", "reply": HOSTILE,
            "code": 550, "hop": "store", "rules": [17]}
PLAN = {"deliveries": 3, "rcpts": 4, "in_flight": 1}


def answer(request):
    cmd, dry = request.get("cmd"), request.get("dry_run")
    if dry:
        return PLAN
    if cmd == "status":
        return STATUS
    if cmd == "list":
        return {"deliveries": [DELIVERY], "total": 2, "more": True}
    if cmd == "count":
        return {"deliveries": 3, "rcpts": 4,
                "by": [{"key": HOSTILE, "deliveries": 3, "rcpts": 4}]}
    if cmd == "show":
        more = {"recipients": [{"rcpt": "jd@example.org", "state": "frozen", "class": "policy",
                                "code": 550, "reply": HOSTILE}],
                "client": "192.0.2.1", "helo": HOSTILE, "received_ms": 1700000000000,
                "events": [{"time_ms": 1700000000000, "kind": "outcome", "class": "policy",
                            "rcpts": 1, "hop": "store", "code": 550, "reply": HOSTILE}]}
        if request.get("body"):
            more["body_base64"] = "U3ViamVjdDogaGkNCg0KYQBi/w0K"
        return {**DELIVERY, **more}
    if cmd == "hold":
        return {"rule": 17, **PLAN}
    if cmd == "release" or "remove" in request:
        return {"released": 3, "rcpts": 4, "rules_ended": [17]}
    if cmd == "retry":
        return {"retried": 3}
    if cmd == "rules":
        return {"rules": [{"id": 17, "kind": "hold", "select": ["rcpt=" + HOSTILE],
                           "author": "root", "reason": HOSTILE, "created_ms": 1, "review_ms": 2,
                           "matches": 3}]}
    return {"entries": [{"id": 1, "time_ms": 1700000000000, "who": "root", "cmd": "hold",
                         "select": ["all"], "reason": HOSTILE, "count": 3, "result": "rule 17"}]}


class Control(threading.Thread):
    """One frame in, one frame out; keeps what it was asked."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.asked = []
        self.override = None
        self.raw = None
        self.delay_s = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return # stopped
            with conn:
                self.serve(conn)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join()
        self.listener.close()

    def serve(self, conn):
        while head := conn.recv(4, socket.MSG_WAITALL):
            request = json.loads(conn.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))
            self.asked.append(request)
            time.sleep(self.delay_s)
            if self.raw is not None:
                conn.sendall(self.raw)
                return
            reply = self.override or {"v": 1, "ok": True, **answer(request)}
            text = json.dumps(reply).encode()
            conn.sendall(struct.pack(">I", len(text)) + text)


class Cli(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="holdfast-cli-")
        self.path = os.path.join(self.dir.name, "admin.sock")
        self.control = Control(self.path)
        self.control.start()

    def tearDown(self):
        self.control.stop()
        self.dir.cleanup()

    def run_cli(self, *args, socket_path=None):
        done = subprocess.run([HOLDFAST, "--socket", socket_path or self.path, *args],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        for text in (done.stdout, done.stderr):
            self.assertFalse([b for b in text if (b < 32 and b != 10) or b == 127], text)
            self.assertNotIn("\u202e".encode(), text)
            self.assertNotIn("\u009b".encode(), text)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_status_is_a_warning_while_something_is_frozen(self):
        code, out, _ = self.run_cli("status")
        self.assertEqual(code, 1)
        self.assertTrue(out.startswith("WARNING"))
        for piece in ("3m12s", "policy", "open", "holdfast release route=staff class=policy",
                      "holdfast retry hop=store"):
            self.assertIn(piece, out)
        self.assertNotIn("quiet", out)
        self.assertIn("quiet", self.run_cli("status", "--all")[1])
        self.assertIn("frames received", self.run_cli("status", "--counters")[1])

    def test_status_while_control_reads_its_spool(self):
        text = "control is still reading the spool: 5000 so far, message log, segment 3 of 17"
        self.control.override = {
            "v": 1, "ok": True, **STATUS, "level": 2,
            "dataplane": {"attached": False, "start": 0, "heartbeat_age_ms": 0, "spool": "ok"},
            "recovery": {"reading": "message log", "at": 3, "of": 17, "deliveries": 5000},
            "problems": [{"what": "recovering", "level": 2, "text": text, "do": "wait"}]}
        code, out, _ = self.run_cli("status")
        self.assertEqual(code, 2)
        self.assertIn("segment 3 of 17", " ".join(out.split()))
        self.assertIn("control reads its spool first", " ".join(out.split()))
        self.assertNotIn("NOT ATTACHED", out)

    def test_refused_for_now_is_no_critical_fault(self):
        self.control.override = {"v": 1, "ok": False, "exit": 1, "error": "not now: ask again"}
        for args in (["list"], ["count"], ["hold", "all", "--reason", "x", "--yes"]):
            code, _, err = self.run_cli(*args)
            self.assertEqual(code, 1)
            self.assertIn("not now", err)

    def test_status_is_critical_whatever_level_says(self):
        for change in ({"dataplane": {"attached": False}},
                       {"dataplane": {"attached": True, "spool": "fenced"}},
                       {"dataplane": {"attached": True, "spool": "full"}}, {"level": 2}):
            self.control.override = {"v": 1, "ok": True, **STATUS, **change}
            self.assertEqual(self.run_cli("status")[0], 2)
        well = {**STATUS, "totals": {}, "frozen": [], "hops": []}
        self.control.override = {"v": 1, "ok": True, **well}
        self.assertEqual(self.run_cli("status")[0], 0)

    def test_problems_come_first_and_the_worst_of_them_at_the_top(self):
        problems = [{"what": "idle_rule", "level": 1, "text": "rule 7 matches nothing",
                     "do": "holdfast rules"},
                    {"what": "mute_hop", "level": 2, "text": "store does not answer " + HOSTILE,
                     "do": "holdfast list hop=store"},
                    {"what": "held", "level": 1, "text": "rule 8 is overdue"},
                    {"what": "new", "level": 0, "text": "something new"}]
        well = {**STATUS, "totals": {}, "frozen": [], "problems": problems}
        self.control.override = {"v": 1, "ok": True, **well}
        code, out, _ = self.run_cli("status")
        self.assertEqual(code, 2)
        self.assertTrue(out.startswith("CRITICAL"))
        places = [out.index(word) for word in
                  ("CRITICAL    store does not answer", "do: holdfast list hop=store",
                   "WARNING     rule 7 matches nothing", "do: holdfast rules",
                   "WARNING     rule 8 is overdue", "NOTE        something new", "dataplane")]
        self.assertEqual(places, sorted(places))
        self.assertNotIn("next:", out) # each problem says what to do
        self.assertEqual(self.run_cli("--json", "status")[0], 2)
        for count, level in ((30, 1), (0, 0)):
            well["problems"] = [{"what": "held", "level": 1, "text": f"rule {i}."}
                                for i in range(count)]
            self.control.override = {"v": 1, "ok": True, **well, "hops": []}
            code, out, _ = self.run_cli("status")
            self.assertEqual((code, "(10 more: --all)" in out), (level, count > 20))
        self.control.override["problems"] = [problems[2]] * 30
        self.assertEqual(self.run_cli("status", "--all")[1].count("rule 8"), 30)

    def test_damage_and_orphans_are_said_by_a_control_that_names_no_problems(self):
        for totals, code, words in (
                ({"damaged": 2}, 2, "2 places in the spool are damaged"),
                ({"orphans": 3, "held": 3}, 1, "3 deliveries are orphans: their route is not"),
                ({"held": 3}, 1, "holdfast rules")):
            self.control.override = {"v": 1, "ok": True, **STATUS, "totals": totals, "frozen": [],
                                     "hops": []}
            self.assertEqual(self.run_cli("status")[0], code)
            self.assertIn(words, self.run_cli("status")[1])
        self.control.override["dataplane"] = {"attached": True, "spool": "full"}
        self.assertIn("the spool is full: senders get 452", self.run_cli("status")[1])

    def test_no_control_is_critical_and_json_stays_json(self):
        code, out, _ = self.run_cli("--json", "status", socket_path="/nonexistent/s")
        self.assertEqual(code, 2)
        self.assertEqual(json.loads(out)["exit"], 2)

    def with_config(self, text, *args):
        """Runs with a configuration that was named, and nothing else said about the socket."""
        path = os.path.join(self.dir.name, "b.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([HOLDFAST, "--config", path, *args], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=30)
        return done.returncode, done.stderr.decode()

    def test_a_typo_in_the_configuration_does_not_keep_an_operator_out(self):
        code, told = self.with_config(f'run_dir = "{self.dir.name}";\nhops = (\n', "count")
        self.assertEqual(code, 0, told)
        self.assertIn("b.conf:", told)
        self.assertIn("asking control in " + self.dir.name, told)
        self.assertEqual(len(self.control.asked), 1)

    def test_a_configuration_leads_to_its_own_relay_or_to_none(self):
        for text in ("", "x = ;\n", f'rundir = "{self.dir.name}";\n',
                     f'run_dir = "{self.dir.name}";\nrun_dir = "/run/other";\n'):
            code, told = self.with_config(text, "hold", "all", "--reason", "x", "--yes")
            self.assertEqual(code, 64, text)
            self.assertIn("--socket", told)
            self.assertNotIn("admin.sock:", told)
        done = subprocess.run([HOLDFAST, "--config", "/nonexistent/b.conf", "status"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 64)
        self.assertNotIn(b"/run/holdfast", done.stderr)
        self.assertEqual(self.control.asked, [])

    def test_looking_asks_what_was_typed(self):
        code, out, _ = self.run_cli("list", "route=staff", "older=15m", "--limit", "5",
                                    "--after=5k2m0")
        self.assertEqual(code, 0)
        asked = self.control.asked[-1]
        self.assertEqual(asked["select"], ["route=staff", "age>15m"])
        self.assertEqual((asked["limit"], asked["after"]), (5, "5k2m0"))
        self.assertIn("<>", out)
        self.assertIn("(+2)", out)
        self.assertIn("policy: 550 5.7.1", out)
        self.assertIn("held by rule 17", out)
        self.assertIn("--after 5k2m0", out)
        self.assertEqual(self.run_cli("count", "state=frozen", "--by", "route")[0], 0)
        self.assertEqual(self.run_cli("rules")[0], 0)
        self.assertEqual(self.run_cli("audit", "--limit", "3")[0], 0)
        code, out, _ = self.run_cli("show", "5k2m0")
        self.assertEqual(code, 0)
        self.assertIn("jd@example.org", out)

    def test_body_comes_out_byte_by_byte_into_a_pipe(self):
        done = subprocess.run([HOLDFAST, "--socket", self.path, "show", "5k2m0", "--body"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        self.assertTrue(done.stdout.endswith(b"Subject: hi\r\n\r\na\0b\xff\r\n"))

    def test_json_is_the_answer(self):
        code, out, _ = self.run_cli("--json", "list")
        self.assertEqual(code, 0)
        self.assertEqual(json.loads(out)["deliveries"][0], DELIVERY)

    def test_wrong_use_is_64_and_asks_nothing(self):
        for args in (["bogus"], ["list", "foo"], ["list", "age>"], ["list", "--bogus"],
                     ["hold", "all"], ["hold", "--reason", "x"], ["hold", "all", "--reason", " "],
                     ["release", "--reason", "x", "--yes"], ["retry"], ["count", "--by", "moon"],
                     ["show"], ["show", "a", "b"], ["rules", "remove", "x", "--reason", "y"],
                     ["rules", "bogus"], ["status", "x"], ["list", "--limit", "0"],
                     ["list", "--limit"], ["hold", "all", "--reason", "x", "--yes=many"],
                     ["spool"], ["spool", "export"], [], ["list"] + ["id=1"] * 33):
            self.assertEqual(self.run_cli(*args)[0], 64, args)
        self.assertEqual(self.control.asked, [])

    def test_without_a_terminal_nothing_is_done_unasked(self):
        for args in (["hold", "all"], ["release", "all"], ["retry", "all"],
                     ["rules", "remove", "17"]):
            self.assertEqual(self.run_cli(*args, "--reason", "x")[0], 64)
        self.assertTrue(all(request["dry_run"] for request in self.control.asked))

    def test_dry_run_changes_nothing_and_needs_no_reason(self):
        code, out, _ = self.run_cli("hold", "route=staff", "--dry-run")
        self.assertEqual(code, 0)
        self.assertIn("3 deliveries, 4 recipients; 1 are under way", out)
        self.assertEqual([r.get("dry_run") for r in self.control.asked], [True])

    def test_yes_acts_after_the_plan(self):
        code, out, _ = self.run_cli("hold", "route=staff", "--reason", "INC47", "--yes")
        self.assertEqual(code, 0)
        self.assertIn("rule 17: held 3", out)
        self.assertEqual([r.get("dry_run") for r in self.control.asked], [True, None])
        self.assertEqual(self.control.asked[1]["reason"], "INC47")
        self.assertNotIn("yes_count", self.control.asked[1])

    def test_yes_with_a_count_holds_the_plan_to_it(self):
        self.assertEqual(self.run_cli("release", "all", "--reason", "x", "--yes=4")[0], 64)
        self.assertEqual(len(self.control.asked), 1)
        self.assertEqual(self.run_cli("release", "all", "--reason", "x", "--yes=3")[0], 0)
        self.assertEqual(self.control.asked[-1]["yes_count"], 3)
        self.assertEqual(self.run_cli("rules", "remove", "17", "--reason", "x", "--yes")[0], 0)
        self.assertEqual(self.control.asked[-1]["remove"], 17)

    def at_terminal(self, typed, *args):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(HOLDFAST, [HOLDFAST, "--socket", self.path, *args])
        seen = b""
        while b"[yes/no]" not in seen and select.select([fd], [], [], 20)[0]:
            seen += os.read(fd, 4096)
        os.write(fd, typed)
        try:
            while select.select([fd], [], [], 20)[0]:
                seen += os.read(fd, 4096)
        except OSError:
            pass # the terminal is closed: the command has ended
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()

    def test_a_terminal_is_asked(self):
        code, seen = self.at_terminal(b"no\n", "hold", "all", "--reason", "x")
        self.assertEqual(code, 1)
        self.assertEqual(len(self.control.asked), 1)
        self.assertIn("hold all: 3 deliveries", seen)
        code, seen = self.at_terminal(b"yes\n", "hold", "all", "--reason", "x")
        self.assertEqual(code, 0)
        self.assertIn("rule 17", seen)
        self.assertEqual(self.at_terminal(b"\x04", "retry", "all", "--reason", "x")[0], 1)

    def test_yes_is_yes_however_it_is_written(self):
        for typed, code in ((b"Yes\n", 0), (b"YES\n", 0), (b"y\n", 0), (b" Y \n", 0), (b"n\n", 1),
                            (b"\n", 1), (b"yess\n", 1), (b"ye\n", 1), (b"no yes\n", 1),
                            (b"yes please\n", 1), (b"y no\n", 1), (b"yes \t\n", 0),
                            (b"yes" + b" " * 13 + b"no\n", 1), (b"yes" + b" " * 200 + b"no\n", 1)):
            self.control.asked.clear()
            self.assertEqual(self.at_terminal(typed, "retry", "all", "--reason", "x")[0], code)
            self.assertEqual(len(self.control.asked), 2 if code == 0 else 1, typed)

    def test_a_misspelled_word_is_told_which_there_are(self):
        for term, words in (("class=polcy", "none, delivered, refused"), ("class=", "poison"),
                            ("state=frozn", "waiting, in_flight, frozen, held, orphan"),
                            ("older=5x", "90s, 15m, 2h, 7d"), ("newer=h", "90s"),
                            ("rule=x", "a number"), ("rote=staff", "id= route= domain="),
                            ("route=", "something behind the =")):
            code, _, told = self.run_cli("list", term)
            self.assertEqual(code, 64, term)
            self.assertIn(term, told)
            self.assertIn(words, told)
        self.assertEqual(self.control.asked, [])
        for term in ("class=lost_at_dot", "state=orphan", "newer=250ms", "rule=4294967295"):
            self.assertEqual(self.run_cli("count", term)[0], 0, term)

    def test_help_is_there_wherever_it_is_asked_for(self):
        whole = self.run_cli("help")[1]
        verbs = [line.split()[0] for line in whole.split("\n\n")[1].splitlines()]
        self.assertIn("completion", verbs)
        for verb in verbs:
            for args in ([verb, "-h"], [verb, "--help"], ["help", verb], [verb, "x", "y", "-h"],
                         ["-h", verb], ["--help", verb, "x"], ["--json", "-h", verb]):
                code, out, _ = self.run_cli(*args)
                self.assertEqual(code, 0, args)
                self.assertTrue(out.startswith(f"usage: holdfast {verb}"), args)
        for args in (["-h"], ["--json", "-h"], ["help"], ["--help"]):
            self.assertEqual(self.run_cli(*args)[:2], (0, whole), args)
        self.assertEqual(self.run_cli("help", "bogus")[0], 64)
        self.assertEqual(self.run_cli("-h", "bogus")[0], 64)
        told = self.run_cli("-h", "count")[1]
        for field in ("route", "state", "class", "hop", "domain", "route,class"):
            self.assertIn(field, told.split("--by FIELD")[1].splitlines()[0])
        self.assertEqual(self.control.asked, [])

    def test_a_person_at_a_terminal_sees_that_control_is_waited_for(self):
        self.control.delay_s = 1.7
        out, fd = pty.openpty()
        done = subprocess.run([HOLDFAST, "--socket", self.path, "count"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=fd, timeout=30)
        os.write(fd, b"END")
        told = b""
        while not told.endswith(b"END"): # the terminal may give it in pieces
            told += os.read(out, 4096)
        told = told[:-3]
        os.close(fd)
        os.close(out)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"waiting for control: 1 s", told)
        self.assertTrue(told.endswith(b" \r")) # and it is gone when the answer is there
        self.assertEqual(self.run_cli("count")[2], "")

    def test_refusals_keep_their_exit(self):
        for told, code in ((1, 1), (2, 2), (64, 64), (7, 2)):
            self.control.override = {"v": 1, "ok": False, "error": HOSTILE, "exit": told}
            self.assertEqual(self.run_cli("list")[0], code)

    def test_nonsense_from_control_is_critical(self):
        for raw in (b"", b"\0\0", struct.pack(">I", 5) + b"abc", struct.pack(">I", 2) + b"[]",
                    struct.pack(">I", 0), struct.pack(">I", 1 << 31), struct.pack(">I", 3) + b"{}x",
                    struct.pack(">I", 4) + b'{"\xff}'):
            self.control.raw = raw
            self.assertEqual(self.run_cli("list")[0], 2, raw)

    def test_answers_with_wrong_types_do_no_harm(self):
        wrong = {"v": 1, "ok": True}
        for key in ("hostname", "dataplane", "totals", "routes", "hops", "frozen", "deliveries",
                    "by", "rules", "entries", "events", "recipients", "rcpts", "sender",
                    "problems"):
            for value in (None, 7, "x", [], [7], [None], ["x"], {}, [{}]):
                self.control.override = {**wrong, key: value}
                for args in (["status", "--all"], ["list"], ["count"], ["show", "x"], ["rules"],
                             ["audit"]):
                    self.assertIn(self.run_cli(*args)[0], (0, 1, 2))

    def test_offline(self):
        empty = os.path.join(self.dir.name, "none")
        self.assertEqual(self.run_cli("spool", "list", "--dir", empty)[0], 2)
        for verb in (["list"], ["verify"], ["export", empty]):
            self.assertEqual(self.run_cli("spool", *verb, "--dir", self.dir.name)[0], 1)
        self.assertFalse(os.path.exists(empty))
        self.assertEqual(self.run_cli("config", "check", empty)[0], 2)
        self.assertEqual(self.run_cli("--version")[0], 64) # only alone
        done = subprocess.run([HOLDFAST, "--version"], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 0)
        for args in (["help"], ["help", "hold"], ["hold", "--help"], ["--help"]):
            self.assertEqual(self.run_cli(*args)[0], 0)


if __name__ == "__main__":
    unittest.main()
