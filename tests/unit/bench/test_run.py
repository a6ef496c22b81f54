#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/unit/bench/test_run.py SOURCE BUILD: bench/run and what it lists.

Promise: the list and the files of bench/ are the same benchmarks; each one ends with its line of
         key=value and says what it ran on; what bench/run does not know it refuses.
Trap:    relay needs root and Postfix: only its options are asked for here.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
RUN = os.path.join(SOURCE, "bench", "run")
PAIR = re.compile(r"[a-z][a-z0-9_]*=[^ =]+")

# A short run of each, and figures that its last line must have.
SHORT = {
    "control": (["--deliveries", "300", "--recipients", "50", "--rest", "1", "--mix", "1",
                 "--asks", "1", "--live", "200", "--rules", "4"],
                {"deliveries", "bytes_each", "turn_p999_us", "turn_max_us", "live_latency_ratio",
                 "start_answer_ms", "start_indexed_ms", "status_ms", "list_ms"}),
    "rules": (["--rules", "40", "--messages", "100", "--envelopes", "20", "--rounds", "1"],
              {"rules", "sender_1_any_ns", "rcpt_short_128_met_ns", "mixed_1_met_ns",
               "worst_1_ns", "worst_128_ns"}),
    "smtp": (["--messages", "50", "--rounds", "1"], {"bytes"}),
    "spool": (["--messages", "50", "--depth", "8", "--rounds", "1"],
              {"io_uring_rate", "pwritev2_rate"}),
}
LONG = {"relay"}


def run(*argv):
    return subprocess.run([RUN, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=100, check=False)


def listed():
    done = run()
    assert done.returncode == 0, done.stderr
    rows = [row.split(maxsplit=1) for row in done.stdout.splitlines()]
    assert all(len(row) == 2 for row in rows), done.stdout
    return [name for name, _ in rows]


class List(unittest.TestCase):
    def test_every_program_is_listed(self):
        built = {os.path.basename(path)[len("bench_"):]
                 for path in glob.glob(os.path.join(BUILD, "bench", "bench_*"))
                 if os.path.isfile(path) and os.access(path, os.X_OK)}
        scripts = {os.path.basename(path)[:-len(".py")]
                   for path in glob.glob(os.path.join(SOURCE, "bench", "*.py"))}
        self.assertTrue(built and scripts)
        self.assertEqual(sorted(listed()), sorted(built | scripts))

    def test_every_benchmark_is_tried_here(self):
        self.assertEqual(set(listed()), set(SHORT) | LONG)

    def test_options_of_each(self):
        for name in listed():
            done = run(name, "-h", "--build", BUILD)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("--", done.stdout)


class Run(unittest.TestCase):
    def short(self, name):
        options, wanted = SHORT[name]
        with tempfile.TemporaryDirectory() as place:
            done = run(name, "--build", BUILD, "--dir", place, *options)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(os.listdir(place), [])
        rows = done.stdout.splitlines()
        for word in ("machine", "disk", "versions", "settings"):
            self.assertTrue(any(row.startswith(word + " ") for row in rows), done.stdout)
        for pair in rows[-1].split(" "):
            self.assertTrue(PAIR.fullmatch(pair), rows[-1])
        figures = dict(pair.split("=") for pair in rows[-1].split(" "))
        self.assertLessEqual(wanted, set(figures))
        self.assertTrue(all(float(figures[key]) >= 0 for key in figures), rows[-1])
        return figures

    def test_control(self):
        figures = self.short("control")
        self.assertEqual(figures["deliveries"], "300")
        for key in ("turns", "turn_max_us", "reloads", "checkpoints", "live_latency_ratio"):
            self.assertGreater(float(figures[key]), 0, key)

    def test_rules(self):
        self.assertEqual(self.short("rules")["rules"], "40")

    def test_smtp(self):
        self.short("smtp")

    def test_spool(self):
        self.short("spool")


class Refusals(unittest.TestCase):
    def refused(self, *argv):
        done = run(*argv)
        self.assertEqual(done.returncode, 64, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_unknown_name(self):
        self.refused("nothing")
        self.refused("sm")

    def test_unknown_option(self):
        self.refused("smtp", "--build", BUILD, "--wrong", "1")
        self.refused("smtp", "--build", BUILD, "100")

    def test_value(self):
        for value in ("0", "1x", "99999999999999999999"):
            self.refused("smtp", "--build", BUILD, "--messages", value)
        self.refused("smtp", "--build", BUILD, "--messages")

    def test_directory(self):
        self.refused("spool", "--build", BUILD, "--dir", os.path.join(BUILD, "not-there"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
