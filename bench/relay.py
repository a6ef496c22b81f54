#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/relay.py: messages a second, smtp-source -> relay -> smtp-sink, Holdfast beside Postfix.

Promise: both relays run on the same machine in the same run, in interleaved rounds, with the same
         senders, sizes and next hops; every message of a round is counted at the hop before its
         clock stops. It prints every round, medians, and which process was the limit; bench/run
         prints the machine.
Trap:    senders, hop and relay share the machine's CPUs: the rate measures the whole machine. Busy
         TSC cycles per message measure Holdfast's worker alone. veth and af_packet cost a
         system call a packet; this is the correctness network, not the fast one (docs/BUDGET.md).

Postfix gets interfaces of its own into the relay's namespace, with kernel addresses, and a
configuration and queue of its own in the work directory; the machine's own Postfix is not touched.
"""
import argparse
import os
import pwd
import re
import shutil
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "system"))

from lab import DOMAINS, HOP, HOUSE, RELAY, Lab, command, wait_until  # noqa: E402
from process import cpu_seconds, listens                              # noqa: E402

POSTFIX_OUTSIDE = ("198.51.100.129", "198.51.100.130")   # sender's end, Postfix's end
POSTFIX_INSIDE = ("198.51.100.193", "198.51.100.194")    # hop's end, Postfix's end

# Tuned as a relay: no local delivery, no rewriting or lookups per message, no rate limits, enough
# processes for the sessions, connections to the hop kept; fsync before 250 as it ships.
MAIN_CF = """
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.campus.example
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = {listen}
inet_protocols = ipv4
smtp_bind_address = {bind}
relay_domains = {domains}
relay_recipient_maps =
transport_maps = inline:{{ {transports} }}
alias_maps =
alias_database =
default_process_limit = 100
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_delay_reject = no
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = {hop}
smtp_connection_reuse_count_limit = 1000
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
qmgr_message_active_limit = 20000
in_flow_delay = 0
message_size_limit = 104857600
maillog_file = {log}
maillog_file_prefixes = /var/tmp
smtpd_tls_security_level = none
smtp_tls_security_level = none
"""
MASTER_CF = """
smtp       inet  n - n - 100 smtpd
pickup     unix  n - n 60 1 pickup
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
proxywrite unix  - - n - 1 proxymap
smtp       unix  - - n - 50 smtp
relay      unix  - - n - 50 smtp
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
scache     unix  - - n - 1 scache
anvil      unix  - - n - 1 anvil
postlog    unix-dgram n - n - 1 postlogd
"""


# Counters whose growth over a round, divided by its messages, is what a message cost.
COSTS = ("worker_busy_cycles", "spool_bytes", "spool_batches")


class Postfix:
    """One Postfix in the relay's namespace."""

    def __init__(self, lab):
        self.lab = lab
        self.folder = lab.path("postfix")
        self.log = lab.path("log", "postfix")

    def network(self):
        """A second pair of wires, with kernel addresses at Postfix's end."""
        lab = self.lab
        for side, device, (far, near) in (("outside", "pf-out", POSTFIX_OUTSIDE),
                                          ("inside", "pf-in", POSTFIX_INSIDE)):
            lab.command(side, "ip", "link", "add", "veth1", "type", "veth", "peer", "name", device,
                        "netns", lab.namespace("relay"))
            for where, name in ((side, "veth1"), ("relay", device)):
                # As the dataplane's wires: real frames, real checksums, for a fair comparison.
                for feature in ("tx", "rx", "tso", "gso", "gro", "sg"):
                    lab.command(where, "ethtool", "-K", name, feature, "off", check=False)
            lab.ip(side, "address", "add", f"{far}/26", "dev", "veth1")
            lab.ip(side, "link", "set", "veth1", "up")
            lab.ip("relay", "address", "add", f"{near}/26", "dev", device)
            lab.ip("relay", "link", "set", device, "up")

    def start(self):
        for part in ("conf", "data", "queue"):
            os.makedirs(os.path.join(self.folder, part))
        conf = os.path.join(self.folder, "conf")
        owner = pwd.getpwnam("postfix")
        os.chown(os.path.join(self.folder, "data"), owner.pw_uid, owner.pw_gid)
        hop = POSTFIX_INSIDE[0]
        transports = ", ".join(f"{{ {domain} = smtp:[{hop}]:{port} }}"
                               for domain, port in zip(DOMAINS, (2525, 2526)))
        with open(os.path.join(conf, "main.cf"), "w", encoding="ascii") as file:
            file.write(MAIN_CF.format(queue=os.path.join(self.folder, "queue"),
                                      data=os.path.join(self.folder, "data"),
                                      listen=POSTFIX_OUTSIDE[1], bind=POSTFIX_INSIDE[1],
                                      domains=", ".join(DOMAINS), transports=transports, hop=hop,
                                      log=self.log))
        with open(os.path.join(conf, "master.cf"), "w", encoding="ascii") as file:
            file.write(MASTER_CF)
        for name in ("postfix-files", "postfix-script", "post-install", "dynamicmaps.cf"):
            for place in ("/etc/postfix", "/usr/lib/postfix/sbin", "/usr/share/postfix"):
                source = os.path.join(place, name)
                if os.path.exists(source):
                    shutil.copy(source, conf)
                    break
        # master runs in the foreground as a child of ours, so its pid is known.
        self.lab.command("relay", "postfix", "-c", conf, "check")
        # Its working directory has to be its queue's directory.
        master = self.lab.start("postfix", "relay", "env", "-C", os.path.join(self.folder, "queue"),
                                "/usr/lib/postfix/sbin/master", "-c", conf, "-d")
        ready = self.lab.path("postfix", "queue", "pid", "master.pid")
        master.wait_for(lambda: os.path.exists(ready), "wrote its pid", 20)
        master.wait_for(lambda: listens(master.pid, 25), "listened on port 25", 20)
        return master


def children(pid):
    """The process and all its descendants."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            below = [int(word) for word in file.read().split()]
    except OSError:
        below = []
    return [pid] + [deeper for child in below for deeper in children(child)]


def sink_count(path):
    """smtp-sink -c rewrites "sess=N quit=N mesg=N" on one line."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 200))
        text = file.read().decode(errors="replace")
    counts = re.findall(r"mesg=(\d+)\r", text)
    return int(counts[-1]) if counts else 0


class Bench:
    def __init__(self, lab, options):
        self.lab = lab
        self.options = options

    def sinks(self, address, names):
        for name, port in names:
            self.lab.start(name, "inside", "smtp-sink", "-u", "nobody", "-c", "-m", "400",
                           f"{address}:{port}", "1024")

    def arrived(self, names):
        return sum(self.messages_of(name) for name in names)

    def messages_of(self, name):
        path = self.lab.path("log", name)
        return sink_count(path) if os.path.getsize(path) else 0

    def watched(self, relay):
        """Processes whose CPU time shows which was the limit."""
        out = {}
        for name, process in self.lab.processes.items():
            if name.startswith("sink") or name in ("dataplane", "control"):
                out[name] = [process.pid]
        out["postfix"] = children(self.lab.processes["postfix"].pid)
        wanted = ("dataplane", "control") if relay == "holdfast" else ("postfix",)
        return {name: pids for name, pids in out.items()
                if name in wanted or name.endswith(relay)}

    def round(self, relay, target, sinks, length):
        """One round: messages/s until the last arrived, messages/s accepted, CPU, and what
        Holdfast's counters say a message cost."""
        count, sessions = self.options.messages, self.options.sessions
        before = self.arrived(sinks)
        counters = self.counters_now() if relay == "holdfast" else None
        watched = self.watched(relay)
        cpu = {name: sum(map(cpu_seconds, pids)) for name, pids in watched.items()}
        source_cpu = os.times().children_user + os.times().children_system
        begin = time.monotonic()
        options = ["-d"] if self.options.keep else []
        self.lab.command("outside", "smtp-source", *options, "-s", str(sessions), "-m", str(count),
                         "-l", str(length), "-f", "bench@client.example", "-t",
                         f"bench@{DOMAINS[0]}", "-M", "client.example", target, timeout=600)
        accepted = time.monotonic() - begin
        source_cpu = os.times().children_user + os.times().children_system - source_cpu
        if not wait_until(lambda: self.arrived(sinks) - before >= count, 300, 0.005):
            raise RuntimeError(f"{relay}: {self.arrived(sinks) - before} of {count} arrived")
        seconds = time.monotonic() - begin
        used = {name: sum(map(cpu_seconds, self.watched(relay)[name])) - cpu[name]
                for name in watched}
        used["smtp-source"] = source_cpu
        cost = {}
        if counters is not None:
            after = self.counters_now()
            cost = {name: (after[name] - counters[name]) / count for name in COSTS}
        return {"rate": count / seconds, "accept": count / accepted, "seconds": seconds,
                "cpu": used, "cost": cost}

    def counters_now(self):
        """As of now: housekeeping adds the counters up now and then, and a worker that polls is
        never without cycles. The second change tells of a turn that began after this call."""
        for _ in range(2):
            before = self.counters()
            if not wait_until(lambda: self.counters()["worker_idle_cycles"] !=
                              before["worker_idle_cycles"], 20, 0.05):
                raise RuntimeError("the dataplane's counters stand still")
        return self.counters()

    def counters(self):
        return self.lab.cli_json("status")["counters"]

    def run(self):
        hold_sinks = ("sink-1-holdfast", "sink-2-holdfast")
        post_sinks = ("sink-1-postfix", "sink-2-postfix")
        self.sinks(HOP, zip(hold_sinks, (2525, 2526)))
        self.sinks(POSTFIX_INSIDE[0], zip(post_sinks, (2525, 2526)))
        self.lab.daemons_start()
        pairs = (("holdfast", f"{RELAY}:25", hold_sinks),
                 ("postfix", f"{POSTFIX_OUTSIDE[1]}:25", post_sinks))
        figures = []
        for length in self.options.length:
            results = {"holdfast": [], "postfix": []}
            print(f"messages of {length} bytes")
            for relay, target, sinks in pairs:      # one round to warm up, not counted
                self.round(relay, target, sinks, length)
            for number in range(self.options.rounds):
                for relay, target, sinks in pairs:
                    result = self.round(relay, target, sinks, length)
                    results[relay].append(result)
                    print(f"  round {number + 1} {relay:9} {result['rate']:8.0f} msg/s relayed, "
                          f"{result['accept']:8.0f} accepted; CPU s: " + ", ".join(
                              f"{name} {used:.1f}" for name, used in result["cpu"].items())
                          + f" of {result['seconds']:.1f}", flush=True)
            figures += self.summary(length, results)
        return figures

    def summary(self, length, results):
        """Prints medians and who was the limit; returns them as pairs for the last line."""
        median = {relay: statistics.median(result["rate"] for result in rounds)
                  for relay, rounds in results.items()}
        cost = {name: statistics.median(result["cost"][name] for result in results["holdfast"])
                for name in COSTS}
        print(f"  median {length} bytes: holdfast {median['holdfast']:.0f} msg/s, "
              f"postfix {median['postfix']:.0f} msg/s, "
              f"ratio {median['holdfast'] / median['postfix']:.2f}; "
              f"holdfast a message: {cost['worker_busy_cycles']:.0f} busy TSC cycles, "
              f"{cost['spool_bytes']:.0f} bytes in the message log, "
              f"{cost['spool_batches']:.2f} batches of both logs")
        for relay, rounds in results.items():
            busy = {}
            for result in rounds:
                for name, used in result["cpu"].items():
                    busy[name] = busy.get(name, 0) + used
            seconds = sum(result["seconds"] for result in rounds)
            machine = sum(busy.values()) / seconds / os.cpu_count()
            most = max(busy, key=busy.get)
            print(f"  {relay}: these processes used {machine * 100:.0f} % of the CPUs; "
                  f"most: {most} ({busy[most] / seconds * 100:.0f} % of one)")
        return [f"holdfast_{length}={median['holdfast']:.0f}",
                f"postfix_{length}={median['postfix']:.0f}",
                f"ratio_{length}={median['holdfast'] / median['postfix']:.2f}",
                f"busy_cycles_{length}={cost['worker_busy_cycles']:.0f}"]


def settings_print(lab, options):
    postfix = command("postconf", "-d", "-h", "mail_version").stdout.strip()
    kept = "kept" if options.keep else "one a message"
    print(f"settings  --messages {options.messages} --rounds {options.rounds} "
          f"--sessions {options.sessions} --length {' --length '.join(map(str, options.length))}, "
          f"connections {kept}")
    print(f"          docs/holdfast.conf.example; Postfix {postfix} as in bench/relay.py (MAIN_CF, "
          f"MASTER_CF); hugepages {'yes' if lab.hugepages else 'no'}; veth, DPDK af_packet, "
          "offloads off on all wires")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default=os.path.join(HOUSE, "build-bench"))
    parser.add_argument("--instance", default="bench")
    parser.add_argument("--messages", type=int, default=5000, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--length", type=int, action="append", help="bytes, may be repeated")
    parser.add_argument("--keep", action="store_true", help="many messages over one connection")
    options = parser.parse_args()
    options.length = options.length or [1000]
    return options


def main():
    options = arguments()
    with Lab(options.instance, options.build, say=print) as lab:
        settings_print(lab, options)
        postfix = Postfix(lab)
        postfix.network()
        postfix.start()
        figures = Bench(lab, options).run()
    print(" ".join(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
