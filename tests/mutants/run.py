#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/mutants/run.py: do the tests notice? Puts each mutation of the lists (mutants.py) into a
copy of the tree, builds what links the file, runs those tests, the nearest and fastest first, then
the simulator, and stops at the first that fails.

    run.py [--file TEXT]... [--seeds N] [--jobs N] [--scratch DIR] [--unargued]
           [--trust]

Promise: ends with "mutants=N killed=N survived=N", and exits zero only when the lists can be
         applied as they stand, the tests pass without a mutation, 95 of 100 mutations are killed,
         and every survivor is argued. Nothing is written in the tree.
Trap:    a mutation that does not compile is a fault of the list. One that is argued to change
         nothing and is killed all the same is a fault of the list, too. A test that takes far
         longer than without the mutation has noticed it.
"""
import argparse
import ctypes
import fcntl
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import mutants  # noqa: E402

SHARE_MIN = 0.95
# A test hangs when it takes so many times what it took without a mutation, and so many seconds.
SLOW_TIMES, SLOW_SECONDS = 10, 30
SIM_SECONDS = 900
MEMORY_BYTES = 4 << 30  # a mutation may allocate without end
PR_SET_PDEATHSIG = 1
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def bounded():
    """In the child: a group of its own, to be killed as one; it ends with us; no cores, not all of
    the memory."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def first_words(rows):
    """What a test says of its failure, in short."""
    for mark in ("[FAIL]", "[CRASH!]", "[TIMEOUT]", "Assertion", "assert"):
        for row in rows:
            if mark in row:
                return row.split(mark, 1)[-1].strip(" :\n")[:60]
    return rows[-1].strip()[:60] if rows else ""


def finish(child, seconds, on_line):
    """Waits, and ends the whole group at the time limit or when on_line says so. The exit status;
    None: it hung."""
    timer = threading.Timer(seconds, lambda: os.killpg(child.pid, signal.SIGKILL))
    hung = False
    timer.start()
    try:
        for line in child.stdout:
            if on_line(line):
                os.killpg(child.pid, signal.SIGKILL)
                break
    finally:
        hung = not timer.is_alive()
        timer.cancel()
    child.stdout.close()
    status = child.wait()
    return None if hung else status


class Test:
    """One of meson's tests, its paths as from the build directory: each workshop has its own."""

    def __init__(self, entry, workshop):
        self.name = entry["name"]
        self.env = dict(entry.get("env") or {})
        self.suite = entry["suite"]
        self.seconds = 0.0
        self.cmd, self.targets = [], []
        for word in entry["cmd"]:
            path = os.path.normpath(word)
            if path.startswith(workshop.build + "/"):
                self.targets.append(os.path.relpath(path, workshop.build))
            if path.startswith(workshop.root + "/"):
                word = os.path.join(".", os.path.relpath(path, workshop.build))
            self.cmd.append(word)


class Workshop:
    """A copy of the tree and its build; one mutation at a time is in it."""

    def __init__(self, scratch, lock):
        self.root = scratch
        self.lock = lock  # what we start keeps it: no other run begins beside what is left of us
        self.source = os.path.join(scratch, "source")
        self.build = os.path.join(scratch, "build")
        self.env = dict(os.environ, CCACHE_BASEDIR=os.path.dirname(scratch), CCACHE_NOHASHDIR="1",
                        PYTHONDONTWRITEBYTECODE="1")

    def copy_tree(self):
        """Only what differs is written, so that a second run builds little."""
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others",
                                 "--exclude-standard"], cwd=mutants.ROOT, check=True,
                                stdout=subprocess.PIPE).stdout.decode().split("\0")
        wanted = {path for path in listed if os.path.isfile(os.path.join(mutants.ROOT, path))}
        for path in sorted(wanted):
            self.put(path, os.path.join(mutants.ROOT, path))
        for folder, _, names in os.walk(self.source):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.source) not in wanted:
                    os.unlink(path)

    def put(self, path, origin):
        to = os.path.join(self.source, path)
        with open(origin, "rb") as file:
            data = file.read()
        if os.path.isfile(to):
            with open(to, "rb") as file:
                if file.read() == data:
                    return
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "wb") as file:
            file.write(data)
        shutil.copymode(origin, to)

    def configure(self):
        if not os.path.isfile(os.path.join(self.build, "build.ninja")):
            shutil.rmtree(self.build, ignore_errors=True)
            cc = "ccache gcc" if shutil.which("ccache") else "gcc"
            done = subprocess.run(["meson", "setup", self.build, self.source, "-Dwerror=false",
                                   "-Ddebug=false", "-Doptimization=1"], env=dict(self.env, CC=cc),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode != 0:
                sys.exit(done.stdout.decode() + "mutants: meson failed")

    def ninja(self, *words):
        return subprocess.run(["nice", "ninja", "-C", self.build, *words], env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, pass_fds=[self.lock.fileno()])

    def tests(self):
        self.ninja("build.ninja")  # as meson.build says now
        out = subprocess.run(["meson", "introspect", "--tests", self.build], check=True,
                             stdout=subprocess.PIPE).stdout
        return [Test(entry, self) for entry in json.loads(out)]

    def run(self, test, seconds):
        """(passed?, what it did). A test that was killed from outside has said nothing."""
        for _ in range(5):
            rows = []
            status = self.start(test, seconds, rows)
            if status not in (126, 127, -signal.SIGKILL):  # nice's, and the kernel's without memory
                break
            time.sleep(1)
        else:
            sys.exit(f"mutants: {test.name} cannot be started: {' '.join(rows)}")
        return status == 0, "hangs" if status is None else first_words(rows)

    def start(self, test, seconds, rows):
        child = subprocess.Popen(["nice", *test.cmd], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                 cwd=self.build, env=dict(self.env, **test.env),
                                 preexec_fn=bounded, pass_fds=[self.lock.fileno()])
        return finish(child, seconds,
                      lambda line: rows.append(ANSI.sub("", line.decode(errors="replace"))))

    def simulate(self, seeds):
        """The first seed that is broken, as the simulator says it; None: none is."""
        broken = []

        def look(line):
            if line.startswith(b"seed "):
                broken.append(line.decode(errors="replace").strip())
            return bool(broken)

        child = subprocess.Popen(["nice", "tests/sim/sim", "--seeds", str(seeds)],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 stdin=subprocess.DEVNULL, cwd=self.build, env=self.env,
                                 preexec_fn=bounded, pass_fds=[self.lock.fileno()])
        status = finish(child, SIM_SECONDS, look)
        if broken:
            return broken[0]
        return None if status == 0 else "hangs" if status is None else f"status {status}"


class Links:
    """Which tests link, or include, a file: as ninja knows it after a build."""

    def __init__(self, workshop):
        self.workshop = workshop
        self.included = self.headers()
        self.files = {}

    def plain(self, path):
        path = os.path.normpath(os.path.join(self.workshop.build, path))
        return os.path.relpath(path, self.workshop.source)

    def headers(self):
        table, unit = {}, None
        for row in self.workshop.ninja("-t", "deps").stdout.split("\n"):
            if row and not row[0].isspace() and ": #deps" in row:
                unit = row.split(":")[0]
                table[unit] = set()
            elif row.startswith("    ") and unit is not None:
                table[unit].add(self.plain(row.strip()))
        return table

    def of(self, targets):
        key = tuple(targets)
        if key not in self.files:
            found = set()
            for row in self.workshop.ninja("-t", "inputs", *targets).stdout.split("\n"):
                found.add(self.plain(row))
                found |= self.included.get(row, set())
            self.files[key] = found
        return self.files[key]


class Run:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.tests = []
        self.links = None
        self.results = []  # (mutation, killer or None, error or None, seconds)

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def baseline(self, workshop):
        """Everything passes without a mutation, and how long it takes."""
        everything = workshop.tests()
        self.tests = [test for test in everything if test.targets and
                      not any(suite.endswith(":sim") for suite in test.suite)]
        targets = sorted({target for test in self.tests for target in test.targets})
        done = workshop.ninja("tests/sim/sim", *targets)
        if done.returncode != 0:
            sys.exit(done.stdout + "mutants: the tree does not build")
        self.links = Links(workshop)
        for test in self.tests:
            self.links.of(test.targets)
        times = os.path.join(self.options.scratch, "times.json")
        if self.options.trust and os.path.isfile(times):
            with open(times, encoding="utf-8") as file:
                known = json.load(file)
            for test in self.tests:
                test.seconds = known.get(test.name, 1.0)
        else:
            self.pass_all(workshop)
            with open(times, "w", encoding="utf-8") as file:
                json.dump({test.name: test.seconds for test in self.tests}, file)
        self.tests.sort(key=lambda test: test.seconds)

    def pass_all(self, workshop):
        for test in self.tests:
            begin = time.monotonic()
            passed, how = workshop.run(test, 600)
            test.seconds = time.monotonic() - begin
            if not passed:
                sys.exit(f"mutants: {test.name} fails without a mutation: {how}")
        if self.options.seeds > 0:
            broken = workshop.simulate(min(self.options.seeds, 20))
            if broken is not None:
                sys.exit(f"mutants: the simulator fails without a mutation: {broken}")

    def order(self, mutation):
        """The tests to ask: those that link the least are the nearest; the fastest of them first.
        The simulator comes before them if it is expected to notice, else behind."""
        mine = [test for test in self.tests if mutation.file in self.links.of(test.targets)]
        mine.sort(key=lambda test: (len(self.links.of(test.targets)) // 10, test.seconds))
        first = [test for test in mine if test.name == mutation.killer]
        rest = [test for test in mine if test.name != mutation.killer]
        simulated = mutation.file in self.links.of(("tests/sim/sim",)) and self.options.seeds > 0
        sim = ["sim"] if simulated else []
        return sim + rest if sim and mutation.killer == "sim" else first + rest + sim

    def ask(self, workshop, mutation):
        """(killer, error) of a mutation that is in the workshop's tree."""
        for number, test in enumerate(self.order(mutation)):
            targets = ["tests/sim/sim"] if test == "sim" else test.targets
            done = workshop.ninja(*targets)
            if done.returncode != 0:
                rows = [row for row in done.stdout.split("\n") if "error" in row] or ["?"]
                return None, f"does not compile: {rows[0]}"
            if number == 0 and "no work to do" in done.stdout:
                return None, "nothing was compiled for it"
            if test == "sim":
                broken = workshop.simulate(self.options.seeds)
                if broken is not None:
                    return f"sim ({broken[:70]})", None
            else:
                passed, how = workshop.run(test, test.seconds * SLOW_TIMES + SLOW_SECONDS)
                if not passed:
                    return f"{test.name} ({how})", None
        return None, None

    def one(self, workshop, mutation):
        path = os.path.join(workshop.source, mutation.file)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        begin = time.monotonic()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(mutants.apply(text, mutation))
            killer, error = self.ask(workshop, mutation)
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        seconds = time.monotonic() - begin
        word = "ERROR   " if error else "killed  " if killer else "survived"
        self.say(f"{word} {mutation.name()} {mutation.line} -> {mutation.becomes}: "
                 f"{error or killer or mutation.survives or 'NOT ARGUED'} ({seconds:.1f} s)")
        with self.lock:
            self.results.append((mutation, killer, error, seconds))

    def worker(self, workshop, waiting):
        while True:
            try:
                mutation = waiting.get_nowait()
            except queue.Empty:
                return
            self.one(workshop, mutation)

    def go(self, mutations, workshops):
        waiting = queue.Queue()
        for mutation in mutations:
            waiting.put(mutation)
        threads = [threading.Thread(target=self.worker, args=(workshop, waiting))
                   for workshop in workshops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def report(run, seconds):
    """What it took, what is to be mended, the sum. True: all is well."""
    lists = {}
    for mutation, killer, _, took in run.results:
        row = lists.setdefault(mutation.path, [0, 0, 0.0])
        row[0] += 1
        row[1] += killer is not None
        row[2] += took
    for path, (count, killed, took) in sorted(lists.items()):
        print(f"{path}: {killed} of {count} killed, {took:.0f} s")
    bad = 0
    for mutation, killer, error, _ in run.results:
        place = f"{mutation.path}:{mutation.number}: {mutation.name()}"
        if error:
            print(f"{place}: {error}")
        elif killer is None and not mutation.survives:
            print(f"{place}: survives, and nobody says why: write a test, or argue")
        elif killer is not None and mutation.survives:
            print(f"{place}: argued to survive, but {killer} notices it")
        else:
            continue
        bad += 1
    count = len(run.results)
    killed = sum(1 for result in run.results if result[1] is not None)
    survived = sum(1 for result in run.results if result[1] is None and result[2] is None)
    enough = run.options.file or run.options.unargued or killed >= SHARE_MIN * count
    if not enough:
        print(f"fewer than {SHARE_MIN:.0%} are killed")
    print(f"{seconds:.0f} s, {run.options.seeds} seeds")
    print(f"mutants={count} killed={killed} survived={survived}")
    return bad == 0 and bool(enough) and count > 0


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("--file", action="append", help="only files whose path has TEXT in it",
                        metavar="TEXT")
    parser.add_argument("--seeds", type=int, default=150, help="of the simulator; 0: without it")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--unargued", action="store_true", help="not those that are to survive")
    parser.add_argument("--trust", action="store_true",
                        help="that everything passes without a mutation, with the last times")
    parser.add_argument("--scratch", default="/var/tmp/holdfast-mutants",
                        help="kept, so that the next run builds less")
    return parser.parse_args(arguments)


def main():
    options = options_of(sys.argv[1:])
    begin = time.monotonic()
    mutations, errors = mutants.load()
    for path, number, text in errors:
        print(f"{path}:{number}: {text}")
    if errors:
        sys.exit("mutants: the lists are to be mended first")
    if options.file:
        mutations = [m for m in mutations if any(text in m.file for text in options.file)]
    if options.unargued:
        mutations = [m for m in mutations if not m.survives]
    if not mutations:
        sys.exit("mutants: none of the lists' files has that in its path")
    jobs = max(1, min(options.jobs, len(mutations)))
    os.makedirs(options.scratch, exist_ok=True)
    lock = open(os.path.join(options.scratch, "lock"), "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"mutants: another run is at work in {options.scratch}: --scratch DIR")
    workshops = [Workshop(os.path.join(options.scratch, str(i)), lock) for i in range(jobs)]
    for workshop in workshops:
        workshop.copy_tree()
        workshop.configure()
    run = Run(options)
    run.baseline(workshops[0])
    print(f"{len(mutations)} mutations, {len(run.tests)} tests; ready in "
          f"{time.monotonic() - begin:.0f} s", flush=True)
    run.go(mutations, workshops)
    sys.exit(0 if report(run, time.monotonic() - begin) else 1)


if __name__ == "__main__":
    main()
