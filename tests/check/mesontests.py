#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/check/mesontests.py BUILD REGEX [--quick]: runs the meson tests whose executable or source
lies where REGEX says, and closes with a line "PASSED FAILED NAME..." for ./check to add up. --quick
leaves out the slow ones.

Promise: a test that is expected and did not report a success has failed. A name in SLOW that no
         test has fails, too.
Trap:    meson's own log is the judge, not its exit status.
"""
import json
import os
import re
import subprocess
import sys


SUPPRESSIONS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                            "lsan.supp")


# Seconds each takes by itself on two idle CPUs, from meson's log. Without these the rest takes less
# than ./check fast may take; `./check unit` and `./check` run them.
SLOW = {
    "spool-crash": 11.9, "cli": 8.1, "bench-run": 5, "spool-writer": 4.6, "control_delivery": 3.9,
    "control_operator": 3.5, "spool-checkpoint": 3.5, "control_log": 3.2, "spool-scan": 2.4,
    "spool-disk": 2.3, "dataplane-writer": 2.2, "dataplane-attach": 2.0, "spool-space": 1.9,
    "rules": 3.3,
}


def chosen(build, pattern, quick):
    """Names as `meson test` takes them; the command line tells where a test comes from."""
    out = subprocess.run(["meson", "introspect", "--tests", build], stdout=subprocess.PIPE,
                         check=True, stdin=subprocess.DEVNULL).stdout
    tests = json.loads(out)
    stale = sorted(set(SLOW) - {test["name"] for test in tests})
    if quick and stale:
        print(f"FAIL  slow tests that are not there: {', '.join(stale)}")
        print(f"0 1 {' '.join(stale)}")
        sys.exit(1)
    return [test["name"] for test in tests
            if any(re.search(pattern, word) for word in test["cmd"])
            and not (quick and test["name"] in SLOW)]


def main():
    build, pattern = sys.argv[1:3]
    names = chosen(build, pattern, sys.argv[3:] == ["--quick"])
    log = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    if not names:
        print(f"FAIL  no test matches {pattern}")
        print(f"0 1 no-tests:{pattern}")
        return
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
                       LSAN_OPTIONS=f"suppressions={SUPPRESSIONS}:print_suppressions=0",
                       UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    with open(os.path.join(build, "meson-test.log"), "wb") as out:
        subprocess.run(["nice", "meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs",
                        "--num-processes", "2", *names], stdout=out, stderr=out, check=False,
                       stdin=subprocess.DEVNULL, env=environment)
    results = {}
    if os.path.exists(log):
        with open(log, encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                results[entry["name"].rpartition(" / ")[2]] = entry
    failed = [name for name in names
              if results.get(name, {}).get("result") not in ("OK", "EXPECTEDFAIL")]
    for name in names:
        entry = results.get(name, {"result": "NOT RUN", "duration": 0})
        if name in failed:
            print(f"FAIL  {name}: {entry['result']}")
            text = entry.get("stdout", "") + entry.get("stderr", "")
            for row in text.strip().splitlines()[-40:]:
                print(f"      {row}")
        else:
            print(f"ok    {name} {entry['duration']:.1f} s")
    print(f"{len(names) - len(failed)} {len(failed)} {' '.join(failed)}")


if __name__ == "__main__":
    main()
