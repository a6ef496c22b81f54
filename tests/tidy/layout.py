#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/layout.py [ROOT]: clang-format decides layout: version 14, Debian 12's; others lay out
otherwise. Called by itself it lays the files out and prints the names of those it changed.

Promise: with another version, or none, nothing is changed and nothing is judged.
"""
import os
import re
import shutil
import subprocess
import sys

FILES_AT_ONCE = 50


def tool():
    """The path of clang-format 14, or None."""
    path = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True,
                             check=False).stdout if path else ""
    return path if " version 14." in version else None


def wrong(clang_format, root, sources):
    """Those of the sources that are not as clang-format lays them out."""
    found = set()
    for at in range(0, len(sources), FILES_AT_ONCE):
        done = subprocess.run([clang_format, "--dry-run", "-Werror",
                               *sources[at:at + FILES_AT_ONCE]], cwd=root, text=True, check=False,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        found |= set(re.findall(r"(?m)^(\S+?):\d+:\d+: error: ", done.stderr))
    return sorted(found)


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".")
    clang_format = tool()
    if clang_format is None:
        print("layout: clang-format 14 is not here", file=sys.stderr)
        return 1
    sources = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith((".", "build"))]
        sources += [os.path.relpath(os.path.join(folder, name), root) for name in files
                    if name.endswith((".c", ".h"))]
    changed = wrong(clang_format, root, sorted(sources))
    for path in changed:
        subprocess.run([clang_format, "-i", path], cwd=root, check=True)
        print(f"laid out {path}")
    print(f"layout: {len(sources)} files, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
