#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/unit/cli/test_completion.py HOLDFAST BASH_SCRIPT [ZSH_SCRIPT ZSH]: what Tab offers.

The shells themselves are asked: bash by calling the function as readline does, zsh and bash also at
a terminal.

Promise: whatever the command takes is offered, and nothing else. A name that control tells cannot
         become a command of the shell.
"""
import json
import os
import pty
import re
import select
import shlex
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HOLDFAST, BASH_SCRIPT = (os.path.abspath(path) for path in sys.argv[1:3])
ZSH_SCRIPT, ZSH = (sys.argv[3:5] + [None, None])[:2]
STATUS = {"v": 1, "ok": True, "routes": [{"name": "staff"}, {"name": "students"},
                                         {"name": "$(touch x)"}, {"name": "a;b"}],
          "hops": [{"name": "store-1"}]}
RULES = {"v": 1, "ok": True, "rules": [{"id": 17}, {"id": 170}, {"id": 3}]}


def serve(listener):
    while True:
        try:
            conn, _ = listener.accept()
        except OSError:
            return
        with conn:
            head = conn.recv(4, socket.MSG_WAITALL)
            request = json.loads(conn.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))
            text = json.dumps(RULES if request["cmd"] == "rules" else STATUS).encode()
            conn.sendall(struct.pack(">I", len(text)) + text)


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory(prefix="holdfast-completion-")
        cls.socket = os.path.join(cls.dir.name, "s")
        cls.listener = socket.socket(socket.AF_UNIX)
        cls.listener.bind(cls.socket)
        cls.listener.listen(8)
        threading.Thread(target=serve, args=(cls.listener,), daemon=True).start()
        os.symlink(HOLDFAST, os.path.join(cls.dir.name, "holdfast"))
        cls.env = {**os.environ, "PATH": cls.dir.name + ":" + os.environ["PATH"], "TERM": "dumb",
                   "LC_ALL": "C.UTF-8"}

    @classmethod
    def tearDownClass(cls):
        cls.listener.shutdown(socket.SHUT_RDWR)
        cls.listener.close()
        cls.dir.cleanup()

    def bash(self, line, before=""):
        """What bash is offered at the end of the line."""
        script = (f"source {shlex.quote(BASH_SCRIPT)}; {before} COMP_LINE={shlex.quote(line)}; "
                  "COMP_POINT=${#COMP_LINE}; _holdfast; printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "--norc", "-uc", script], stdin=subprocess.DEVNULL,
                              capture_output=True, env=self.env, cwd=self.dir.name, timeout=30)
        self.assertEqual(done.stderr, b"", line)
        return done.stdout.decode().split()

    def help_of(self, *args):
        return subprocess.run([HOLDFAST, "help", *args], capture_output=True, timeout=30,
                              check=True).stdout.decode()

    def test_every_command_and_every_option(self):
        verbs = re.findall(r"(?m)^  ([a-z]+) ", self.help_of())
        self.assertGreater(len(verbs), 10)
        self.assertEqual(self.bash("holdfast "), verbs)
        for verb in verbs:
            options = re.findall(r"(?m)^  (--[a-z-]+)", self.help_of(verb))
            self.assertEqual(self.bash(f"holdfast {verb} --"), options)
        self.assertEqual(self.bash("holdfast --"), ["--json", "--socket", "--config", "--help"])
        self.assertEqual(self.bash("holdfast --json re"), ["release", "retry"])
        self.assertEqual(self.bash("holdfast help re"), ["release", "retry"])

    def test_terms_of_a_selection(self):
        terms = re.findall(r"(?m)^  ([a-z]+=)", self.help_of())
        for verb in ("list", "count", "hold", "release", "retry"):
            self.assertEqual(self.bash(f"holdfast {verb} "), ["all", *terms])
            self.assertEqual(self.bash(f"holdfast {verb} state=frozen cl"), ["class="])
        self.assertEqual(self.bash("holdfast status "), [])
        self.assertEqual(self.bash("holdfast list class=user"), ["user_unknown"])
        self.assertEqual(self.bash("holdfast list state="),
                         ["waiting", "in_flight", "frozen", "held", "orphan"])
        self.assertEqual(self.bash("holdfast list state=fr", "COMP_WORDBREAKS=' ';"),
                         ["state=frozen"])
        self.assertEqual(self.bash("holdfast list sender="), [])

    def test_values_of_options(self):
        self.assertEqual(self.bash("holdfast count --by "),
                         ["route", "state", "class", "domain", "hop"])
        self.assertEqual(self.bash("holdfast count --by=st"), ["state"])
        self.assertEqual(self.bash("holdfast hold all --reason st"), [])
        self.assertEqual(self.bash("holdfast hold --reason x st"), ["state="])
        os.makedirs(os.path.join(self.dir.name, "a dir", "below"), exist_ok=True)
        with open(os.path.join(self.dir.name, "a file"), "w", encoding="utf-8"):
            pass
        self.assertEqual(self.bash("holdfast spool list --dir a"), ["a", "dir"])
        self.assertEqual(sorted(self.bash("holdfast --config a")), ["a", "a", "dir", "file"])

    def test_words_of_a_command(self):
        self.assertEqual(self.bash("holdfast spool "), ["list", "verify", "export"])
        self.assertEqual(self.bash("holdfast spool verify "), [])
        self.assertEqual(self.bash("holdfast spool export a"), ["a", "dir"])
        self.assertEqual(self.bash("holdfast rules r"), ["remove"])
        self.assertEqual(sorted(self.bash("holdfast config check a")), ["a", "a", "dir", "file"])
        self.assertEqual(self.bash("holdfast completion "),
                         ["bash", "zsh", "routes", "hops", "rules"])

    def test_names_are_asked_of_the_control_that_the_line_names(self):
        to = f"holdfast --socket {self.socket} "
        self.assertEqual(self.bash(to + "list route="), ["staff", "students"])
        self.assertEqual(self.bash(to + "list route=stu"), ["students"])
        self.assertEqual(self.bash(f"holdfast --socket={self.socket} retry hop=s"), ["store-1"])
        self.assertEqual(self.bash(to + "release rule=17"), ["17", "170"])
        self.assertEqual(self.bash(to + "rules remove 3"), ["3"])
        self.assertEqual(self.bash("holdfast --socket /nonexistent/s list route="), [])

    def at_terminal(self, argv, prompt, typed, expected):
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.dir.name)
            os.execvpe(argv[0], argv, self.env)
        seen = b""
        end = time.monotonic() + 30
        for wanted, keys in ((prompt, typed), (expected, "\x03\x04")):
            at = len(seen)
            while wanted.encode() not in seen[at:] and time.monotonic() < end:
                if select.select([fd], [], [], 0.2)[0]:
                    try:
                        seen += os.read(fd, 4096)
                    except OSError:
                        break
            self.assertIn(wanted, seen[at:].decode(errors="replace"))
            os.write(fd, keys.encode())
        os.close(fd)
        os.waitpid(pid, 0)

    def shell(self, name, start):
        path = os.path.join(self.dir.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(start)
        return path

    def test_bash_at_a_terminal(self):
        start = self.shell("rc", f"PS1='ready> '; source {shlex.quote(BASH_SCRIPT)}\n")
        argv = ["bash", "--noprofile", "--rcfile", start, "-i"]
        self.at_terminal(argv, "ready> ", "holdfast sta\t", "status ")
        self.at_terminal(argv, "ready> ", "holdfast list class=pol\t", "class=policy ")
        self.at_terminal(argv, "ready> ", "holdfast count --b\tdom\t", "--by domain ")

    @unittest.skipIf(ZSH is None, "zsh is not installed")
    def test_zsh_at_a_terminal(self):
        folder = os.path.dirname(os.path.abspath(ZSH_SCRIPT))
        self.shell(".zshrc", f"PS1='ready> '; fpath=({shlex.quote(folder)} $fpath)\n"
                             "autoload -U compinit; compinit -u -D\n")
        self.env["ZDOTDIR"] = self.dir.name
        argv = [ZSH, "-d", "-i"]
        self.at_terminal(argv, "ready> ", "holdfast sta\t", "status ")
        self.at_terminal(argv, "ready> ", "holdfast list cla\tpol\t", "class=policy ")
        self.at_terminal(argv, "ready> ", "holdfast count --by dom\t", "--by domain ")
        self.at_terminal(argv, "ready> ", f"holdfast --socket {self.socket} list route=stu\t",
                         "route=students ")
        self.at_terminal(argv, "ready> ", "holdfast spool exp\t", "export ")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5 if ZSH else 3:])
