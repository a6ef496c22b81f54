# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/docs_cli.py: for docs.py: the operator's command against holdfast.1 and ADMIN.md.

    control/cli/commands.def   every command, with its words and options, is an item of holdfast.1
    control/cli/options.def    no other option is named there
    control/cli/terms.def      every term is an item there; what control reads is a row of ADMIN.md
    admin.c                    every command of the protocol has a paragraph in ADMIN.md

Promise: a difference in either direction is told with file and line.
"""
import re

MANUAL = "docs/man/holdfast.1"
ADMIN = "docs/ADMIN.md"
COMMANDS = "control/cli/commands.def"
OPTIONS = "control/cli/options.def"
TERMS = "control/cli/terms.def"
SERVER = "control/admin/admin.c"
STRING = r'"((?:[^"\\]|\\.)*)"'


def items_of(text):
    """Items of the manual that begin with a command: (line, subsection, words, options)."""
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith((".Ss ", ".Sh ")):
            section = line[4:]
        elif line.startswith(".It Cm ") and section in ("Looking", "Acting", "Offline", "Helping"):
            words = line[7:].split()
            literal = [word for word in words if re.fullmatch(r"[a-z]+", word) and
                       words[words.index(word) - 1] != "Ar"]
            yield number, section, literal, re.findall(r"Fl (-[a-z-]+)", line)


def words_of(operands):
    """The words of a command's own that its first operand may be."""
    ways = [way.strip(" []").split() for way in operands.split("|")]
    return {way[0] for way in ways if way and way[0][0].islower()}


def check_commands(docs):
    entries = re.findall(rf"(?m)^COMMAND\({STRING}, \w+, {STRING},\s*([A-Z_ |0]+),",
                         docs.read(COMMANDS))
    options = dict(re.findall(rf"(?m)^OPTION\((\w+), {STRING}", docs.read(OPTIONS)))
    if len(entries) != docs.read(COMMANDS).count("\nCOMMAND(") or not options:
        docs.complain(COMMANDS, 1, "an entry of a shape that this test cannot read")
    acting = {"--reason", "--dry-run", "--yes"}
    manual = docs.read(MANUAL)
    items = list(items_of(manual))
    for name, operands, flags in entries:
        mine = [item for item in items if item[2][:1] == [name]]
        takes = {options[flag] for flag in re.findall(r"CLI_OPT_(\w+)", flags)}
        takes |= acting if "CLI_OPTS_ACT" in flags else set()
        told = {"-" + flag for item in mine for flag in item[3]}
        told |= acting if any(item[1] == "Acting" for item in mine) else set()
        words = {word for item in mine for word in item[2][1:]}
        line = mine[0][0] if mine else 1
        if not mine:
            docs.complain(MANUAL, line, f"no item for the command {name}")
        elif takes != told:
            docs.complain(MANUAL, line, f"{name}: options differ: {sorted(takes ^ told)}")
        if mine and words != words_of(operands):
            docs.complain(MANUAL, line, f"{name}: words differ: {words ^ words_of(operands)}")
    for number, _, words, _ in items:
        if words and words[0] not in [entry[0] for entry in entries]:
            docs.complain(MANUAL, number, f"there is no command {words[0]}")
    for flag in sorted(set(re.findall(r"Fl -([a-z-]+)", manual)) - {"version"}):
        if "--" + flag not in options.values():
            docs.complain(MANUAL, 1, f"there is no option --{flag}")
    for name in options.values():
        if not re.search(rf"Fl -{name[2:]}\b", manual):
            docs.complain(MANUAL, 1, f"the option {name} is not described")


def check_terms(docs):
    entries = re.findall(rf"(?m)^TERM\({STRING}, {STRING},", docs.read(TERMS))
    if not entries or len(entries) != docs.read(TERMS).count("\nTERM("):
        docs.complain(TERMS, 1, "an entry of a shape that this test cannot read")
    selections = docs.read(MANUAL).split(".Ss Selections")[-1].split("\n.Sh ")[0]
    described = {name + "=" for name in re.findall(r"Cm (\w+) Ns = Ns", selections)}
    described |= set(re.findall(r"Cm (\w+[<>])", selections))
    for prefix in sorted(described ^ {entry[0] for entry in entries}):
        docs.complain(MANUAL, 1, f"the term {prefix} is only in one of the manual and {TERMS}")
    table = docs.read(ADMIN).split("## Selections")[-1].split("\n## ")[0]
    read = set(re.findall(r"`(\w+[=<>])[A-Z]+`", table))
    for prefix in sorted(read ^ {entry[1] for entry in entries}):
        docs.complain(ADMIN, 1, f"the term {prefix} is only in one of the table and {TERMS}")


def check_states(docs):
    words = re.search(r"states\[\] = \{([^}]*)\}", docs.read("control/cli/terms.c"))
    row = re.search(r"(?m)^\| `state=STATE` \|(.*)$", docs.read(ADMIN))
    if not words or not row:
        docs.complain(ADMIN, 1, "the states are not where this test looks for them")
        return
    typed = set(re.findall(r'"(\w+)"', words.group(1)))
    for state in sorted(typed ^ set(re.findall(r"`(\w+)`", row.group(1)))):
        docs.complain(ADMIN, 1, f"the state {state} is only in one of {ADMIN} and terms.c")


def check_protocol(docs):
    """In ADMIN.md a command's paragraph begins with its name in bold."""
    table = docs.read(SERVER).split("} commands[] = {")[-1].split("\n};")[0]
    served = set(re.findall(r'\{"(\w+)",', table))
    told = set(re.findall(r"(?m)^\*\*(\w+)\*\*", docs.read(ADMIN)))
    if not served:
        docs.complain(SERVER, 1, "no table of commands that this test can read")
    for name in sorted(served ^ told):
        docs.complain(ADMIN, 1, f"the command {name} is only in one of {ADMIN} and {SERVER}")


def check(docs):
    check_commands(docs)
    check_terms(docs)
    check_states(docs)
    check_protocol(docs)
