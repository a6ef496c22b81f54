#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/mutants/run.py: do the tests notice? Builds a copy of the tree once (workshop.py); then,
for each mutation of the lists (mutants.py), compiles its file alone and links and runs the tests
that have it, the nearest and fastest first, then the simulator, and stops at the first that fails.

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
import fcntl
import json
import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import mutants  # noqa: E402
import workshop  # noqa: E402

SHARE_MIN = 0.95
# A test hangs when it takes so many times what it took without a mutation, and so many seconds.
SLOW_TIMES, SLOW_SECONDS = 10, 20


class Run:
    def __init__(self, options, tree):
        self.options = options
        self.tree = tree
        self.lock = threading.Lock()
        self.tests = []
        self.results = []  # (mutation, killer or None, error or None, seconds)
        self.kills = os.path.join(options.scratch, "kills.json")
        self.known = {}    # mutation: what killed it the last time, [test, part], asked first
        if os.path.isfile(self.kills):
            with open(self.kills, encoding="utf-8") as file:
                self.known = json.load(file)

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def baseline(self):
        """Everything passes without a mutation, and how long it takes."""
        self.tree.learn()
        self.tests = self.tree.tests()
        targets = sorted({target for test in self.tests for target in test.targets + test.needs})
        done = self.tree.ninja(workshop.SIM, *targets)
        if done.returncode != 0:
            sys.exit(done.stdout + "mutants: the tree does not build")
        times = os.path.join(self.options.scratch, "times.json")
        if self.options.trust and os.path.isfile(times):
            with open(times, encoding="utf-8") as file:
                known = json.load(file)
            for test in self.tests:
                test.seconds = known.get(test.name, 1.0)
        else:
            self.pass_all(workshop.Workshop(self.tree, 0))
            with open(times, "w", encoding="utf-8") as file:
                json.dump({test.name: test.seconds for test in self.tests}, file)
        self.tests.sort(key=lambda test: test.seconds)

    def pass_all(self, place):
        for test in self.tests:
            begin = time.monotonic()
            passed, how = place.run(test, 600)
            test.seconds = time.monotonic() - begin
            if not passed:
                sys.exit(f"mutants: {test.name} fails without a mutation: {how}")
        if self.options.seeds > 0:
            broken = place.simulate(min(self.options.seeds, 20))
            if broken is not None:
                sys.exit(f"mutants: the simulator fails without a mutation: {broken}")

    def has(self, test, mutation):
        return any(self.tree.made_of(target, mutation.file) for target in test.targets)

    def order(self, mutation):
        """The tests to ask: the one that is expected to notice, then those that link the least, as
        the nearest; the fastest of them first. The simulator comes behind them, or at once if it is
        expected to notice."""
        mine = [test for test in self.tests if self.has(test, mutation)]
        mine.sort(key=lambda test: (sum(len(self.tree.objects[target]) for target in test.targets)
                                    // 10, test.seconds))
        first = [test for test in mine if test.name == mutation.killer]
        rest = [test for test in mine if test.name != mutation.killer]
        simulated = self.tree.made_of(workshop.SIM, mutation.file) and self.options.seeds > 0
        sim = ["sim"] if simulated else []
        return sim + rest if sim and mutation.killer == "sim" else first + rest + sim

    @staticmethod
    def link(place, test):
        """(does the test have the mutation?, what is wrong)."""
        linked = False
        for target in [workshop.SIM] if test == "sim" else test.targets:
            has, error = place.link(target)
            if error is not None:
                return False, error
            linked = linked or has
        return linked, None

    def ask_again(self, place, mutation):
        """The killer, if what killed the mutation the last time does so again."""
        name, part = self.known.get(mutation.name_of_fault(), (None, None))
        for test in self.tests:
            if test.name == name and self.link(place, test) == (True, None):
                passed, how = place.run(test, test.seconds * SLOW_TIMES + SLOW_SECONDS, part)
                return None if passed else f"{test.name} ({how})"
        return None

    def ask(self, place, mutation):
        """(killer, error) of a mutation that the workshop has taken."""
        killer = self.ask_again(place, mutation)
        asked = 0
        for test in self.order(mutation) if killer is None else []:
            linked, error = self.link(place, test)
            if error is not None:
                return None, error
            asked += linked
            if linked and test == "sim":
                broken = place.simulate(self.options.seeds)
                killer = None if broken is None else f"sim ({broken[:70]})"
            elif linked:
                passed, how = place.run(test, test.seconds * SLOW_TIMES + SLOW_SECONDS)
                if not passed:
                    killer = f"{test.name} ({how})"
                    self.remember(mutation, test.name, workshop.part_of(how))
            if killer is not None:
                break
        return killer, None if asked or killer else "no test links the file"

    def remember(self, mutation, name, part):
        with self.lock:
            self.known[mutation.name_of_fault()] = [name, part]
            with open(self.kills, "w", encoding="utf-8") as file:
                json.dump(self.known, file)

    def one(self, place, mutation):
        begin = time.monotonic()
        place.take(mutation)
        killer, error = self.ask(place, mutation)
        seconds = time.monotonic() - begin
        word = "ERROR   " if error else "killed  " if killer else "survived"
        self.say(f"{word} {mutation.name()} {mutation.line} -> {mutation.becomes}: "
                 f"{error or killer or mutation.survives or 'NOT ARGUED'} ({seconds:.1f} s)")
        with self.lock:
            self.results.append((mutation, killer, error, seconds))

    def worker(self, place, waiting):
        while True:
            try:
                mutation = waiting.get_nowait()
            except queue.Empty:
                return
            self.one(place, mutation)

    def go(self, mutations, jobs):
        waiting = queue.Queue()
        for mutation in mutations:
            waiting.put(mutation)
        threads = [threading.Thread(target=self.worker, args=(place, waiting))
                   for place in [workshop.Workshop(self.tree, i) for i in range(jobs)]]
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
    tree = workshop.Tree(options.scratch, lock)
    tree.copy()
    tree.configure()
    run = Run(options, tree)
    run.baseline()
    print(f"{len(mutations)} mutations, {len(run.tests)} tests; ready in "
          f"{time.monotonic() - begin:.0f} s", flush=True)
    run.go(mutations, jobs)
    sys.exit(0 if report(run, time.monotonic() - begin) else 1)


if __name__ == "__main__":
    main()
