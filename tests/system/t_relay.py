#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_relay.py: mail of every shape goes in and comes out as it was.

Promise: 50 MB, dot lines, 8-bit bytes, 100 recipients, BDAT, smtp-source, swaks: same bytes.
"""
import harness
from lab import DOMAINS
from send import message_hash, message_make


def raw_message(lab, check, name, rcpts, raw, steps, size_shown=None):
    """Sends `raw` in a conversation by hand; `steps` follow the RCPTs."""
    head = [["reply"], ["send", "EHLO client.example\r\n"], ["reply"],
            ["send", "MAIL FROM:<raw@client.example> BODY=8BITMIME\r\n"], ["reply"]]
    for rcpt in rcpts:
        head += [["send", f"RCPT TO:<{rcpt}>\r\n"], ["reply"]]
    replies = lab.raw(head + steps)
    good = check(replies[-1].startswith("250") and replies[2].startswith("250"),
                 f"{name}: answered 250", str(replies[-3:]))
    lab.journal_add(id=name, state="accepted" if good else "unanswered", rcpts=rcpts,
                    sender="raw@client.example", sha=message_hash(raw),
                    bytes=size_shown or len(raw), reply=replies[-1])


def bdat(lab, check):
    ehlo = lab.raw([["reply"], ["send", "EHLO client.example\r\n"], ["reply"]])[1]
    check("CHUNKING" in ehlo, "EHLO offers CHUNKING (RFC 3030)", ehlo)
    check("PIPELINING" in ehlo and "8BITMIME" in ehlo and "SIZE" in ehlo,
          "EHLO offers PIPELINING, 8BITMIME, SIZE", ehlo)
    if "CHUNKING" not in ehlo:
        return
    raw = message_make("bdat-one", "raw@client.example", ["x@" + DOMAINS[0]], 3000, "b")
    text = raw.decode("latin-1")
    raw_message(lab, check, "bdat-one", ["bdat@" + DOMAINS[0]], raw,
                [["send", f"BDAT {len(raw)} LAST\r\n{text}"], ["reply"]])
    raw = message_make("bdat-pieces", "raw@client.example", ["x@" + DOMAINS[0]], 200_000, "b")
    text, steps = raw.decode("latin-1"), []
    # A chunk may end anywhere, also between CR and LF and before a leading dot.
    at, sizes = 0, [1, 70_000, 13, 1000, 64_000, 2]
    for size in sizes:
        steps += [["send", f"BDAT {size}\r\n{text[at:at + size]}"], ["reply"]]
        at += size
    steps += [["send", f"BDAT {len(text) - at}\r\n{text[at:]}"], ["reply"],
              ["send", "BDAT 0 LAST\r\n"], ["reply"]]
    raw_message(lab, check, "bdat-pieces", [f"b{n}@{DOMAINS[n % 2]}" for n in range(4)], raw, steps)


def pipelined(lab, check):
    """A whole transaction in one segment after EHLO (RFC 2920)."""
    raw = message_make("pipelined", "raw@client.example", ["x@" + DOMAINS[0]], 900, "p")
    text = raw.decode("latin-1").replace("\r\n.", "\r\n..")
    rcpts = [f"p{n}@{DOMAINS[n % 2]}" for n in range(6)]
    replies = lab.raw([["reply"], ["send", "EHLO client.example\r\n"], ["reply"],
                       ["send", "MAIL FROM:<raw@client.example> BODY=8BITMIME\r\n"
                        + "".join(f"RCPT TO:<{rcpt}>\r\n" for rcpt in rcpts) + "DATA\r\n"],
                       *[["reply"]] * (len(rcpts) + 2),
                       ["send", text + ".\r\nQUIT\r\n"], ["reply"], ["reply"]])
    good = check([reply[:3] for reply in replies[2:]] == ["250"] * 7 + ["354", "250", "221"],
                 "pipelined: every answer in order", str(replies[2:]))
    lab.journal_add(id="pipelined", state="accepted" if good else "unanswered", rcpts=rcpts,
                    sender="raw@client.example", sha=message_hash(raw), bytes=len(raw),
                    reply=replies[-2])


def dribble(lab, check):
    """Byte by byte around the terminator."""
    raw = message_make("dribble", "raw@client.example", ["x@" + DOMAINS[0]], 1200, "d")
    text = raw.decode("latin-1").replace("\r\n.", "\r\n..")
    steps = [["send", "DATA\r\n"], ["reply"], ["send", text[:-40]]]
    for piece in text[-40:] + ".\r\n":
        steps += [["send", piece], ["sleep", 0.005]]
    raw_message(lab, check, "dribble", ["d@" + DOMAINS[0]], raw, steps + [["reply"]])


def rejections(lab, check):
    replies = lab.raw([["reply"], ["send", "EHLO client.example\r\n"], ["reply"],
                       ["send", "MAIL FROM:<a@client.example>\r\n"], ["reply"],
                       ["send", "RCPT TO:<a@elsewhere.example>\r\n"], ["reply"],
                       ["send", "DATA\r\n"], ["reply"], ["send", "QUIT\r\n"], ["reply"]])
    check(replies[3].startswith("55"), "no relaying to a foreign domain", replies[3])
    check(replies[4].startswith("5"), "DATA without a recipient is refused", replies[4])
    replies = lab.raw([["reply"], ["send", "EHLO client.example\r\n"], ["reply"],
                       ["send", f"MAIL FROM:<a@client.example> SIZE={200 << 20}\r\n"], ["reply"]])
    check(replies[2].startswith("552"), "SIZE beyond the limit: 552 at MAIL (RFC 1870)", replies[2])


def test(lab, check):
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()
    sent = lab.send("mixed", "--count", "400", "--connections", "8", "--size-min", "200")
    check(sent["accepted"] == 400, "400 messages answered 250", str(sent))
    sent = lab.send("large", "--count", "1", "--size-min", "50000000", "--size-max", "50000000",
                    "--rcpt", "big@" + DOMAINS[0], "--rcpt", "big@" + DOMAINS[1])
    check(sent["accepted"] == 1, f"50 MB answered 250 ({sent['seconds']} s)", str(sent))
    rcpts = sum((["--rcpt", f"n{number}@{DOMAINS[number % 2]}"] for number in range(100)), [])
    sent = lab.send("many", "--count", "3", *rcpts)
    check(sent["recipients"] == 300, "100 recipients each (RFC 5321 section 4.5.3.1.8)", str(sent))
    sent = lab.send("special", "--count", "1", "--rcpt", "rector@" + DOMAINS[0])
    check(sent["accepted"] == 1, "an address that takes another route than its domain")
    bdat(lab, check)
    pipelined(lab, check)
    dribble(lab, check)
    rejections(lab, check)
    lab.smtp_source("connection each", 200, 1000, "one@" + DOMAINS[0], sessions=20, keep=False)
    lab.smtp_source("kept connections", 300, 4000, "kept@" + DOMAINS[1], sessions=10)
    check(lab.swaks("swaks-1", ["s@" + DOMAINS[0], "s@" + DOMAINS[1]], 30_000), "swaks")
    check(lab.swaks("swaks-2", ["s@" + DOMAINS[0]], 3_000, "--pipeline"), "swaks, pipelining")
    check(harness.settle(lab), "nothing waits", str(lab.totals()))
    check(lab.cli_json("status")["counters"]["worker_busy_cycles"] > 0, "the worker worked")
    check(lab.cli_json("status")["counters"]["worker_idle_cycles"] > 0, "and rested")
    harness.account_check(lab, check)


if __name__ == "__main__":
    harness.main("relay", test)
