#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_refuse.py: what is wrong is refused, by both daemons, in one line.

Promise: a wrong configuration, a missing right, a second instance end with a status that is not
         zero and one line that names the file and line, or the thing that is missing.
"""
import os
import re
import shutil
import subprocess

import harness
from lab import RELAY, command

# name: (pattern in the example, replacement, what the line must contain)
WRONG = {
    "unknown key": (r"(?m)^hostname", "hostnam", r":\d+: "),
    "missing key": (r"(?m)^hostname.*$", "", r"hostname"),
    "syntax": (r"(?m)^spool: \{", "spool: {{", r":\d+: "),
    "bad address": (r"198\.51\.100\.10/26", "198.51.100.300/26", r":\d+: .*198\.51\.100\.300"),
    "bad prefix": (r"198\.51\.100\.10/26", "198.51.100.10/99", r":\d+: "),
    "wrong unit": (r'first = "2s"', 'first = "2 parsecs"', r":\d+: .*parsecs"),
    "number without unit": (r'first = "2s"', "first = 2", r":\d+: "),
    "unknown hop in a route": (r'hops = \[ "staff-store" \]', 'hops = [ "nobody" ]',
                               r":\d+: .*nobody"),
    "two hops of one name": (r'name = "student-store"', 'name = "staff-store"',
                             r":\d+: .*staff-store"),
    "domain on two routes": (r'domains = \[ "students', 'domains = [ "staff', r":\d+: "),
    "limit too high": (r"rcpts = 128", "rcpts = 100000", r":\d+: "),
    "unknown io": (r'io = "auto"', 'io = "magic"', r":\d+: .*magic"),
    "listen elsewhere": (r'address = "198\.51\.100\.10"; port', 'address = "192.0.2.1"; port',
                         r":\d+: "),
}


def binary(lab, name):
    return os.path.join(lab.build, name, f"holdfast-{name}")


def attempt(lab, name, *options, config=None, prefix=(), seconds=30):
    """Runs a daemon that should end by itself: status and standard error."""
    argv = lab.exec("relay", *prefix, binary(lab, name), "--config", config or lab.config, *options)
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        return None, (late.stderr or b"").decode(errors="replace")
    return done.returncode, done.stderr


def refused(check, what, result, pattern):
    status, text = result
    rows = text.strip().splitlines()
    check(status not in (0, None) and status > 0, f"{what}: ends with a status, not 0",
          f"{status}: {text[-300:]}")
    check(len(rows) == 1 and re.search(pattern, text) is not None,
          f"{what}: one clear line", text[-600:] or "nothing said")


def wrong_files(lab, check):
    with open(lab.config, encoding="utf-8") as file:
        good = file.read()
    path = lab.path("wrong.conf")
    for what, (pattern, to, expected) in WRONG.items():
        text, count = re.subn(pattern, to, good, count=1)
        assert count == 1, what
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        for name in ("dataplane", "control"):
            refused(check, f"{what}, {name}", attempt(lab, name, config=path), expected)
        status, _ = attempt(lab, "dataplane", "--check", config=path)
        check(status not in (0, None), f"{what}: --check refuses it, too")
        check(lab.cli("config", "check", path, check=False).returncode != 0,
              f"{what}: holdfast config check refuses it, too")
    missing = lab.path("nowhere.conf")
    for name in ("dataplane", "control"):
        refused(check, f"no file, {name}", attempt(lab, name, config=missing), "nowhere.conf")
        check(attempt(lab, name, "--check")[0] == 0, f"the example passes {name} --check")
        check(attempt(lab, name, "--frobnicate")[0] not in (0, None), f"{name}: unknown option")
        for option in ("--help", "--version"):
            check(attempt(lab, name, option)[0] == 0, f"{name} {option}")


def missing_rights(lab, check):
    if not shutil.which("setpriv"):
        return
    prefix = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
    for name in ("dataplane", "control"):
        # When the user `nobody` cannot read the build's folder, this cannot be tested.
        if command("setpriv", *prefix[1:], "test", "-x", binary(lab, name), check=False).returncode:
            continue
        refused(check, f"not root, {name}", attempt(lab, name, prefix=prefix), "start as root")
    with open(lab.config, encoding="utf-8") as file:
        good = file.read()
    path = lab.path("wrong.conf")

    def changed(what, expected, *pairs):
        text = good
        for pattern, to in pairs:
            text, count = re.subn(pattern, to, text, count=1)
            assert count == 1, pattern
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        refused(check, what, attempt(lab, "dataplane", config=path), expected)

    changed("no such interface", "no network interface \"hf-none\"",
            ("iface=hf-out0", "iface=hf-none"))
    changed("more memory than there is", r"hugepages and there are \d+",
            ("hugepages = (true|false)", "hugepages = true"), ('memory = "512MiB"',
                                                              'memory = "900GiB"'))
    lab.ip("relay", "address", "add", f"{RELAY}/32", "dev", "hf-out0")
    refused(check, "address in use by the kernel", attempt(lab, "dataplane"),
            f"{re.escape(RELAY)} is in use by the kernel")
    lab.ip("relay", "address", "del", f"{RELAY}/32", "dev", "hf-out0")


def second_instances(lab, check):
    lab.sinks_start()
    lab.daemons_start()
    for name in ("dataplane", "control"):
        refused(check, f"a second {name} of this instance", attempt(lab, name),
                r"already running")
        check(lab.processes[name].is_alive(), f"the first {name} goes on")
    other = lab.path("other.conf")
    with open(lab.config, encoding="utf-8") as file:
        text = file.read()
    for folder in ("run", "state", "spool"):
        text = text.replace(lab.path(folder), lab.path("other", folder))
    with open(other, "w", encoding="utf-8") as file:
        file.write(re.sub('instance = "[^"]*"', 'instance = "other"', text))
    refused(check, "another instance on this one's interfaces",
            attempt(lab, "dataplane", config=other), '"hf-out0" is in use by another')
    sent = lab.send("after", "--count", "20")
    check(sent["accepted"] == 20 and harness.settle(lab), "and takes and delivers mail", str(sent))
    harness.account_check(lab, check)
    for name in ("dataplane", "control"):
        check(lab.kill(name) == 0, f"{name} ends with 0 on SIGTERM")
    keys = {}
    for name in ("meta", "meta-2"):
        path = lab.path("spool", name)
        with open(path, "r+b") as file:
            keys[path] = file.read()
            file.seek(20)
            file.write(bytes([keys[path][20] ^ 1]))
    for name in ("dataplane", "control"):
        refused(check, f"a damaged spool, {name}", attempt(lab, name),
                f"spool {re.escape(lab.path('spool'))}: meta: damaged")
    for path, data in keys.items():
        with open(path, "wb") as file:
            file.write(data)
    os.rename(lab.path("spool"), lab.path("spool.away"))
    for name in ("dataplane", "control"):
        refused(check, f"the spool is gone, {name}", attempt(lab, name),
                "spool.dir .*mount or restore it")
    check(not os.path.exists(lab.path("spool")), "and no empty one is made in its place")


def test(lab, check):
    wrong_files(lab, check)
    missing_rights(lab, check)
    second_instances(lab, check)


if __name__ == "__main__":
    harness.main("refuse", test)
