# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/docs_control.py: for docs.py: what control says, against OPERATING.md and ADMIN.md.

    control/core/notes.def        every line of the log is a row of OPERATING.md, with its level
    control/admin/problems.c      every problem of `status` is a row of ADMIN.md, with its level
    control/admin/show.c          every kind of state record and every phase is named under **show**
    control/admin/admin.c         every member that a command takes is named in its paragraph
    commands.def, admin.c         what the manual has under Looking and Acting, control serves
    common/config*.c              every key has a row in OPERATING.md that says when it takes effect

Promise: a difference in either direction is told with file and line.
"""
import re

OPERATING = "docs/OPERATING.md"
ADMIN = "docs/ADMIN.md"
NOTES = "control/core/notes.def"
PROBLEMS = "control/admin/problems.c"
SHOW = "control/admin/show.c"
SERVER = "control/admin/admin.c"
ABI = "common/abi.h"
STRING = r'"((?:[^"\\]|\\.)*)"'
LEVELS = {"3": "error", "4": "warning", "6": "information"}
WORDS = {"%n": "NAME", "%a": "N", "%b": "N", "%p": "PLACE"}


def compare(docs, path, what, source, wanted, rows):
    """{name: another cell} against rows of (line, name, cells)."""
    told = {row[1]: row for row in rows}
    if not wanted or not rows:
        docs.complain(path, 1, f"no {what} that this test can read, here or in {source}")
    for name, cell in wanted.items():
        if name not in told:
            docs.complain(path, 1, f"no row for the {what} `{name}` of {source}")
        elif cell not in told[name][2]:
            docs.complain(path, told[name][0], f"the {what} `{name}` is {cell} in {source}")
    for name, (line, _, _) in told.items():
        if name not in wanted:
            docs.complain(path, line, f"there is no {what} `{name}` in {source}")


def check_notes(docs, rows_under):
    text = docs.read(NOTES)
    found = re.findall(rf"(?m)^NOTE\(\w+, (\d), {STRING}\)", text)
    if len(found) != len(re.findall(r"(?m)^NOTE\(", text)):
        docs.complain(NOTES, 1, "an entry of a shape that this test cannot read")
    wanted = {re.sub(r"%[nabp]", lambda match: WORDS[match.group(0)], line): LEVELS[level]
              for level, line in found}
    compare(docs, OPERATING, "log line", NOTES, wanted, rows_under(docs.read(OPERATING), "line"))


def check_problems(docs, rows_under):
    wanted = dict(re.findall(rf"\badd\(&?p, {STRING}, (\d),", docs.read(PROBLEMS)))
    if len(wanted) != len(re.findall(r"\badd\(&?p,", docs.read(PROBLEMS))):
        docs.complain(PROBLEMS, 1, "a problem of a shape that this test cannot read")
    compare(docs, ADMIN, "problem", PROBLEMS, wanted, rows_under(docs.read(ADMIN), "problem"))


def paragraphs(docs):
    """{command: all that ADMIN.md says from its name in bold to the next one}."""
    parts = re.split(r"(?m)^\*\*(\w+)\*\*|^## ", docs.read(ADMIN))
    told = {}
    for name, text in zip(parts[1::2], parts[2::2]):
        if name is not None:
            told[name] = told.get(name, "") + text
    return told


def check_kinds(docs):
    """The enumerations that show.c has words for: each value has one, and ADMIN.md says each."""
    said = paragraphs(docs).get("show", "")
    for what, array, prefix, enum in (("kind of a state record", "kinds", "ABI_STATE_",
                                       "abi_state_kind"),
                                      ("phase", "names", "ABI_PHASE_", "abi_phase")):
        table = re.search(rf"{array}\[\] = \{{([^;]*)\}};", docs.read(SHOW))
        body = re.search(rf"enum {enum} \{{(.*?)\n\}};", docs.read(ABI), re.S)
        words = dict(re.findall(rf'\[({prefix}\w+)\] = "(\w*)"', table.group(1))) if table else {}
        values = re.findall(rf"\b({prefix}\w+)\b", re.sub(r"/\*.*?\*/", "", body.group(1),
                                                          flags=re.S)) if body else []
        if not words or not values:
            docs.complain(SHOW, 1, f"no {what} that this test can read")
        for value in values:
            if value not in words:
                docs.complain(SHOW, 1, f"no word for the {what} {value} of {ABI}")
            elif words[value] and f"`{words[value]}`" not in said:
                docs.complain(ADMIN, 1, f"**show** does not say the {what} `{words[value]}`")


def check_members(docs):
    table = docs.read(SERVER).split("} commands[] = {")[-1].split("\n};")[0]
    told = paragraphs(docs)
    for name, members in re.findall(rf'\{{"(\w+)", \w+, \w+, {STRING}\}}', table):
        for member in members.split():
            if not re.search(rf'["`]{member}["`]', told.get(name, "")):
                docs.complain(ADMIN, 1, f"**{name}** does not say its member {member}")


def check_served(docs, items):
    """`items`: those of the manual, by docs_cli.items_of."""
    served = set(re.findall(r'\{"(\w+)",',
                            docs.read(SERVER).split("} commands[] = {")[-1].split("\n};")[0]))
    asked = {words[0]: number for number, section, words, _ in items
             if section in ("Looking", "Acting") and words}
    for name in sorted(set(asked) - served):
        docs.complain(SERVER, 1, f"control does not serve the command {name}, which holdfast.1 "
                      "has under Looking or Acting")
    for name in sorted(served - set(asked)):
        docs.complain("docs/man/holdfast.1", 1, f"no command asks for what control serves as "
                      f"{name}")


def check_effects(docs, groups, rows_under):
    """`groups`: the keys by docs.config_keys. A row names a group as a whole, or GROUP.KEY."""
    rows = rows_under(docs.read(OPERATING), "setting")
    told = {name for row in rows for name in re.findall(r"`([\w.]+)`", row[2][0])}
    inner = {name: keys for name, keys in groups.items() if name in groups.get("top level", ())}
    wanted = set()
    for key in groups.get("top level", ()):
        each = {f"{key}.{name}" for name in inner.get(key, ())}
        wanted |= {key} | each
        missing = (each or {key}) - told if key not in told else set()
        for name in sorted(missing):
            docs.complain(OPERATING, rows[0][0] if rows else 1,
                          f"no row says when {name} takes effect")
    for name in sorted(told - wanted):
        docs.complain(OPERATING, rows[0][0], f"there is no setting {name}")


def check(docs, rows_under, groups, items):
    check_notes(docs, rows_under)
    check_problems(docs, rows_under)
    check_kinds(docs)
    check_members(docs)
    check_served(docs, items)
    check_effects(docs, groups, rows_under)
