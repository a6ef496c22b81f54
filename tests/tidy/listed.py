# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/listed.py: for tidy.py: what exists is built and run.

    *.c                      its own folder's meson.build names it, or one above with the way to it
    tests/scripts/*.smtp     tests/scripts/meson.build names it
    tests/unit/*/test_*      the same, also for Python
    tests/fuzz/fuzz_*.c      a line of fuzz_targets, and a corpus that is not empty
    tests/system/t_*.py      ends in harness.main with its name, or it runs and tests nothing
    tests/system/*.py        the other ones: somebody there uses it
    */meson.build            a meson.build above leads to it
    verbs.def                every verb of SMTP is said in a script or by a test in tests/unit/smtp

Promise: each of these that nobody runs is told, with the list that misses it.
"""
import os
import re

SCRIPTS = "tests/scripts"
SYSTEM = "tests/system/"
FUZZ = "tests/fuzz"
VERBS = "dataplane/smtp/verbs.def"


def above(path):
    """The folders over a file, its own first."""
    while path:
        path = os.path.dirname(path)
        yield path


def build_of(tidy, folder):
    path = os.path.join(folder, "meson.build")
    return without_comments(tidy.read(path)) if path in tidy.files else None


def without_comments(text):
    return re.sub(r"(?m)#.*$", "", text)


def is_named(tidy, path):
    """Some meson.build names the file by the way from there; the one beside it also without
    test_ and .c: meson may put names together, as in 'test_' + name + '.c'."""
    for folder in above(path):
        text = build_of(tidy, folder)
        if text is not None and f"'{os.path.relpath(path, folder or '.')}'" in text:
            return True
    stem = re.sub(r"^test_", "", os.path.splitext(os.path.basename(path))[0])
    return f"'{stem}'" in (build_of(tidy, os.path.dirname(path)) or "")


def is_borrowed(tidy, path):
    """A test's meson.build may name a file of another folder, as '../../sim/node.c'."""
    for build in tidy.files:
        if os.path.basename(build) == "meson.build":
            folder = os.path.dirname(build)
            if f"'{os.path.relpath(path, folder or '.')}'" in without_comments(tidy.read(build)):
                return True
    return False


def check_sources_named(tidy):
    for path in tidy.files:
        if path.endswith(".c") and not is_named(tidy, path) and not is_borrowed(tidy, path):
            tidy.breach(path, 1, "in no meson.build: dead")


def check_builds_reached(tidy):
    for path in tidy.files:
        folder = os.path.dirname(path)
        if os.path.basename(path) != "meson.build" or folder == "":
            continue
        if not any(f"'{os.path.relpath(folder, up or '.')}'" in (build_of(tidy, up) or "")
                   for up in above(folder)):
            tidy.breach(path, 1, "no meson.build above has a subdir that leads here: nothing in "
                        "this folder is built or run")


def check_tests_named(tidy):
    for path in tidy.files:
        base = os.path.basename(path)
        build = os.path.join(os.path.dirname(path), "meson.build")
        if path.startswith(SCRIPTS + "/") and path.endswith(".smtp"):
            if f"'{base[:-5]}'" not in (build_of(tidy, SCRIPTS) or ""):
                tidy.breach(path, 1, f"{build} does not list this script: it never runs")
        elif base.startswith("test_") and base.endswith((".py", ".c")) and \
                path.startswith("tests/") and not is_named(tidy, path):
            tidy.breach(path, 1, f"{build} does not list this test: it never runs")


def check_fuzz(tidy):
    listed = set(re.findall(r"\['(fuzz_\w+\.c)'", build_of(tidy, FUZZ) or ""))
    there = {os.path.basename(path) for path in tidy.files
             if re.fullmatch(FUZZ + r"/fuzz_\w+\.c", path)}
    for name in sorted(there - listed):
        tidy.breach(f"{FUZZ}/{name}", 1, f"{FUZZ}/meson.build has no such target: it never runs")
    for name in sorted(listed - there):
        tidy.breach(f"{FUZZ}/meson.build", 1, f"there is no {name}")
    corpora = {path.split("/")[3] for path in tidy.files if path.startswith(f"{FUZZ}/corpus/")}
    targets = {name[len("fuzz_"):-2] for name in there}
    for name in sorted(targets - corpora):
        tidy.breach(f"{FUZZ}/fuzz_{name}.c", 1, f"{FUZZ}/corpus/{name} is empty: nothing replays")
    for name in sorted(corpora - targets):
        tidy.breach(f"{FUZZ}/corpus/{name}", 1, "a corpus that no target reads")


def check_system(tidy):
    scripts = [path for path in tidy.files if path.startswith(SYSTEM) and path.endswith(".py")]
    users = {path: tidy.read(path) for path in scripts + ["run"] if path in tidy.files}
    for path in scripts:
        name = os.path.basename(path)[:-3]
        if name.startswith("t_"):
            if not re.search(rf'(?m)^    harness\.main\("{name[2:]}", ', users[path]):
                tidy.breach(path, 1, f'does not end in harness.main("{name[2:]}", test): it runs, '
                            "and tests nothing")
        elif not any(re.search(rf"\b{name}\b", text) for user, text in users.items()
                     if user != path):
            tidy.breach(path, 1, f"no other file in {SYSTEM} uses it: it never runs")


def check_verbs(tidy):
    said = "\n".join(tidy.read(path) for path in tidy.files
                     if path.endswith(".smtp") or path.startswith("tests/unit/smtp/test_"))
    verbs = re.findall(r"(?m)^VERB\((\w+),", tidy.read(VERBS))
    if not verbs:
        tidy.breach(VERBS, 1, "no verb that this test can read")
    for verb in verbs:
        if not re.search(rf'(?m)(^C: |"|\\n){verb}\b', said):
            tidy.breach(VERBS, 1, f"no script in {SCRIPTS}, no test in tests/unit/smtp says {verb}")


CHECKS = (check_sources_named, check_builds_reached, check_tests_named, check_fuzz, check_system,
          check_verbs)
