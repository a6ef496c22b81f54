#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/docs.py [ROOT]: the manuals against the tables they describe.

    common/outcome.def    every class is a row of docs/OPERATING.md: text, disposition, meaning
    common/counters.def   every counter is a row there: name, unit, meaning
    common/config*.c      every key is an item of docs/man/holdfast.conf.5, in its group's section
    control/cli/*.def     commands, options and terms: see docs_cli.py
    control/core, admin   lines of the log, problems, kinds, members: see docs_control.py
    docs/man/             mandoc has no warning about them (where mandoc is installed)

Promise: prints one line "file:line: what" for every difference, in either direction, and exits 1
         when there is one.
Trap:    it finds tables in C by how they are written. A table in which it finds no entry is a
         difference, so that tables written in a new way are not passed over.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

import docs_cli
import docs_control

OPERATING = "docs/OPERATING.md"
CONF = "docs/man/holdfast.conf.5"
STRING = r'"((?:[^"\\]|\\.)*)"'


class Docs:
    def __init__(self, root):
        self.root = root
        self.wrong = 0

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            self.complain(path, 1, error.strerror)
            return ""

    def complain(self, path, line, what):
        self.wrong += 1
        print(f"{path}:{line}: {what}")


def rows_under(text, first_cell):
    """Rows of the tables whose header begins with that cell: (line, name in backticks, cells)."""
    rows = []
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            inside = False
        elif cells[0] == first_cell:
            inside = True
        elif inside and not re.fullmatch(r"-+:?", cells[0]):
            rows.append((number, cells[0].strip("`"), cells))
    return rows


def compare_rows(docs, what, wanted, rows):
    """Each name has a row that holds, for every set of words in `cells`, one of these words."""
    for name, cells in wanted.items():
        if not any(row[1] == name and all(words & set(row[2]) for words in cells) for row in rows):
            said = " | ".join(min(words) for words in cells)
            docs.complain(OPERATING, 1, f"no row for the {what} `{name}` with: {said}")
    for line, name, _ in rows:
        if name not in wanted:
            docs.complain(OPERATING, line, f"there is no {what} `{name}`")


def entries(docs, path, macro, pattern):
    text = docs.read(path)
    found = re.findall(rf"(?m)^{macro}\({pattern}\)", text)
    if not found or len(found) != len(re.findall(rf"(?m)^{macro}\(", text)):
        docs.complain(path, 1, "an entry of a shape that this test cannot read")
    return found


def check_outcomes(docs, operating):
    said = {"WAIT": {"WAIT", "waits"}, "FREEZE": {"FREEZE", "frozen"},
            "DONE": {"DONE", "delivered"}}
    wanted = {text: [{meaning}, said[disposition]] for _, text, disposition, _, meaning in
              entries(docs, "common/outcome.def", "OUTCOME",
                      rf"(\w+),\s*{STRING},\s*(\w+),\s*(\w+),\s*{STRING}")}
    compare_rows(docs, "outcome class", wanted, rows_under(operating, "class"))


def check_counters(docs, operating):
    wanted = {name: [{meaning}, {unit}] for name, unit, meaning in
              entries(docs, "common/counters.def", "COUNTER", rf"(\w+),\s*{STRING},\s*{STRING}")}
    compare_rows(docs, "counter", wanted, rows_under(operating, "counter"))


def config_keys(docs):
    """{section of the manual: keys that the reader accepts there}."""
    sections = {"top": "top level", "interface": "interfaces", "hop": "hops", "route": "routes"}
    groups = {}
    for path in sorted(glob.glob(os.path.join(docs.root, "common", "config*.c"))):
        text = docs.read(os.path.relpath(path, docs.root))
        for group, table in re.findall(r"struct config_key (\w+)_keys\[\] = \{\n(.*?)\n\};", text,
                                       re.S):
            keys = re.findall(r'\{\s*"(\w+)",\s*CONFIG_KIND_', table)
            if len(keys) != table.count("CONFIG_KIND_") or not keys:
                docs.complain(os.path.relpath(path, docs.root), 1,
                              f"{group}_keys has a shape this test cannot read")
            groups[sections.get(group, group)] = keys
    if "top level" not in groups:
        docs.complain("common/config.c", 1, "no top_keys: this test cannot read the tables")
    return groups


def check_config(docs):
    items = {}
    section = ""
    for number, line in enumerate(docs.read(CONF).split("\n"), 1):
        if line.startswith((".Sh ", ".Ss ")):
            section = line[4:].strip('"').lower()
        elif line.startswith(".It Ic "):
            items.setdefault(section, {})[line.split()[2]] = number
    for group, keys in config_keys(docs).items():
        described = items.pop(group, {})
        for key in keys:
            if described.pop(key, None) is None:
                docs.complain(CONF, 1, f"the key {key} is missing in section {group}")
        for key, number in described.items():
            docs.complain(CONF, number, f"the reader knows no key {key} in {group}")
    for group, described in items.items():
        for key, number in described.items():
            docs.complain(CONF, number, f"the reader knows no group {group} with a key {key}")


def check_control(docs):
    docs_control.check(docs, rows_under, config_keys(docs),
                       list(docs_cli.items_of(docs.read(docs_cli.MANUAL))))


def check_mandoc(docs):
    pages = sorted(glob.glob(os.path.join(docs.root, "docs", "man", "*.[1-9]")))
    if not pages:
        docs.complain("docs/man", 1, "no manual is there")
    elif not shutil.which("mandoc"):
        print("docs: mandoc is not installed, the manuals' syntax is not checked")
    for page in pages if shutil.which("mandoc") else []:
        path = os.path.relpath(page, docs.root)
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], cwd=docs.root,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        for line in done.stdout.splitlines():
            match = re.match(r"mandoc: .*?:(\d+):\d+: (.*)", line)
            docs.complain(path, match.group(1) if match else 1, match.group(2) if match else line)
        if done.returncode != 0 and not done.stdout:
            docs.complain(path, 1, f"mandoc ended with {done.returncode}")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    docs = Docs(os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else
                os.path.dirname(os.path.dirname(here)))
    operating = docs.read(OPERATING)
    check_outcomes(docs, operating)
    check_counters(docs, operating)
    check_config(docs)
    docs_cli.check(docs)
    check_control(docs)
    check_mandoc(docs)
    print(f"docs: {docs.wrong} differences")
    return 1 if docs.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
