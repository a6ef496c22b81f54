#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/compare.py: what was answered 250 against what arrived, per recipient.

Promise: every accepted (message, recipient) is found in the sinks' dumps or reported; an arrival
         that nobody sent, to a recipient nobody named, or with other bytes, is reported as wrong.
Trap:    smtp-sink's dump begins with its own headers. The message begins at the first field that
         the sender wrote. Between the two there may only be Received fields.
         smtp-sink keeps the dump of a transfer that broke off until its own time limit, 100 s. It
         never answered that message, so that is no arrival; such a dump has no empty line at its
         end, which smtp-sink writes when it has seen the dot.

There are two kinds of journal lines. One is for each message (send.py, swaks): it is found by its
id, and the hash of the whole message is compared. The other is for each smtp-source run: its
messages have a Message-Id of their own, by which they are counted. Their bodies are compared with
the body of a message with the same settings that went to a sink directly.
"""
import collections
import email.parser
import hashlib
import json
import os
import sys

TOKEN = b"X-Holdfast-Test: "


class Arrival:
    """One dump file of smtp-sink."""

    def __init__(self, path):
        with open(path, "rb") as file:
            raw = file.read()
        self.path = path
        self.is_whole = raw.endswith(b"\n\n")
        self.raw = raw[:-1] if self.is_whole else raw
        head, _, body = self.raw.partition(b"\n\n")
        self.fields = head.split(b"\n")
        self.rcpts = [self.address(line) for line in self.fields
                      if line.startswith(b"X-Rcpt-Args: ")]
        mail = [line for line in self.fields if line.startswith(b"X-Mail-Args: ")]
        self.sender = self.address(mail[0]) if mail else None
        self.body_sha = hashlib.sha256(body).hexdigest()
        self.body_bytes = len(body)

    @staticmethod
    def address(line):
        text = line.split(b": ", 1)[1]
        return text.split(b">", 1)[0].lstrip(b" <").decode(errors="replace").lower()

    def field(self, name):
        for line in self.fields:
            if line.lower().startswith(name.lower() + b": "):
                return line.split(b": ", 1)[1].decode(errors="replace").strip()
        return None

    def is_bounce(self):
        head = b"\n".join(self.fields)
        return self.sender == "" or b"multipart/report" in head

    def sent(self):
        """The message from the first field that the sender wrote, or None."""
        at = self.raw.find(b"\n" + TOKEN)
        return None if at < 0 else self.raw[at + 1:]

    def added(self):
        """Names of the fields that stand before the sender's first, smtp-sink's own left out."""
        at = self.raw.find(b"\n" + TOKEN)
        head = email.parser.BytesParser().parsebytes(self.raw[:at + 1] + b"\n", headersonly=True)
        return [name for name in head.keys() if not name.startswith("X-")]


def arrivals_read(directories):
    for directory in directories:
        if not os.path.isdir(directory):
            continue
        for name in sorted(os.listdir(directory)):
            yield Arrival(os.path.join(directory, name))


def journal_read(paths):
    for path in paths:
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


class Account:
    """The comparison. `wrong` holds sentences about arrivals that should not be as they are."""

    def __init__(self, journals, sinks, bounce_sinks=()):
        self.messages = {}   # id -> journal entry
        self.runs = {}       # subject -> smtp-source run
        self.arrived = collections.Counter()
        self.run_arrived = collections.defaultdict(collections.Counter)
        self.wrong = []
        self.bounced = 0
        self.unanswered_arrived = 0
        for entry in journal_read(journals):
            if entry.get("kind") == "smtp-source":
                self.runs[entry["subject"]] = entry
            else:
                self.messages[entry["id"]] = entry
        for arrival in arrivals_read(sinks):
            self.take(arrival)
        for arrival in arrivals_read(bounce_sinks):
            self.bounced += 1
            self.wrong.append(f"{arrival.path}: mail to the outside, from <{arrival.sender}>")

    def take(self, arrival):
        if arrival.is_bounce():
            self.bounced += 1
            self.wrong.append(f"{arrival.path}: a bounce")
            return
        if not arrival.is_whole:
            return
        ident = arrival.field(TOKEN[:-2])
        if ident is not None:
            self.take_message(arrival, ident)
        else:
            self.take_of_run(arrival)

    def take_message(self, arrival, ident):
        entry = self.messages.get(ident)
        if entry is None:
            self.wrong.append(f"{arrival.path}: {ident} was never sent")
            return
        if hashlib.sha256(arrival.sent()).hexdigest() != entry["sha"]:
            self.wrong.append(f"{arrival.path}: {ident} arrived with other bytes than sent "
                              f"({len(arrival.sent())} here)")
            return
        if arrival.sender != entry["sender"]:
            self.wrong.append(f"{arrival.path}: {ident} from <{arrival.sender}>, "
                              f"sent by <{entry['sender']}>")
        if entry["state"] in ("refused", "deferred"):
            self.wrong.append(f"{arrival.path}: {ident} arrived though answered {entry['reply']}")
        names = set(arrival.added())
        if names != {"Received"}:
            self.wrong.append(f"{arrival.path}: fields before the message: {sorted(names)}")
        for rcpt in arrival.rcpts:
            if rcpt not in entry["rcpts"]:
                self.wrong.append(f"{arrival.path}: {ident} to {rcpt}, which was not accepted")
            else:
                self.arrived[(ident, rcpt)] += 1

    def take_of_run(self, arrival):
        run = self.runs.get(arrival.field(b"Subject"))
        ident = arrival.field(b"Message-Id")
        if run is None or ident is None:
            self.wrong.append(f"{arrival.path}: nobody sent this")
            return
        if arrival.body_sha != run["body_sha"]:
            self.wrong.append(f"{arrival.path}: body differs from smtp-source's own "
                              f"({arrival.body_bytes} bytes)")
            return
        for rcpt in arrival.rcpts:
            if rcpt not in run["rcpts"]:
                self.wrong.append(f"{arrival.path}: to {rcpt}, which was not accepted")
            else:
                self.run_arrived[run["subject"]][(ident, rcpt)] += 1

    def totals(self, held):
        accepted = delivered = duplicates = 0
        missing = []
        for ident, entry in self.messages.items():
            for rcpt in entry["rcpts"]:
                count = self.arrived[(ident, rcpt)]
                if entry["state"] == "accepted":
                    accepted += 1
                    delivered += count > 0
                    duplicates += max(0, count - 1)
                    if count == 0:
                        missing.append(f"{ident} to {rcpt}")
                else:
                    self.unanswered_arrived += count
        for subject, run in self.runs.items():
            seen = self.run_arrived[subject]
            expected = run["count"] * len(run["rcpts"])
            accepted += expected
            delivered += min(len(seen), expected)
            duplicates += sum(count - 1 for count in seen.values())
            if len(seen) < expected:
                missing.append(f"{expected - len(seen)} of smtp-source's \"{subject}\"")
            if len(seen) > expected:
                self.wrong.append(f"\"{subject}\": {len(seen)} arrived, {expected} sent")
        lost = max(0, accepted - delivered - held)
        return {"accepted": accepted, "delivered": delivered, "held": held,
                "duplicates": duplicates, "lost": lost, "bounced": self.bounced,
                "missing": missing}


def line(totals):
    """The closing line, in the words that the promise uses."""
    return " ".join(f"{name}={totals[name]}" for name in
                    ("accepted", "delivered", "held", "duplicates", "lost", "bounced"))


def verdict(totals, account):
    return (totals["held"] == 0 and totals["lost"] == 0 and totals["bounced"] == 0
            and totals["delivered"] == totals["accepted"] and not account.wrong)


def main():
    if len(sys.argv) < 3:
        print("usage: compare.py JOURNAL SINKDIR...", file=sys.stderr)
        return 64
    account = Account([sys.argv[1]], sys.argv[2:])
    totals = account.totals(0)
    for sentence in account.wrong + totals["missing"]:
        print(sentence)
    print(line(totals))
    return 0 if verdict(totals, account) else 1


if __name__ == "__main__":
    sys.exit(main())
