#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/test_rules.py [ROOT]: do the house rules find what they are there for?

Each fault below is one that a person makes who adds something and forgets a step. Each is planted
alone in a copy of the tree; the rule must tell it, with the file and the words given here.

Promise: the copy has no breach of these rules before, so what is told is the planted fault.
Trap:    a fault whose text is no longer in the tree fails here: write it anew for the present text.
         Layout and mutations have their own tests, and mandoc judges the manuals.
"""
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
import docs
import docs_cli
import tidy

GONE = None     # instead of a text: the file is removed
END = ""        # instead of a text: what is new is put at the end of the file; a new file is made

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = "tests/unit/dataplane/test_counters.c"

# (what is forgotten, by which of RULES, [(file, text, its replacement)...], where, what is told)
FAULTS = [
    ("a script in no list", "listed", [("tests/scripts/server_new.smtp", END, "@server\nS: 220\n")],
     "tests/scripts/server_new.smtp", "does not list this script"),
    ("a script taken out of the list", "listed",
     [("tests/scripts/meson.build", "'server_dots', ", "")],
     "tests/scripts/server_dots.smtp", "does not list this script"),
    ("a script commented out", "listed",
     [("tests/scripts/meson.build", "  'server_timeout',", "  # 'server_timeout',")],
     "tests/scripts/server_timeout.smtp", "does not list this script"),
    ("a unit test that is built nowhere", "listed",
     [("tests/unit/tcp/meson.build", "'test_close.c', ", "")],
     "tests/unit/tcp/test_close.c", "does not list this test"),
    ("a unit test whose namesake in another folder is built", "listed",
     [("tests/unit/dataplane/meson.build", "'client', ", "")],
     "tests/unit/dataplane/test_client.c", "does not list this test"),
    ("a Python test that nothing runs", "listed",
     [("tests/unit/cli/test_new.py", END, "# SPDX-License-Identifier: BSD-3-Clause\n")],
     "tests/unit/cli/test_new.py", "does not list this test"),
    ("a source that is built nowhere", "listed", [("spool/meson.build", "'sync.c', ", "")],
     "spool/sync.c", "in no meson.build"),
    ("a folder of tests that nothing leads to", "listed",
     [("tests/meson.build", "'unit/net', ", "")],
     "tests/unit/net/meson.build", "no meson.build above"),
    ("a fuzz target in no list", "listed",
     [("tests/fuzz/fuzz_new.c", END, "/* SPDX-License-Identifier: BSD-3-Clause */\n")],
     "tests/fuzz/fuzz_new.c", "no such target"),
    ("a fuzz target without a corpus", "listed",
     [("tests/fuzz/corpus/envelope/" + name, END, GONE)
      for name in sorted(os.listdir(os.path.join(HOUSE, "tests/fuzz/corpus/envelope")))],
     "tests/fuzz/fuzz_envelope.c", "nothing replays"),
    ("a corpus without a target", "listed", [("tests/fuzz/corpus/new/one", END, "x\n")],
     "tests/fuzz/corpus/new", "no target reads"),
    ("a system test that only defines itself", "listed",
     [("tests/system/t_loss.py", 'harness.main("loss"', 'print("loss"')],
     "tests/system/t_loss.py", "tests nothing"),
    ("a helper of the system tests that nobody uses", "listed",
     [("tests/system/unused.py", END, "# SPDX-License-Identifier: BSD-3-Clause\n")],
     "tests/system/unused.py", "never runs"),
    ("a verb of SMTP that no test says", "listed",
     [("dataplane/smtp/verbs.def", END, "VERB(ETRN, IN_ANY, etrn)\n")],
     "dataplane/smtp/verbs.def", "says ETRN"),
    ("a counter that nothing counts", "counters",
     [("dataplane/client.c", "counter_add(w->counters, COUNTER_client_reuses, 1);", ";")],
     "common/counters.def", "counts client_reuses"),
    ("a counter whose move no test asserts", "counters",
     [(UNIT, "    cr_assert_eq(counted(COUNTER_client_reuses), 1);\n", "")],
     "common/counters.def", "that client_reuses moves"),
    ("a counter that a test only asserts to be 0", "counters",
     [(UNIT, "counted(COUNTER_dot_lost), 1)", "counted(COUNTER_dot_lost), 0)")],
     "common/counters.def", "that dot_lost moves"),
    ("a new counter, and nothing else", "counters",
     [("common/counters.def", END, 'COUNTER(fresh, "events", "new")\n')],
     "common/counters.def", "nothing in dataplane/ counts fresh"),
    ("a new counter, not in the documents", "docs",
     [("common/counters.def", END, 'COUNTER(fresh, "events", "new")\n')],
     "docs/OPERATING.md", "no row for the counter `fresh`"),
    ("a counter that was taken away", "docs",
     [("docs/OPERATING.md", "| `tx_packets` |", "| `old_packets` |")],
     "docs/OPERATING.md", "there is no counter `old_packets`"),
    ("a configuration made by hand, without the defaults", "sources",
     [("tests/sim/campus.c", "    config_defaults(config);\n", "")],
     "tests/sim/campus.c", "without config_defaults"),
    ("an error that says what the system said and no more", "sources",
     [("dataplane/door.c", "trouble_meaning(r)", "strerror(-r)")],
     "dataplane/door.c", "strerror(: say what was done to what"),
    ("a new command of holdfast", "docs",
     [("control/cli/commands.def", END, 'COMMAND("new", command_new, "", 0, "x", "")\n')],
     "docs/man/holdfast.1", "no item for the command new"),
    ("a command that is no more", "docs",
     [("docs/man/holdfast.1", ".It Cm jobs\n", ".It Cm works\n")],
     "docs/man/holdfast.1", "there is no command works"),
    ("an option that the manual lacks", "docs",
     [("docs/man/holdfast.1", ".It Cm show Ar id Op Fl -body", ".It Cm show Ar id")],
     "docs/man/holdfast.1", "show: options differ"),
    ("a command of the protocol that ADMIN.md lacks", "docs",
     [("docs/ADMIN.md", "**jobs**", "**works**")],
     "docs/ADMIN.md", "the command jobs is only in one of"),
    ("a command that control does not serve", "docs",
     [("control/admin/admin.c", '{"jobs", admin_jobs, false, ""},', ""),
      ("docs/ADMIN.md", "**jobs**", "jobs")],
     "control/admin/admin.c", "does not serve the command jobs"),
    ("a member that ADMIN.md lacks", "docs",
     [("control/admin/admin.c", '"limit after"', '"limit after before"')],
     "docs/ADMIN.md", "**list** does not say its member before"),
    ("a term that the manual lacks", "docs",
     [("docs/man/holdfast.1", ".It Cm hop Ns = Ns Ar name\n", "")],
     "docs/man/holdfast.1", "the term hop="),
    ("a new key, not in the manual", "docs",
     [("common/config.c", '    {"rcpts", CONFIG_KIND', '    {"fresh", CONFIG_KIND')],
     "docs/man/holdfast.conf.5", "the key fresh is missing in section limits"),
    ("a key of the manual that the reader does not know", "docs",
     [("docs/man/holdfast.conf.5", ".It Ic look_group", ".It Ic see_group")],
     "docs/man/holdfast.conf.5", "the reader knows no key see_group"),
    ("a key of which nothing says when it takes effect", "docs",
     [("docs/OPERATING.md", ", `control.look_group`", "")],
     "docs/OPERATING.md", "when control.look_group takes effect"),
    ("an outcome without its row", "docs",
     [("docs/OPERATING.md", "| `loop` | LOOP |", "| `ring` | LOOP |")],
     "docs/OPERATING.md", "no row for the outcome class `loop`"),
    ("an outcome with another disposition", "docs",
     [("common/outcome.def", '"tempfail", WAIT', '"tempfail", FREEZE')],
     "docs/OPERATING.md", "no row for the outcome class `tempfail`"),
    ("a line of the log without its row", "docs",
     [("control/core/notes.def", END, 'NOTE(FRESH, 4, "hop %n: fresh %a")\n')],
     "docs/OPERATING.md", "no row for the log line `hop NAME: fresh N`"),
    ("a line of the log at another level", "docs",
     [("control/core/notes.def", "NOTE(DETACHED, 4", "NOTE(DETACHED, 3")],
     "docs/OPERATING.md", "is error in"),
    ("a problem without its row", "docs",
     [("control/admin/problems.c", '"mute_hop", 1', '"deaf_hop", 1')],
     "docs/ADMIN.md", "no row for the problem `deaf_hop`"),
    ("a state kind without a word", "docs",
     [("common/abi.h", "    ABI_STATE_FAULT,\n", "    ABI_STATE_FAULT,\n    ABI_STATE_NEW,\n")],
     "control/admin/show.c", "no word for the kind of a state record ABI_STATE_NEW"),
    ("a state kind that ADMIN.md lacks", "docs",
     [("control/admin/show.c", '= "fault"', '= "crash"')],
     "docs/ADMIN.md", "does not say the kind of a state record `crash`"),
]

def check_operating(tree):
    operating = tree.read(docs.OPERATING)
    docs.check_outcomes(tree, operating)
    docs.check_counters(tree, operating)


# The parts of tests/tidy; a fault is looked for with one of them.
RULES = {
    "sources": (tidy.Tidy, (tidy.check_sources,)),
    "listed": (tidy.Tidy, tidy.listed.CHECKS),
    "counters": (tidy.Tidy, (tidy.check_counters,)),
    "docs": (docs.Docs, (check_operating, docs.check_config, docs_cli.check, docs.check_control)),
}


class Tree:
    """The copy; what it had is remembered, so that it can be had again."""
    def __init__(self, root):
        self.root = root

    def path(self, name):
        return os.path.join(self.root, name)

    def text(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def put(self, name, text):
        if text is None:
            os.unlink(self.path(name))
            return
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def plant(self, edits):
        """Makes the edits. Returns what undoes them, as [(file, bytes or None)]."""
        undo = []
        for name, old, new in edits:
            before = None
            if os.path.exists(self.path(name)):
                with open(self.path(name), "rb") as file:
                    before = file.read()
            undo.append((name, before))
            if new is GONE:
                self.put(name, None)
            elif old == END:
                self.put(name, ("" if before is None else self.text(name)) + new)
            else:
                text = self.text(name)
                if old not in text:
                    raise ValueError(f"{name} has no {old!r} any more")
                self.put(name, text.replace(old, new, 1))
        return undo

    def mend(self, undo):
        for name, before in reversed(undo):
            if before is None:
                os.unlink(self.path(name))
                folder = os.path.dirname(self.path(name))
                if not os.listdir(folder):
                    os.rmdir(folder)
            else:
                with open(self.path(name), "wb") as file:
                    file.write(before)


def told(root, rules):
    """The lines that the rules print about the tree."""
    out = io.StringIO()
    make, checks = RULES[rules]
    with contextlib.redirect_stdout(out):
        tree = make(root)
        for check in checks:
            check(tree)
    return out.getvalue().splitlines()


def find(tree, fault):
    """None, or why the fault was not found."""
    _, rules, edits, where, words = fault
    try:
        undo = tree.plant(edits)
    except ValueError as error:
        return str(error)
    lines = told(tree.root, rules)
    tree.mend(undo)
    if not any(re.match(rf"{re.escape(where)}:\d+: ", line) and words in line for line in lines):
        return f"not told; what was: {lines or 'nothing'}"
    return None


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else \
        os.path.dirname(os.path.dirname(here))
    missed = 0
    with tempfile.TemporaryDirectory(prefix="hf-rules-", dir="/var/tmp") as place:
        copy = os.path.join(place, "tree")
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", "build*", "__pycache__"))
        tree = Tree(copy)
        for rules in RULES:
            for line in told(copy, rules):
                missed += 1
                print(f"without a fault: {line}")
        for fault in FAULTS:
            why = find(tree, fault)
            if why is not None:
                missed += 1
                print(f"{fault[0]}: {why}")
    print(f"rules: {len(FAULTS)} faults planted, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
