# SPDX-License-Identifier: BSD-3-Clause
"""tests/mutants/workshop.py: a copy of the tree, built once, and places to try mutations in.

Promise: a mutation costs one compilation of its file, and one link for each test that is asked.
         The copy and its build stay as they are: what is mutated lies in the workshop's own folder,
         so several workshops use one build at the same time.
Trap:    a mutated object stands in the link before the libraries, which then have no need of their
         own. A file that a test puts a fake in the place of cannot be linked so: that test does not
         have the file. Time limits count while we run ourselves: a machine that stops everybody for
         a minute makes no test hang.
"""
import ctypes
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

import mutants

SIM = "tests/sim/sim"
SIM_SECONDS = 900
TICK_SECONDS, TICK_MAX = 0.2, 0.5
MEMORY_BYTES = 4 << 30  # a mutation may allocate without end
PR_SET_PDEATHSIG = 1
ANSI = re.compile(r"\x1b\[[0-9;]*m")
PART = re.compile(r"\[FAIL\] (\w+)::(\w+)")
NOT_LINKED = ("multiple definition", "undefined reference")


def bounded():
    """In the child: a group of its own, to be killed as one; it ends with us; no cores, not all of
    the memory."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def part_of(how):
    """The one of Criterion's tests that failed, as --filter takes it."""
    found = PART.search("[FAIL] " + how)
    return f"{found[1]}/{found[2]}" if found else None


def first_words(rows):
    """What a test says of its failure, in short."""
    for mark in ("[FAIL]", "[CRASH!]", "[TIMEOUT]", "Assertion", "assert"):
        for row in rows:
            if mark in row:
                return row.split(mark, 1)[-1].strip(" :\n")[:90]
    return rows[-1].strip()[:60] if rows else ""


class Watch(threading.Thread):
    """Ends the child's group after so many seconds in which we ran ourselves."""

    def __init__(self, child, seconds):
        super().__init__(daemon=True)
        self.child, self.seconds = child, seconds
        self.done = threading.Event()
        self.hung = False

    def run(self):
        left, last = self.seconds, time.monotonic()
        while not self.done.wait(TICK_SECONDS):
            now = time.monotonic()
            left -= min(now - last, TICK_MAX)
            last = now
            if left < 0:
                self.hung = True
                os.killpg(self.child.pid, signal.SIGKILL)
                return


def finish(child, seconds, on_line):
    """Waits, and ends the whole group at the time limit or when on_line says so. The exit status;
    None: it hung."""
    watch = Watch(child, seconds)
    watch.start()
    try:
        for line in child.stdout:
            if on_line(line):
                os.killpg(child.pid, signal.SIGKILL)
                break
    finally:
        watch.done.set()
        watch.join()
    child.stdout.close()
    status = child.wait()
    return None if watch.hung else status


class Test:
    """One of meson's tests. The words of its command that are built targets are kept apart: a
    workshop puts its own executables there."""

    def __init__(self, entry, tree):
        self.name = entry["name"]
        self.env = dict(entry.get("env") or {})
        self.suite = entry["suite"]
        self.seconds = 0.0
        self.cmd, self.targets = [], []
        self.needs = []  # what else is built before it runs: scripts, for instance
        for word in entry["cmd"]:
            path = os.path.normpath(os.path.join(tree.build, word))
            below = os.path.relpath(path, tree.build)
            if below in tree.links and os.path.isabs(word) or word in tree.links:
                self.targets.append(below)
                word = below
            elif word in tree.outputs:
                self.needs.append(word)
            self.cmd.append(word)

    def command(self, made, part):
        """made: what stands for a target, if it was linked anew. part: one of Criterion's tests."""
        return ["nice"] + [made.get(word, os.path.join(".", word)) if word in self.targets else word
                           for word in self.cmd] + ([f"--filter={part}"] if part else [])


class Tree:
    """The copy of the tree and its one build, and how each object and executable is made."""

    def __init__(self, scratch, lock):
        self.root = scratch
        self.lock = lock  # what we start keeps it: no other run begins beside what is left of us
        self.source = os.path.join(scratch, "source")
        self.build = os.path.join(scratch, "build")
        self.env = dict(os.environ, CCACHE_BASEDIR=scratch, CCACHE_NOHASHDIR="1",
                        PYTHONDONTWRITEBYTECODE="1", CRITERION_FAIL_FAST="1")
        self.linker = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # takes a third
        self.compiles = {}  # object: (words of its command, its source from the root)
        self.links = {}     # executable: words of its command
        self.outputs = set()  # all that ninja can make
        self.objects = {}   # executable: objects that it is made of, or that its libraries have

    def copy(self):
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
        self.ninja("build.ninja")  # as meson.build says now

    def ninja(self, *words):
        return self.shell(["nice", "ninja", "-C", self.build, *words])

    def shell(self, words):
        return subprocess.run(words, env=self.env, cwd=self.build, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False,
                              stdin=subprocess.DEVNULL, pass_fds=[self.lock.fileno()])

    def learn(self):
        """The commands that make the objects and the executables."""
        with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as file:
            for entry in json.load(file):
                words = [word for word in shlex.split(entry["command"]) if word != "ccache"]
                self.compiles[entry["output"]] = (words, self.plain(entry["file"]))
        members = {}
        for entry in self.rules("STATIC_LINKER"):
            members[entry["output"]] = [word for word in shlex.split(entry["command"])
                                        if word.endswith(".o")]
        for entry in self.rules("c_LINKER"):
            words = shlex.split(entry["command"])
            self.links[entry["output"]] = words
            found = {word for word in words if word.endswith(".o")}
            for word in words:
                found.update(members.get(word, []))
            self.objects[entry["output"]] = found

        done = self.shell(["ninja", "-C", self.build, "-t", "targets", "all"])
        self.outputs = {row.rpartition(": ")[0] for row in done.stdout.split("\n")}

    def rules(self, name):
        done = subprocess.run(["ninja", "-C", self.build, "-t", "compdb", name], check=True,
                              stdout=subprocess.PIPE)
        text = done.stdout.decode()
        return json.loads(text[text.index("["):])

    def plain(self, path):
        path = os.path.normpath(os.path.join(self.build, path))
        return os.path.relpath(path, self.source)

    def tests(self):
        """Those that run what was built, but for the simulator."""
        out = subprocess.run(["meson", "introspect", "--tests", self.build], check=True,
                             stdout=subprocess.PIPE).stdout
        some = [Test(entry, self) for entry in json.loads(out)]
        return [test for test in some if test.targets and SIM not in test.targets]

    def made_of(self, target, path):
        """The objects of a source file that an executable has."""
        return [object_ for object_ in self.objects[target]
                if object_ in self.compiles and self.compiles[object_][1] == path]


class Workshop:
    """A folder for one mutation at a time: its source, its objects, the executables with them."""

    def __init__(self, tree, number):
        self.tree = tree
        self.root = os.path.join(tree.root, f"workshop{number}")
        self.path = None     # of the mutated file, from the tree's root
        self.objects = {}    # object: where the mutated one lies
        self.made = {}       # target: where the executable with the mutation lies; None: not linked
        os.makedirs(self.root, exist_ok=True)

    def take(self, mutation):
        with open(os.path.join(self.tree.source, mutation.file), encoding="utf-8") as file:
            text = mutants.apply(file.read(), mutation)
        self.path, self.objects, self.made = mutation.file, {}, {}
        with open(self.own(self.path), "w", encoding="utf-8") as file:
            file.write(text)

    def own(self, path):
        to = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        return to

    def compile(self, object_):
        """What the compiler says if it refuses."""
        if object_ in self.objects:
            return None
        words, path = self.tree.compiles[object_]
        to = self.own(object_)
        folder = os.path.dirname(os.path.join(self.tree.source, path))
        words = [to if word == object_ else to + ".d" if word == object_ + ".d" else word
                 for word in words[:-1]] + ["-iquote", folder, self.own(path)]
        done = self.tree.shell(["nice", *words])
        if done.returncode != 0:
            rows = [row for row in done.stdout.split("\n") if "error" in row] or ["?"]
            return ANSI.sub("", rows[0])
        self.objects[object_] = to
        return None

    def link(self, target):
        """(does the executable have the mutation?, what is wrong)."""
        if target in self.made:
            return self.made[target] is not None, None
        objects = self.tree.made_of(target, self.path)
        for object_ in objects:
            wrong = self.compile(object_)
            if wrong is not None:
                return False, f"does not compile: {wrong}"
        self.made[target] = None
        if not objects:
            return False, None
        done = self.tree.shell(["nice", *self.link_words(target, objects)])
        if done.returncode == 0:
            self.made[target] = self.own(target)
        elif not any(mark in done.stdout for mark in NOT_LINKED):
            return False, f"does not link: {done.stdout.strip()[-200:]}"
        return self.made[target] is not None, None

    def link_words(self, target, objects):
        words = []
        late = [self.objects[object_] for object_ in objects
                if object_ not in self.tree.links[target]]
        for word in self.tree.links[target]:
            if word.startswith("-Wl,") and late:
                words += late
                late = []
            words.append(self.own(target) if word == target else
                         self.objects[word] if word in objects else word)
        return words + late + self.tree.linker

    def run(self, test, seconds, part=None):
        """(passed?, what it did). A test that was killed from outside has said nothing."""
        for _ in range(5):
            rows = []
            status = self.start(test, part, seconds, rows)
            if status not in (126, 127, -signal.SIGKILL):  # nice's, and the kernel's without memory
                break
            time.sleep(1)
        else:
            sys.exit(f"mutants: {test.name} cannot be started: {' '.join(rows)}")
        return status == 0, "hangs" if status is None else first_words(rows)

    def start(self, test, part, seconds, rows):
        made = {target: path for target, path in self.made.items() if path is not None}
        child = subprocess.Popen(test.command(made, part), stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                 cwd=self.tree.build, env=dict(self.tree.env, **test.env),
                                 preexec_fn=bounded, pass_fds=[self.tree.lock.fileno()])
        return finish(child, seconds,
                      lambda line: rows.append(ANSI.sub("", line.decode(errors="replace"))))

    def simulate(self, seeds):
        """The first seed that is broken, as the simulator says it; None: none is."""
        broken = []

        def look(line):
            if line.startswith(b"seed "):
                broken.append(line.decode(errors="replace").strip())
            return bool(broken)

        sim = self.made.get(SIM) or os.path.join(".", SIM)
        child = subprocess.Popen(["nice", sim, "--seeds", str(seeds)],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 stdin=subprocess.DEVNULL, cwd=self.tree.build, env=self.tree.env,
                                 preexec_fn=bounded, pass_fds=[self.tree.lock.fileno()])
        status = finish(child, SIM_SECONDS, look)
        if broken:
            return broken[0]
        return None if status == 0 else "hangs" if status is None else f"status {status}"
