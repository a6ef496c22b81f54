#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/unit/cli/test_offline.py HOLDFAST MAKE_SPOOL CONTROL: what is said of a spool that is not
as it should be.

Promise: each line names the file, what was being done and what the system said. "Bad message",
         the system's word for a checksum that is wrong, never comes alone.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HOLDFAST, MAKE_SPOOL, CONTROL = (os.path.abspath(path) for path in sys.argv[1:4])
ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../../.."
NOBODY = 65534


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Offline(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="holdfast-offline-")
        self.spool = os.path.join(self.dir.name, "spool")
        os.chmod(self.dir.name, 0o755)
        self.make(0)

    def tearDown(self):
        self.dir.cleanup()

    def make(self, checkpoints):
        shutil.rmtree(self.spool, ignore_errors=True)
        subprocess.run([MAKE_SPOOL, self.spool, str(checkpoints)], check=True, timeout=60)

    def path(self, name):
        return os.path.join(self.spool, name)

    def damage(self, name, offset):
        with open(self.path(name), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 0x40]))

    def run_cli(self, *args, program=HOLDFAST, **options):
        done = subprocess.run([program, "spool", *args, "--dir", self.spool],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, **options)
        told = done.stderr.decode()
        self.assertNotRegex(told, r"(?i)bad message")
        return done.returncode, done.stdout.decode(), told

    def as_nobody(self, *args):
        """Without rights: the program is copied to where anybody may run it."""
        program = os.path.join(self.dir.name, "holdfast")
        shutil.copy(HOLDFAST, program)
        os.chmod(program, 0o755)
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return self.run_cli(*args, program=program, cwd="/", **options)

    def checkpoints(self):
        return sorted(name for name in os.listdir(self.spool) if re.match(r"ckpt-\d", name))

    def test_a_good_spool_is_good(self):
        code, out, told = self.run_cli("verify")
        self.assertEqual((code, told), (0, ""), out)
        self.assertIn("3 messages", out)
        code, out, told = self.run_cli("export", os.path.join(self.dir.name, "out"))
        self.assertEqual((code, told), (0, ""), out)

    def test_damaged_checkpoints_are_named(self):
        self.make(2)
        names = self.checkpoints()
        self.assertEqual(len(names), 2)
        for name in names:
            self.damage(name, 40)
        code, _, told = self.run_cli("list")
        self.assertEqual(code, 0)
        self.assertIn(f"{self.spool}: no checkpoint is good: {names[-1]}", told)
        self.assertIn("damaged", told)

    def test_a_checkpoint_of_something_else_is_named(self):
        self.make(1)
        told = self.run_cli("list")[2]
        self.assertIn("the newest checkpoint's deliveries: damaged", told)

    def test_a_damaged_meta_file_is_named(self):
        for name in ("meta", "meta-2"):
            self.damage(name, 20)
        for verb in (["list"], ["verify"], ["export", os.path.join(self.dir.name, "out")]):
            code, _, told = self.run_cli(*verb)
            self.assertEqual(code, 2)
            self.assertIn(f"{self.spool}: this spool cannot be read: meta: damaged", told)

    def test_another_format_is_told_as_such(self):
        for name in ("meta", "meta-2"):
            with open(self.path(name), "r+b") as file:
                data = bytearray(file.read())
                version = struct.unpack_from("<I", data, 8)[0]
                struct.pack_into("<I", data, 8, version + 1)
                struct.pack_into("<I", data, len(data) - 4, crc32c(data[:-4]))
                file.seek(0)
                file.write(data)
        code, _, told = self.run_cli("verify")
        self.assertEqual(code, 2)
        self.assertIn(f"meta: the spool is of format {version + 1}; this program reads format "
                      f"{version}", told)

    def test_a_directory_without_rights(self):
        os.chmod(self.spool, 0)
        code, _, told = self.as_nobody("list")
        self.assertEqual(code, 2)
        self.assertIn(f"{self.spool}: opening the spool's directory: Permission denied", told)

    def test_a_file_without_rights(self):
        os.chmod(self.spool, 0o755)
        for name in os.listdir(self.spool):
            os.chmod(self.path(name), 0 if name == "msg-000001.seg" else 0o644)
        code, _, told = self.as_nobody("verify")
        self.assertEqual(code, 2)
        self.assertIn(self.spool, told)
        self.assertIn("opening msg-000001.seg: Permission denied", told)

    def test_what_cannot_be_exported_is_named(self):
        out = os.path.join(self.dir.name, "out")
        self.assertEqual(self.run_cli("export", out)[0], 0)
        first = sorted(os.listdir(out))[0]
        code, _, told = self.run_cli("export", out)
        self.assertEqual(code, 2)
        self.assertIn(f"export to {out}: making {first}: File exists (0 messages", told)
        code, _, told = self.run_cli("export", "/proc/none/out")
        self.assertEqual(code, 2)
        self.assertIn("/proc/none/out: making the directory: No such file", told)

    def test_json_errors_say_the_same(self):
        self.damage("meta", 20)
        self.damage("meta-2", 20)
        done = subprocess.run([HOLDFAST, "--json", "spool", "list", "--dir", self.spool],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        self.assertIn("meta: damaged", json.loads(done.stdout)["error"])

    def control(self):
        with open(os.path.join(ROOT, "docs/holdfast.conf.example"), encoding="utf-8") as file:
            text = file.read()
        for folder, place in (("/run/holdfast", "run"), ("/var/lib/holdfast", "state"),
                              ("/var/spool/holdfast", "spool")):
            text = text.replace(folder, os.path.join(self.dir.name, place))
        text = re.sub(r'(?m)^(user|group) .*$', "", text)
        path = os.path.join(self.dir.name, "holdfast.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([CONTROL, "--config", path], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
        told = done.stderr.decode()
        self.assertNotRegex(told, r"(?i)bad message")
        self.assertNotEqual(done.returncode, 0)
        return told

    def test_control_says_why_it_does_not_start(self):
        self.make(2)
        for name in self.checkpoints():
            self.damage(name, 40)
        told = self.control()
        self.assertIn("policy.db is missing, and whether the spool is new cannot be told: no "
                      f"checkpoint is good: {self.checkpoints()[-1]}", told)
        self.damage("meta", 20)
        self.damage("meta-2", 20)
        for name in self.checkpoints():
            os.remove(self.path(name))
        told = self.control()
        self.assertIn(f"spool {self.spool}: meta: damaged", told)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
