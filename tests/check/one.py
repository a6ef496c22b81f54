#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/check/one.py BUILD NAME: runs the one test of that name, with its output.

NAME is a test as meson has it (control_operator), its executable (test_control_operator), a script
(server_dots or server_dots.smtp), a fuzz target (fuzz_config), a system test (kill or t_kill), or
the number of a simulator's seed.

Promise: exits with the test's own status; 64 when there is no such test, and says which names are
         near. A name that fits several tests runs them all.
"""
import difflib
import glob
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def names_of(test):
    """All names by which a meson test may be asked for."""
    words = [os.path.basename(word) for word in test["cmd"]]
    stems = [os.path.splitext(word)[0] for word in words]
    names = {test["name"], *words, *stems, words[0].removeprefix("test_")}
    names |= {name.removesuffix("_replay") for name in names}
    return names - {"python3", "smtp_runner"}


def meson_tests(build):
    out = subprocess.run(["meson", "introspect", "--tests", build], stdout=subprocess.PIPE,
                         check=True, stdin=subprocess.DEVNULL).stdout
    return json.loads(out)


def commands(build, name):
    """(what, command, environment) of each test that has the name; and all names there are."""
    found, known = [], set()
    if name.isdigit():
        return [(f"seed {name}", [f"{build}/tests/sim/sim", "--seed", name], {})], known
    for test in meson_tests(build):
        names = names_of(test)
        known |= names
        if name in names:
            found.append((test["name"], test["cmd"], test["env"]))
    for path in glob.glob(os.path.join(ROOT, "tests", "system", "t_*.py")):
        stem = os.path.basename(path)[:-3]
        known |= {stem, stem[2:]}
        if name in (stem, stem[2:], stem + ".py"):
            found.append((stem, ["python3", path, "--build", build], {}))
    return found, known


def main():
    build, name = sys.argv[1:]
    found, known = commands(build, name)
    if not found:
        near = difflib.get_close_matches(name, sorted(known), 5, 0.5)
        print(f"no test is called {name}" + (f"; near: {', '.join(near)}" if near else ""),
              file=sys.stderr)
        return 64
    worst = 0
    for what, command, environment in found:
        print(f"{what}: {' '.join(command)}", flush=True)
        done = subprocess.run(command, check=False, env=dict(os.environ, **environment))
        print(f"{'ok   ' if done.returncode == 0 else 'FAIL '} {what}")
        worst = worst or (1 if done.returncode != 0 else 0)
    return worst


if __name__ == "__main__":
    sys.exit(main())
