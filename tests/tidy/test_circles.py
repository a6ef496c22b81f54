#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/test_circles.py: what counts as a call between files, and that a circle is found.

Trap:    a rule that finds nothing always passes. So circles are planted in this tree, too.
"""
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(HERE)
import circles

HOUSE = os.path.dirname(os.path.dirname(HERE))


def function(name, body="", head="void"):
    return f"{head} {name}(struct log *log, int (*fn)(void *ctx))\n{{\n    {body}\n}}\n"


def found(texts):
    return circles.circles(circles.calls(texts))


class Planted(unittest.TestCase):
    def test_names_each_call_of_a_circle(self):
        with tempfile.TemporaryDirectory() as root:
            os.mkdir(os.path.join(root, "spool"))
            for name, text in (("a", function("a_first", "b_second(log);")),
                               ("b", function("b_second", "a_first(log);")),
                               ("c", function("c_third", "a_first(log);"))):
                with open(os.path.join(root, f"spool/{name}.c"), "w", encoding="utf-8") as file:
                    file.write(text)
            breaches = list(circles.breaches(circles.load(root)))
        self.assertEqual(breaches, [(
            "spool/a.c", "a circle of calls between 2 files:\n"
            "    spool/a.c: a_first names b_second of spool/b.c\n"
            "    spool/b.c: b_second names a_first of spool/a.c")])

    def test_goes_through_many_files_and_folders(self):
        texts = {"control/x.c": function("x", "y(log);"),
                 "common/y.c": function("y", "z(log);"),
                 "control/z.c": function("z", "x(log);"),
                 "dataplane/p.c": function("p", "q(log);"),
                 "dataplane/q.c": function("q", "p(log); y(log);")}
        self.assertEqual(found(texts), [["common/y.c", "control/x.c", "control/z.c"],
                                        ["dataplane/p.c", "dataplane/q.c"]])

    def test_a_straight_line_is_none(self):
        self.assertEqual(found({"spool/a.c": function("a", "b(log); c(log);"),
                                "spool/b.c": function("b", "c(log);"),
                                "spool/c.c": function("c", "c(log);")}), [])

    def below(self, use, head=""):
        """Whether b.c, which a.c calls, calls a.c with this."""
        return found({"spool/a.h": head, "spool/a.c": function("a", "b(log);"),
                      "spool/b.c": '#include "spool/a.h"\n' + use}) != []

    def test_what_is_a_call(self):
        for use in (function("b", "int r = a(log);"),
                    function("b", "each(log, a);"),                        # handed on by its name
                    function("b") + "static const struct ops ops = {.open = a};\n",
                    "#define GO(log) \\\n    a(log)\n" + function("b", "GO(log);")):
            self.assertTrue(self.below(use), use)

    def test_what_is_none(self):
        for use in (function("b", "/* as a(log) does */ puts(\"a(log)\");"),
                    function("b", "log->ops->a(log); log->part.a = 1;"),   # through a pointer
                    function("b", "struct a at;"),
                    "static " + function("a") + function("b", "a(log);"),  # one of its own
                    "void a(struct log *log);\n" + function("b", "aa(log);")):
            self.assertFalse(self.below(use), use)

    def test_an_inline_function_calls_for_whoever_names_it(self):
        inline = function("go", "a(log);", "static inline void")
        self.assertTrue(self.below(function("b", "go(log);"), inline))
        self.assertFalse(self.below(function("b"), inline))
        self.assertTrue(self.below(function("b", "GO(log);"), "#define GO(log) go(log)\n" + inline))

    def test_a_table_makes_names(self):
        texts = {"spool/verbs.def": "/* VERB(name, states, run) */\nVERB(EHLO, ANY, ehlo)\n",
                 "spool/table.c": "#define VERB(name, states, run) {#name, states, check_##run},\n"
                                  "static const struct verb verbs[] = {\n"
                                  '#include "spool/verbs.def"\n};\n' + function("table_find"),
                 "spool/ehlo.c": function("check_ehlo", "table_find(log);")}
        self.assertEqual(found(texts), [["spool/ehlo.c", "spool/table.c"]])

    def test_programs_that_are_never_linked_together_share_names(self):
        self.assertEqual(found({"control/a.c": function("a", "b(log);"),
                                "dataplane/b.c": function("b", "a(log);")}), [])


class House(unittest.TestCase):
    def test_has_no_circle(self):
        self.assertEqual(list(circles.breaches(circles.load(HOUSE))), [])

    def test_a_planted_call_upwards_is_found(self):
        for path, name in (("spool/segment.c", "log_drive"),
                           ("dataplane/smtp/answer.c", "apply_mail"),
                           ("dataplane/pool.c", "worker_turn"),
                           ("control/core/index.c", "up_turn"),
                           ("control/cli/say.c", "command_hold")):
            texts = circles.load(HOUSE)
            texts[path] += function("planted", f"{name}(log);")
            self.assertTrue(any(path in circle for circle in found(texts)), (path, name))


if __name__ == "__main__":
    unittest.main()
