#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/tidy/tidy.py [ROOT]: the house rules as a test.

Promise: prints one line "file:line: rule" for every breach and exits 1 when there is one.
Trap:    it reads text, not C: it knows comments and strings, but no preprocessor. A rule that can
         not be told from text (a switch over an enum has no default) is the compiler's: see
         -Wswitch-enum in meson.build.
"""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                             "mutants"))
import circles
import counters
import layout
import listed
import mutants

FILE_LINES = 600
FUNCTION_LINES = 70
COLUMNS = 100
# The least number of assertions per function in control/core, on the average. A function counts
# when it has more than ASSERT_EXEMPT_LINES lines besides its assertions: a shorter one has nothing
# to say that its caller does not. What only tests call does not count. The number may only be
# raised.
ASSERT_FLOOR = 1.7
ASSERT_EXEMPT_LINES = 3
ASSERT_FOR_TESTS = ("control/core/check.c", "control/core/check_parts.c",
                    "control/core/rulebook_check.c")

TOP_LEVEL = {
    "dataplane", "control", "spool", "bench", "tests", "common", "docs", "run", "check",
    "meson.build", "meson_options.txt", "README.md", "LICENSE",
}

# Who may include whom: the longest matching prefix of the including file decides; the values are
# prefixes of what it may name. `common <- spool <- dataplane`, `common <- spool <- control`;
# net, tcp and smtp know only common, and conn and its neighbours join them with the spool.
LAYERS = {
    "common/": ["common/"],
    "spool/": ["common/", "spool/"],
    "dataplane/net/": ["common/", "dataplane/net/"],
    "dataplane/tcp/": ["common/", "dataplane/tcp/"],
    "dataplane/smtp/": ["common/", "dataplane/smtp/"],
    "dataplane/": ["common/", "spool/", "dataplane/"],
    "control/core/": ["common/", "spool/extent.h", "control/core/"],
    "control/": ["common/", "spool/", "control/"],
    "control/cli/": ["common/", "spool/", "control/"],
    "bench/": ["common/", "spool/", "dataplane/", "control/", "bench/"],
    "tests/": ["common/", "spool/", "dataplane/", "control/", "tests/"],
}

# Libraries have one home each.
LIBRARIES = [
    (r"liburing\.h", ["spool/uring.c"]),
    (r"rte_\w+\.h", ["dataplane/net/"]),
    (r"sqlite3\.h", ["control/", "tests/fuzz/", "tests/sim/", "tests/unit/control/"]),
    (r"jansson\.h", ["control/", "bench/control/", "tests/fuzz/", "tests/sim/",
                      "tests/unit/control/"]),
    (r"libconfig\.h", ["common/config", "common/config/"]),
]

# The pure cores: no clock, system call, allocation or log inside. One file of TCP makes and frees
# the stack as a whole, before and after all use.
PURE_CREATES = ["dataplane/tcp/stack.c", "control/core/mem.c"]
PURE = ["dataplane/tcp/", "dataplane/smtp/", "control/core/"]
IMPURE = (r"\b(malloc|calloc|realloc|free|printf|fprintf|clock_gettime|time|gettimeofday|read|"
          r"write|open|socket|rte_\w+|syslog|sd_journal_\w+|rte_rdtsc)\s*\(")
# The core of control also makes no text for people, and knows no database and no JSON.
CORE = "control/core/"
CORE_IMPURE = (r"\b(\w*n?printf|json_\w+|sqlite3_\w+|pthread_\w+|getpw\w+|"
               r"spool_\w*(read|scan|open)\w*)\s*\(")

BANNED = (r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|strtok|system|popen|rand|srand|"
          r"alloca|tmpnam|mktemp)\s*\(")
# strerror says "Bad message" for EBADMSG, and never says with which file or what was done.
SHIPPED = ("common/", "spool/", "dataplane/", "control/")
UNCHAINED = r"\b(strerror|strerror_r|perror)\s*\("
MARKERS = r"\b(TODO|FIXME|XXX|HACK)\b"
RFC_WRONG = r"\b(?:rfc|Rfc)[ -]?\d{3,5}\b|\bRFC-\d|\bRFC\d{3,5}\b"
ELSEWHERE = r"(?i)\b(?:design section|pitfall) \d+"
SKIPPED = re.compile(r"^(\.git|build[^/]*|\.cache)(/|$)|__pycache__")
TEXT = (".c", ".h", ".def", ".py", ".sh", ".md", ".build", ".txt", ".example", ".conf", ".smtp",
        ".1", ".5", ".7", ".8", ".service")


class Tidy:
    def __init__(self, root):
        self.root = root
        self.breaches = 0
        self.files = sorted(self.walk())

    def walk(self):
        for folder, names, files in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            names[:] = [name for name in names
                        if not SKIPPED.search(os.path.normpath(os.path.join(below, name)))]
            for name in files:
                yield os.path.normpath(os.path.join(below, name))

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def breach(self, path, line, rule):
        self.breaches += 1
        print(f"{path}:{line}: {rule}")

    def find(self, path, text, pattern, rule):
        for match in re.finditer(pattern, text):
            self.breach(path, text.count("\n", 0, match.start()) + 1,
                        rule.format(match.group(0).strip()))


def blank(match):
    """What replaces a comment or string: as many lines, without words."""
    text = match.group(0)
    return "\n" * text.count("\n") if text.startswith("/") else '""'


def code_only(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text,
                  flags=re.S)


def longest_prefix(path, table):
    fits = [prefix for prefix in table if path.startswith(prefix)]
    return max(fits, key=len) if fits else None


def check_top_level(tidy):
    for name in os.listdir(tidy.root):
        if not name.startswith(".") and not name.startswith("build") and name not in TOP_LEVEL:
            tidy.breach(name, 1, "not an entry of the top level")


def check_text(tidy):
    """What holds for every text file."""
    for path in tidy.files:
        base = os.path.basename(path)
        if not (path.endswith(TEXT) or base in ("run", "check")):
            continue
        text = tidy.read(path)
        if path.endswith((".c", ".h", ".def", ".py", ".sh", ".build")) or base in ("run", "check") \
                or base == "meson_options.txt":
            if "SPDX-License-Identifier: BSD-3-Clause" not in "\n".join(text.split("\n")[:3]):
                tidy.breach(path, 1, "no SPDX line at its head")
        lines = text.split("\n")
        if len(lines) - 1 > FILE_LINES and not path.endswith((".md", ".smtp")):
            tidy.breach(path, len(lines), f"{len(lines) - 1} lines, at most {FILE_LINES}")
        if path != "tests/tidy/tidy.py":
            tidy.find(path, text, MARKERS, "unfinished: {}")
            tidy.find(path, text, RFC_WRONG, "spelled \"RFC 1234\", not {}")
            tidy.find(path, text, ELSEWHERE, "{}: a document that is not in this tree")
        tidy.find(path, text, r"[ \t]+\n", "blanks at the end of a line")
        if text and not text.endswith("\n"):
            tidy.breach(path, len(lines), "no newline at the end")
        if path.endswith((".c", ".h", ".py", ".sh")) or base in ("run", "check"):
            for number, line in enumerate(lines, 1):
                if len(line) > COLUMNS:
                    tidy.breach(path, number, f"{len(line)} columns, at most {COLUMNS}")


def check_head(tidy, path, text):
    """Title first, so that the heads of the files are a tour of the house."""
    rest = re.sub(r"\A/\*[^*]*SPDX[^*]*\*/\n", "", text)
    if not rest.startswith("/*"):
        tidy.breach(path, 2, "no head comment after the SPDX line")
    elif path not in rest.split("*/", 1)[0] and \
            os.path.basename(path) not in rest.split("*/", 1)[0]:
        tidy.breach(path, 2, "the head comment does not begin with the file's name")


def check_includes(tidy, path, text):
    for match in re.finditer(r'(?m)^\s*#\s*include\s*([<"])([^">]+)[">]', text):
        number = text.count("\n", 0, match.start()) + 1
        kind, name = match.groups()
        if kind == '"':
            layer = longest_prefix(path, LAYERS)
            if layer is None or not name.startswith(tuple(LAYERS[layer])):
                tidy.breach(path, number, f"layering: {layer or 'this'} may not include {name}")
            elif not os.path.exists(os.path.join(tidy.root, name)):
                tidy.breach(path, number, f"{name} is not a path from the root")
        else:
            for pattern, homes in LIBRARIES:
                if re.fullmatch(pattern, name) and not path.startswith(tuple(homes)):
                    tidy.breach(path, number, f"<{name}> belongs in {', '.join(homes)} only")


def check_limits(tidy, path, text, code):
    """A file that includes a header of bounds names one of them: else it is rebuilt for nothing."""
    for name in re.findall(r'#\s*include\s*"(common/limits/\w+\.h)"', text):
        if os.path.exists(os.path.join(tidy.root, name)):
            bounds = re.findall(r"#\s*define (LIMIT_\w+)", tidy.read(name))
            if not re.search(rf"\b({'|'.join(bounds)})\b", code):
                tidy.breach(path, 1, f"includes {name} and names no bound of it")


def check_config_made(tidy, path, code):
    """A configuration made by hand begins with the defaults: else a new key is 0 there alone."""
    made = re.search(r"\bstruct config(\s+\w+(;|\s*=\s*\{)|\s*\*\s*\w+\s*=\s*(c|m)alloc)|"
                     r"\(struct config\)\s*\{", code)
    if made and not re.search(r"\bconfig_defaults\(", code) and path.endswith(".c"):
        tidy.breach(path, code.count("\n", 0, made.start()) + 1,
                    "makes a struct config without config_defaults: a new key is 0 in it")


def check_functions(tidy, path, code):
    """In this house a function's body begins with `{` in column 0 and ends with `}` there."""
    start = None
    for number, line in enumerate(code.split("\n"), 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                tidy.breach(path, start, f"function of {number - start - 1} lines, at most "
                            f"{FUNCTION_LINES}")
            start = None


def check_asserts(tidy):
    functions = asserts = 0
    for path in tidy.files:
        if not path.startswith(CORE) or not path.endswith((".c", ".h")) or path in ASSERT_FOR_TESTS:
            continue
        start = None
        lines = code_only(tidy.read(path)).split("\n")
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            elif line.startswith("}") and start is not None:
                found = sum("assert(" in row for row in lines[start + 1:number])
                functions += number - start - 1 - found > ASSERT_EXEMPT_LINES
                asserts += found
                start = None
    if functions > 0 and asserts < ASSERT_FLOOR * functions:
        tidy.breach(CORE, 1, f"{asserts} assertions in {functions} functions, at least "
                    f"{ASSERT_FLOOR} in each on the average")


def check_sources(tidy):
    for path in tidy.files:
        if not path.endswith((".c", ".h", ".def")):
            continue
        text = tidy.read(path)
        code = code_only(text)
        check_head(tidy, path, text)
        check_includes(tidy, path, text)
        check_limits(tidy, path, text, code)
        check_functions(tidy, path, code)
        check_config_made(tidy, path, code)
        tidy.find(path, code, BANNED, "banned: {}")
        tidy.find(path, code, r"(?m)^\s*typedef\s+(struct|union)\b", "structs are not typedef'd")
        if path.startswith(SHIPPED):
            tidy.find(path, code, UNCHAINED, "{}: say what was done to what, by common/trouble.h")
        if path.startswith(tuple(PURE)) and path not in PURE_CREATES:
            tidy.find(path, code, IMPURE, "a pure core may not call {}")
        if path.startswith(CORE):
            tidy.find(path, code, CORE_IMPURE, "the core of control may not call {}")
        if path.endswith(".h") and f"HOLDFAST_{re.sub('[^A-Z0-9]', '_', path.upper())}" not in text:
            tidy.breach(path, 1, "include guard is not HOLDFAST_<PATH>_H")


def check_headers_used(tidy):
    included = set()
    for path in tidy.files:
        if path.endswith((".c", ".h", ".def")):
            included.update(re.findall(r'#\s*include\s*"([^"]+)"', tidy.read(path)))
    for path in tidy.files:
        if path.endswith((".h", ".def")) and path not in included:
            tidy.breach(path, 1, "nobody includes it: dead")


def check_links(tidy):
    """Links and file names between backticks in the documents lead somewhere."""
    for path in tidy.files:
        if not path.endswith(".md"):
            continue
        text = tidy.read(path)
        for match in re.finditer(r"\[[^\]\n]*\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
            target = match.group(1)
            if "://" in target or target.startswith("mailto:"):
                continue
            place = os.path.join(tidy.root, os.path.dirname(path), target)
            if not os.path.exists(place):
                tidy.breach(path, text.count("\n", 0, match.start()) + 1,
                            f"link to {target} leads nowhere")


def check_mutants(tidy):
    """The line that a mutation changes is still in its file, exactly once: a mutation that cannot
    be made says nothing about the tests."""
    for path, line, text in mutants.load(tidy.root)[1]:
        tidy.breach(path, line, text)


def check_circles(tidy):
    for path, rule in circles.breaches(circles.load(tidy.root)):
        tidy.breach(path, 1, rule)


def check_counters(tidy):
    counters.check(tidy, code_only)


def check_format(tidy):
    clang_format = layout.tool()
    if clang_format is None:
        print("tidy: clang-format 14 is not here; layout not checked", file=sys.stderr)
        return
    sources = [path for path in tidy.files if path.endswith((".c", ".h"))]
    for path in layout.wrong(clang_format, tidy.root, sources):
        tidy.breach(path, 1, "not as clang-format lays it out: ./check format")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    tidy = Tidy(os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else
                os.path.dirname(os.path.dirname(here)))
    for check in (check_top_level, check_text, check_sources, check_asserts, check_headers_used,
                  check_links, *listed.CHECKS, check_counters, check_mutants, check_circles,
                  check_format):
        check(tidy)
    print(f"tidy: {len(tidy.files)} files, {tidy.breaches} breaches")
    return 1 if tidy.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
