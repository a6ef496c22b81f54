# SPDX-License-Identifier: BSD-3-Clause
"""tests/mutants/mutants.py: the lists of mutations, *.txt beside this file, as data.

A mutation is a fault that one line can hold. Mutations are separated by empty lines:

    file     spool/segment.c
    line     if (below_seq <= log->recycle_below) {
    becomes  if (below_seq < log->recycle_below) {
    why      what goes wrong then, in a sentence; it may go on in lines that begin with blanks
    after    what stands in the line before, where `line` alone is there more than once
    killer   the test that is expected to notice, and is asked first; "sim" is the simulator
    survives why nothing can notice: the mutation changes nothing that anybody sees

`becomes` may be empty: the line goes. `after`, `killer` and `survives` may be left out. A line that
begins with # is a comment. Blanks at both ends of a line of code do not count.

Only a file that the compiler takes by itself can have one: no header.

Promise: load() gives every mutation, and says of each that cannot be applied why not.
"""
import glob
import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEYS = ("file", "line", "becomes", "why", "after", "killer", "survives")
NEEDED = ("file", "line", "becomes", "why")


class Mutation:
    def __init__(self, path, number):
        self.path = path        # of the list, from the root
        self.number = number    # its first line there
        self.field = {}
        self.at = None          # index of the line in the file, once it was found

    def __getattr__(self, name):
        if name in KEYS:
            return self.field.get(name)
        raise AttributeError(name)

    def name(self):
        return f"{self.file}:{self.at + 1 if self.at is not None else '?'}"

    def key(self):
        return self.file, self.after, self.line, self.becomes

    def name_of_fault(self):
        return "\n".join(word or "" for word in self.key())


def parse(path, text):
    """The mutations of one list, and what is wrong with its lines: [(line, text)]."""
    mutations, errors = [], []
    mutation = last = None
    for number, row in enumerate(text.split("\n"), 1):
        if row.startswith("#"):
            continue
        if not row.strip():
            mutation = last = None
            continue
        if row[0].isspace():
            if last not in ("why", "survives"):
                errors.append((number, "only `why` and `survives` go on in a second line"))
            else:
                mutation.field[last] += " " + row.strip()
            continue
        key, _, value = row.partition(" ")
        if key not in KEYS:
            errors.append((number, f"{key!r} is not one of {', '.join(KEYS)}"))
            continue
        if mutation is None:
            mutation = Mutation(path, number)
            mutations.append(mutation)
        if key in mutation.field:
            errors.append((number, f"{key} is given twice"))
        mutation.field[key] = value.strip()
        last = key
    for mutation in mutations:
        for key in NEEDED:
            if mutation.field.get(key) is None or (key != "becomes" and not mutation.field[key]):
                errors.append((mutation.number, f"a mutation without {key}"))
    return mutations, errors


def places(rows, mutation):
    """Where the mutation's line is, by its own text and by what must stand before it."""
    found = [i for i, row in enumerate(rows) if row.strip() == mutation.line]
    if mutation.after is not None:
        found = [i for i in found if i > 0 and rows[i - 1].strip() == mutation.after]
    return found


def find(root, mutation):
    """Sets `at`, or says why the mutation cannot be applied."""
    path = os.path.join(root, mutation.file)
    if not os.path.isfile(path):
        return f"{mutation.file} is not there any more"
    with open(path, encoding="utf-8") as source:
        rows = source.read().split("\n")
    found = places(rows, mutation)
    if len(found) != 1:
        return (f"the line is in {mutation.file} {len(found)} times: mend the mutation, or write "
                f"one for what does its work now: {mutation.line}")
    if mutation.becomes == mutation.line:
        return "the mutation changes nothing"
    mutation.at = found[0]
    return None


def load(root=ROOT):
    """All mutations that can be applied, and [(list, line, what is wrong)]."""
    mutations, errors, seen = [], [], set()
    for path in sorted(glob.glob(os.path.join(root, "tests", "mutants", "*.txt"))):
        with open(path, encoding="utf-8") as source:
            below = os.path.relpath(path, root)
            some, wrong = parse(below, source.read())
        errors += [(below, number, text) for number, text in wrong]
        for mutation in some:
            if any(mutation.field.get(key) is None for key in NEEDED):
                continue
            text = find(root, mutation)
            if text is None and mutation.key() in seen:
                text = "this mutation is here twice"
            if text is not None:
                errors.append((below, mutation.number, text))
            else:
                seen.add(mutation.key())
                mutations.append(mutation)
    return mutations, errors


def apply(text, mutation):
    """The file's text with the mutation in it."""
    rows = text.split("\n")
    row = rows[mutation.at]
    assert row.strip() == mutation.line
    blanks = row[:len(row) - len(row.lstrip())]
    rows[mutation.at] = blanks + mutation.becomes if mutation.becomes else ""
    return "\n".join(rows)
