#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/send.py: sends mail over kernel TCP and keeps account of every answer.

Promise: the journal names, for every attempt, a unique id, the recipients answered 250, the hash
         of the message as sent, and whether the final dot was answered 250 ("accepted"), refused
         (5xx), deferred (4xx) or not answered at all ("unanswered").
Trap:    a message whose attempt was not answered is sent again under a new id, as a sending relay
         would do. So if both arrive, that does not count as a duplicate.

The mail is made from a seed: mostly small, some large, with the lines that break relays: leading
dots, single stuffed dots, 8-bit bytes, lines of 998, an empty body. No line end is changed.
"""
import argparse
import hashlib
import json
import random
import smtplib
import socket
import sys
import threading
import time

TOKEN = "X-Holdfast-Test"


def message_size(rng, size_min, size_max):
    """Mostly small, as mail is: the median near 4 KB, one in fifty of hundreds of KB."""
    dice = rng.random()
    if dice < 0.70:
        size = rng.randint(1000, 8_000)
    elif dice < 0.90:
        size = rng.randint(8_000, 40_000)
    elif dice < 0.98:
        size = rng.randint(40_000, 200_000)
    else:
        size = rng.randint(200_000, 1_000_000)
    return max(size_min, min(size, size_max))


def body_lines(rng, size):
    """CRLF lines of about `size` bytes in all; the odd ones first, so that small mail has some."""
    odd = [b".", b"..", b".leading dot", b"", b"From here", b"\xc3\xa4\xff\x80 8-bit",
           b"x" * 998, b"trailing blank  ", b"\tTab", b".\t.", b"QUIT", b"=3D soft="]
    rng.shuffle(odd)
    lines, total = [], 0
    while total < size:
        if odd and rng.random() < 0.3:
            line = odd.pop()
        else:
            line = b"%0*x" % (rng.choice((16, 40, 64, 76)), rng.getrandbits(64))
        lines.append(line)
        total += len(line) + 2
    return b"\r\n".join(lines) + b"\r\n"


def message_make(ident, sender, rcpts, size, seed):
    rng = random.Random(f"{seed}/{ident}")
    head = (f"{TOKEN}: {ident}\r\nFrom: <{sender}>\r\nTo: {', '.join(rcpts)}\r\n"
            f"Message-ID: <{ident}@client.example>\r\nSubject: test {ident}\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\n").encode()
    return head + body_lines(rng, size)


def message_hash(raw):
    """The hash of the message with LF line ends, as smtp-sink keeps it."""
    return hashlib.sha256(raw.replace(b"\r\n", b"\n")).hexdigest()


class Journal:
    """One JSON object a line, appended and flushed at once, so that a crash here loses none."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8") if path else None
        self.lock = threading.Lock()
        self.states = {}
        self.recipients_accepted = 0
        self.last_trouble = ""

    def add(self, **entry):
        with self.lock:
            state = entry["state"]
            self.states[state] = self.states.get(state, 0) + 1
            if state == "accepted":
                self.recipients_accepted += len(entry["rcpts"])
            else:
                self.last_trouble = entry["reply"]
            if self.file:
                self.file.write(json.dumps(entry) + "\n")
                self.file.flush()


class Client:
    """A connection that is opened when needed and kept."""

    def __init__(self, options):
        self.options = options
        self.smtp = None

    def connect(self):
        if self.smtp is None:
            host, port = self.options.to.rsplit(":", 1)
            source = (self.options.source, 0) if self.options.source else None
            self.smtp = smtplib.SMTP(host, int(port), local_hostname="client.example",
                                     timeout=self.options.timeout, source_address=source)
            self.smtp.ehlo()

    def drop(self, politely=False):
        if self.smtp is not None:
            try:
                if politely:
                    self.smtp.quit()
                else:
                    self.smtp.close()
            except (OSError, smtplib.SMTPException):
                pass
            self.smtp = None

    def transaction(self, sender, rcpts, raw):
        """(state, recipients answered 250, reply). Never raises for what the peer does."""
        taken, at = [], "connect"
        try:
            self.connect()
            at = "MAIL"
            options = [f"SIZE={len(raw)}"] if self.smtp.has_extn("size") else []
            if self.smtp.has_extn("8bitmime"):
                options.append("BODY=8BITMIME")
            code, text = self.smtp.mail(sender, options)
            if code == 250:
                at = "RCPT"
                for rcpt in rcpts:
                    code, text = self.smtp.rcpt(rcpt)
                    if code in (250, 251):
                        taken.append(rcpt)
                if taken:
                    at = "dot"
                    code, text = self.smtp.data(raw)
                    if code == 250:
                        return "accepted", taken, f"{code} {text.decode(errors='replace')}"
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, error.smtp_error
        except smtplib.SMTPResponseException as error:
            code, text = error.smtp_code, error.smtp_error
        except (OSError, smtplib.SMTPException, socket.timeout) as error:
            self.drop()
            return "unanswered", taken, f"{at}: {error!r}"
        reply = f"{at}: {code} {text.decode(errors='replace') if text else ''}"
        try:
            self.smtp.rset()
        except (OSError, smtplib.SMTPException):
            self.drop()
        if code >= 500:
            return "refused", taken, reply
        return ("deferred" if code >= 400 else "unanswered"), taken, reply


def recipients_pick(rng, domains, share_many):
    """Most mail has one recipient; some has several, on one route or on all of them."""
    user = f"user{rng.randint(0, 9999)}"
    if rng.random() >= share_many:
        return [f"{user}@{rng.choice(domains)}"]
    count = rng.choice((2, 3, 5, 12))
    return [f"{user}.{n}@{domains[n % len(domains)]}" for n in range(count)]


def worker(options, journal, numbers, lock, stop_at):
    client = Client(options)
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            break
        rng = random.Random(f"{options.seed}/{options.run}/{number}")
        rcpts = options.rcpt or recipients_pick(rng, options.domain, options.many)
        sender = f"sender{number % 97}@client.example"
        size = message_size(rng, options.size_min, options.size_max)
        attempt = 0
        while True:
            ident = f"{options.run}-{number}-{attempt}"
            raw = message_make(ident, sender, rcpts, size, options.seed)
            state, taken, reply = client.transaction(sender, rcpts, raw)
            journal.add(id=ident, state=state, rcpts=taken, offered=rcpts, sender=sender,
                        sha=message_hash(raw), bytes=len(raw), reply=reply)
            if state in ("accepted", "refused") or time.monotonic() > stop_at:
                break
            attempt += 1
            time.sleep(min(0.2 * attempt, 1.0))
        if options.pause:
            time.sleep(options.pause)
    client.drop(politely=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--to", required=True, help="host:port")
    parser.add_argument("--source", help="local address")
    parser.add_argument("--journal", help="append the account of every attempt to this file")
    parser.add_argument("--run", default="run", help="prefix of the message ids")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first message")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--size-min", type=int, default=0)
    parser.add_argument("--size-max", type=int, default=1_000_000)
    parser.add_argument("--domain", action="append")
    parser.add_argument("--rcpt", action="append", help="fixed recipients for every message")
    parser.add_argument("--many", type=float, default=0.25, help="share with several recipients")
    parser.add_argument("--pause", type=float, default=0, help="seconds between messages")
    parser.add_argument("--timeout", type=float, default=60, help="of one reply")
    parser.add_argument("--deadline", type=float, default=120, help="stop repeating after it")
    options = parser.parse_args()
    options.domain = options.domain or ["staff.campus.example", "students.campus.example"]
    return options


def main():
    options = arguments()
    journal = Journal(options.journal)
    numbers = iter(range(options.first, options.first + options.count))
    lock = threading.Lock()
    begin = time.monotonic()
    threads = [threading.Thread(target=worker, args=(options, journal, numbers, lock,
                                                     begin + options.deadline))
               for _ in range(options.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = journal.states.get("accepted", 0)
    print(json.dumps({"messages": options.count, "accepted": accepted,
                      "recipients": journal.recipients_accepted, "states": journal.states,
                      "seconds": round(time.monotonic() - begin, 2),
                      "last_trouble": journal.last_trouble}))
    return 0 if accepted == options.count else 1


if __name__ == "__main__":
    sys.exit(main())
