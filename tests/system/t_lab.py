#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_lab.py: tests of the lab and its account themselves, without the relay.

Promise: the account finds a message that is missing, doubled, altered, misdirected, or made up.
"""
import os
import re
import shutil

import harness
from compare import Account
from lab import DOMAINS, HOP


def dumps(lab):
    for directory in lab.sink_directories():
        for name in sorted(os.listdir(directory)):
            yield os.path.join(directory, name)


def account_of(lab):
    account = Account([lab.journal], lab.sink_directories(), lab.bounce_directories())
    return account, account.totals(0)


def edited(path, pattern, to):
    """Replaces once in a dump; returns a function that puts it back."""
    with open(path, "rb") as file:
        before = file.read()
    after, count = re.subn(pattern, to, before, count=1)
    assert count == 1, f"{path} has no {pattern}"
    with open(path, "wb") as file:
        file.write(after)

    def restore():
        with open(path, "wb") as file:
            file.write(before)
    return restore


def test(lab, check):
    lab.sinks_start()
    lab.bounce_sinks_start()
    # Straight from the inside namespace to its own sink: the relay has no part in this.
    process = lab.start("direct", "inside", "python3", os.path.join(harness.HERE, "send.py"),
                        "--to", f"{HOP}:2525", "--run", "direct", "--count", "200",
                        "--journal", lab.journal)
    sent = lab.send_wait(process)
    check(sent["accepted"] == 200, "200 messages are answered 250 by smtp-sink")
    account, totals = account_of(lab)
    # smtp-sink adds one Received field of its own, as the relay will.
    check(totals["delivered"] == totals["accepted"] and not account.wrong, "all arrive, same bytes")

    paths = list(dumps(lab))
    shutil.move(paths[0], lab.path("aside"))
    gone = account_of(lab)[1]
    check(gone["lost"] > 0 and gone["missing"], "a missing message is lost")
    shutil.move(lab.path("aside"), paths[0])

    shutil.copy(paths[1], paths[1] + ".again")
    check(account_of(lab)[1]["duplicates"] > 0, "a doubled message is a duplicate")
    os.unlink(paths[1] + ".again")

    restore = edited(paths[2], rb"(?m)^([0-9a-f]{10})[0-9a-f]", rb"\1g")
    account, totals = account_of(lab)
    check(len(account.wrong) == 1 and totals["lost"] > 0, "one altered byte is found")
    restore()

    restore = edited(paths[3], rb"X-Rcpt-Args: <user", rb"X-Rcpt-Args: <somebody")
    check(len(account_of(lab)[0].wrong) == 1, "a recipient nobody named is found")
    restore()

    restore = edited(paths[4], rb"X-Holdfast-Test: direct", rb"X-Holdfast-Test: made-up")
    check(len(account_of(lab)[0].wrong) == 1, "a message nobody sent is found")
    restore()

    restore = edited(paths[5], rb"X-Mail-Args: <[^>]*>", rb"X-Mail-Args: <>")
    check(account_of(lab)[1]["bounced"] == 1, "a null sender is a bounce")
    restore()

    lab.command("inside", "smtp-source", "-m", "1", "-t", f"a@{DOMAINS[0]}", f"{HOP}:25")
    check(account_of(lab)[1]["bounced"] == 1, "mail to the sinks for bounces is a bounce")


if __name__ == "__main__":
    harness.main("lab", test)
