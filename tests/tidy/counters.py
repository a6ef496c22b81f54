# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/counters.py: for tidy.py: every counter is counted, and a test saw it move.

A counter is counted where the dataplane names it in counter_add, counter_set or a function that
calls them (net.c's drop). A test saw it move where it asserts that it is some number but 0:

    cr_assert_eq(counted(COUNTER_delivers), 1);     cr_assert_gt(counted(COUNTER_rx_packets), 0);
    check(lab.counter("worker_busy_cycles") > 0, "the worker worked")      (tests/system)

Promise: no counter is exempt.
Trap:    an assertion that a counter is 0, or what some function returns, does not count: it also
         holds for a counter that never moves.
"""
import re

TABLE = "common/counters.def"
COUNTING = r"\b(?:counter_add|counter_set|drop)\s*\([^;]*?\bCOUNTER_(\w+)"
SYSTEM = r"\bcheck\([^\n]*?\"(\w+)\"[\])]+\s*>\s*\w+"


def table(tidy):
    names = re.findall(r"(?m)^COUNTER\((\w+),", tidy.read(TABLE))
    if not names:
        tidy.breach(TABLE, 1, "no counter that this test can read")
    return names


def counted(tidy, code_only):
    names = set()
    for path in tidy.files:
        if path.startswith("dataplane/") and path.endswith(".c"):
            code = code_only(tidy.read(path))
            names.update(re.findall(COUNTING, code))
            for call in re.findall(r"\bcounter_add\s*\([^;]*;", code):  # one of two, by a condition
                names.update(re.findall(r"\bCOUNTER_(\w+)", call))
    return names


def seen_moving(tidy, code_only):
    names = set()
    for path in tidy.files:
        if path.startswith("tests/unit/") and path.endswith(".c"):
            for statement in re.findall(r"\bcr_assert_\w+\s*\([^;]*;", code_only(tidy.read(path))):
                names.update(moves(statement))
        elif path.startswith("tests/system/t_") and path.endswith(".py"):
            names.update(re.findall(SYSTEM, re.sub(r"\n\s+", " ", tidy.read(path))))
    return names


def moves(statement):
    """The counter that an assertion says is not 0."""
    match = re.match(r"cr_assert_(gt|geq|eq)\s*\(\s*(?:counter_get|fake_count|counted|figure)\("
                     r"(?:[^,()]+,\s*)?COUNTER_(\w+)\),\s*([^,]+?)\s*[,)]", statement)
    if match is None:
        return []
    kind, name, value = match.groups()
    number = not re.search(r"\w\s*\(", value)   # what a function says may be 0
    return [name] if kind == "gt" or (number and value != "0") else []


def check(tidy, code_only):
    names = table(tidy)
    places = {name: tidy.read(TABLE).count("\n", 0, tidy.read(TABLE).find(f"COUNTER({name},")) + 1
              for name in names}
    here, there = counted(tidy, code_only), seen_moving(tidy, code_only)
    for name in names:
        if name not in here:
            tidy.breach(TABLE, places[name], f"nothing in dataplane/ counts {name}")
        if name not in there:
            tidy.breach(TABLE, places[name], f"no test asserts that {name} moves")
