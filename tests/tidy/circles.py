#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/circles.py [ROOT]: no files of the daemons call each other in a circle.

A file calls another one when it names a function that is not static there. Passing a function on by
its name counts as a call, too: the linker sees no difference, and the file has to know the
function. A call through a pointer does not count: by it a lower file reaches a higher one. Calls
inside an inline function or a macro count for the file that uses it.

Promise: every circle gives one breach, which lists each call between its files: which function of
         which file names which function of which other one.
Trap:    it reads text. A function has its name before the first parenthesis and its body from `{`
         in column 0, as clang-format lays it out. A variable with the name of another file's
         function counts as a call of that function: give it another name.
"""
import collections
import functools
import os
import re
import sys

sys.dont_write_bytecode = True

FOLDERS = ("common/", "spool/", "dataplane/", "control/")
APART = ("dataplane/", "control/")  # are never linked together: may use the same names

WORD = re.compile(r"\b[A-Za-z_]\w*\b")
# What names no function: text, includes, members and tags of structs.
NOISE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'|"
                   r"#[ \t]*include[^\n]*|(?:->|\.)\s*[A-Za-z_]\w*|"
                   r"(?<=\bstruct) +\w+|(?<=\benum) +\w+|(?<=\bunion) +\w+|"
                   r"\b__attribute__\(\((?:[^()]|\([^()]*\))*\)\)\s*", re.S)
FUNCTION = re.compile(r"(?m)^(?![# \t\n/])([^;{}()]*?)\b(\w+)\([^;{}]*\)\s*\n\{\n(.*?)^\}", re.S)
PROTOTYPE = re.compile(r"(?m)^\w+[ \t*][^;{}()=]*\([^;{}=]*\);")
MACRO = re.compile(r"(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)(?:\(([^)\n]*)\))?"
                   r"((?:\\\n|[^\n])*)")
TABLE = re.compile(r'(?m)^[ \t]*#[ \t]*include[ \t]*"([^"]+\.def)"')


def words(text):
    return set(WORD.findall(text))


@functools.lru_cache(maxsize=None)
class Source:
    """One file: what it defines, and what each part of it names."""

    def __init__(self, text):
        self.tables = TABLE.findall(text)
        code = NOISE.sub("", text)
        self.macros = {}    # name -> what it names
        self.pastes = {}    # name -> (parameters, body): makes names with ##
        for name, params, body in MACRO.findall(code):
            self.macros[name] = self.macros.get(name, set()) | words(body)
            if "##" in body:
                self.pastes[name] = ([param.strip() for param in params.split(",")], body)
        code = MACRO.sub("", code)
        self.defines = set()    # functions for all
        self.parts = {}         # function, "" outside of them -> what it names
        for head, name, body in FUNCTION.findall(code):
            if "static" not in head.split():
                self.defines.add(name)
            self.parts[name] = self.parts.get(name, set()) | words(body)
        self.parts[""] = words(PROTOTYPE.sub("", FUNCTION.sub("", code)))

    def paste(self, text):
        """The names that the file's own macros make of the lines of a table."""
        made = words(text)
        for name, (params, body) in self.pastes.items():
            for given in re.findall(rf"(?m)\b{name}\((.*?)\)\s*$", text, re.S):
                values = dict(zip(params, [value.strip() for value in given.split(",")]))
                full = WORD.sub(lambda word: values.get(word.group(0), word.group(0)), body)
                made |= words(re.sub(r"\s*##\s*", "", full))
        return made


def load(root):
    sources = {}
    for top in FOLDERS:
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in files:
                if name.endswith((".c", ".h", ".def")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8", errors="replace") as file:
                        sources[os.path.relpath(path, root)] = file.read()
    return sources


def linked(path, other):
    """Whether both can be in one program."""
    tops = {top for top in APART if path.startswith(top) or other.startswith(top)}
    return len(tops) < 2


def spread(names, becomes):
    """The names, and all that they become by macros and inline functions."""
    seen = set()
    left = set(names)
    while left:
        seen |= left
        left = set().union(*(becomes[name] for name in left if name in becomes)) - seen
    return seen


def calls(texts):
    """(caller's file, callee's file) -> {(caller's function, callee)}."""
    sources = {path: Source(text) for path, text in texts.items() if path.endswith((".c", ".h"))}
    homes = collections.defaultdict(list)
    becomes = {}
    for path, source in sources.items():
        if path.endswith(".h"):
            inline = {name: part for name, part in source.parts.items() if name != ""}
            for name, part in [*source.macros.items(), *inline.items()]:
                becomes[name] = becomes.get(name, set()) | part
        else:
            for name in source.defines:
                homes[name].append(path)
    found = collections.defaultdict(set)
    for path, source in sources.items():
        if not path.endswith(".c"):
            continue
        own = set(source.parts) | set(source.macros)
        mine = {**becomes, **source.macros}
        made = [source.paste(NOISE.sub("", texts.get(table, ""))) for table in source.tables]
        parts = {**source.parts, "": source.parts[""].union(*made)}
        for function, names in parts.items():
            for name in spread(names, mine) - own:
                for home in homes.get(name, ()):
                    if home != path and linked(path, home):
                        found[path, home].add((function, name))
    return found


def reach(path, below):
    seen = set()
    left = [path]
    while left:
        for other in below.get(left.pop(), ()):
            if other not in seen:
                seen.add(other)
                left.append(other)
    return seen


def circles(edges):
    """The sets of files that all reach each other by calls."""
    below = collections.defaultdict(set)
    for caller, callee in edges:
        below[caller].add(callee)
    reached = {path: reach(path, below) for path in list(below)}
    found = {frozenset(other for other in reached[path] if path in reached.get(other, ()))
             for path in reached if path in reached[path]}
    return sorted(sorted(circle) for circle in found)


def breaches(texts):
    """(file, text) of each circle."""
    edges = calls(texts)
    for circle in circles(edges):
        lines = [f"\n    {caller}: {function or 'a table'} names {name} of {callee}"
                 for caller in circle for callee in circle
                 for function, name in sorted(edges.get((caller, callee), ()))]
        yield circle[0], f"a circle of calls between {len(circle)} files:{''.join(lines)}"


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".")
    count = 0
    for path, text in breaches(load(root)):
        print(f"{path}:1: {text}")
        count += 1
    print(f"circles: {count}")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
