#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/docs.py [ROOT]: the manuals against the tables they describe.

    common/outcome.def    every class is a row of docs/OPERATING.md: text, name, disposition, meaning
    common/counters.def   every counter is a row there: name, unit, meaning
    common/config*.c      every key is an item of docs/man/holdfast.conf.5, in the section of its group
    docs/man/             mandoc has no warning about them (where mandoc is installed)

Promise: prints one line "file:line: what" for every difference, in either direction, and exits 1
         when there is one.
Trap:    it reads C by the shape the tables have. A table it finds no entry in counts as a failure,
         so that a new shape cannot silence it.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

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
    """The table whose header begins with that cell: {name in backticks: (line, cells)}."""
    rows = {}
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            inside = False
        elif cells[0] == first_cell:
            inside = True
        elif inside and not re.fullmatch(r"-+", cells[0]):
            rows[cells[0].strip("`")] = (number, cells)
    return rows


def compare_rows(docs, what, wanted, rows):
    if not wanted:
        docs.complain(OPERATING, 1, f"no {what} found in its .def: this test cannot read it")
    for name, cells in wanted.items():
        if name not in rows:
            docs.complain(OPERATING, 1, f"the {what} `{name}` is missing")
            continue
        line, has = rows[name]
        if has[:len(cells)] != cells:
            docs.complain(OPERATING, line, f"the {what} `{name}` is \"{' | '.join(cells)}\"")
    for name, (line, _) in rows.items():
        if name not in wanted:
            docs.complain(OPERATING, line, f"there is no {what} `{name}`")


def check_outcomes(docs, operating):
    text = docs.read("common/outcome.def")
    wanted = {match[1]: [f"`{match[1]}`", match[0], match[2], match[4]] for match in
              re.findall(rf"(?m)^OUTCOME\((\w+),\s*{STRING},\s*(\w+),\s*(\w+),\s*{STRING}\)", text)}
    if len(wanted) != len(re.findall(r"(?m)^OUTCOME\(", text)):
        docs.complain("common/outcome.def", 1, "an entry of a shape this test cannot read")
    compare_rows(docs, "outcome class", wanted, rows_under(operating, "class"))


def check_counters(docs, operating):
    text = docs.read("common/counters.def")
    wanted = {match[0]: [f"`{match[0]}`", match[1], match[2]] for match in
              re.findall(rf"(?m)^COUNTER\((\w+),\s*{STRING},\s*{STRING}\)", text)}
    if len(wanted) != len(re.findall(r"(?m)^COUNTER\(", text)):
        docs.complain("common/counters.def", 1, "an entry of a shape this test cannot read")
    compare_rows(docs, "counter", wanted, rows_under(operating, "counter"))


def config_keys(docs):
    """{section of the manual: keys that the reader accepts there}."""
    sections = {"top": "TOP LEVEL", "interface": "INTERFACES", "hop": "HOPS", "route": "ROUTES"}
    groups = {}
    for path in sorted(glob.glob(os.path.join(docs.root, "common", "config*.c"))):
        text = docs.read(os.path.relpath(path, docs.root))
        for group, table in re.findall(r"struct config_key (\w+)_keys\[\] = \{\n(.*?)\n\};", text,
                                       re.S):
            keys = re.findall(r'\{\s*"(\w+)",\s*CONFIG_KIND_', table)
            if len(keys) != table.count("CONFIG_KIND_") or not keys:
                docs.complain(os.path.relpath(path, docs.root), 1,
                              f"{group}_keys has a shape this test cannot read")
            groups[sections.get(group, group.upper())] = keys
    if "TOP LEVEL" not in groups:
        docs.complain("common/config.c", 1, "no top_keys: this test cannot read the tables")
    return groups


def check_config(docs):
    items = {}
    section = ""
    for number, line in enumerate(docs.read(CONF).split("\n"), 1):
        if line.startswith(".Sh "):
            section = line[4:].strip('"')
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
    check_mandoc(docs)
    print(f"docs: {docs.wrong} differences")
    return 1 if docs.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
