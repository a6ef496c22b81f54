# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/lab.py: the laboratory that ./run, the system tests and the benchmark share:
namespaces, next hops, daemons, senders, and the account of it all.

    outside (kernel TCP)             relay: no kernel address            inside (kernel TCP)
    198.51.100.1/26  veth --- hf-out0 [af_packet: dataplane] hf-in0 --- veth  198.51.100.75/26
    senders, a sink for bounces                  control                  smtp-sink 2525, 2526

Promise: what a lab makes is named after its instance and removed by down(), or, after a killed
         run, by the next up() of the same instance. The host's own network is not touched, no
         process is signalled that a lab did not start, and hugepages get their earlier number.
Trap:    the relay's namespace has interfaces but no addresses and no ARP: its kernel sees every
         packet and must answer none of them.
"""
import fcntl
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

from process import Process, leftovers_kill, listens, strays_kill

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(HOUSE, "tests", "system")
EXAMPLE = os.path.join(HOUSE, "docs", "holdfast.conf.example")
HUGEPAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
HUGEPAGES_NEEDED = 300     # memory = "512MiB" is 256 pages; the EAL rounds up per segment list
RELAY = "198.51.100.10"
CLIENT = "198.51.100.1"
# The user that the daemons become: every Debian has it, and it owns nothing.
RELAY_USER = "daemon"
HOP = "198.51.100.75"
SINK_PORTS = {"staff-store": 2525, "student-store": 2526}
DOMAINS = ("staff.campus.example", "students.campus.example")


def command(*argv, check=True, timeout=60, **more):
    """Runs a command to its end and captures its output; a failure raises with that output."""
    done = subprocess.run(argv, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                   "stderr": subprocess.STDOUT, "text": True, "errors": "replace",
                                   "timeout": timeout, "check": False, **more})
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stdout.strip()}")
    return done


def wait_until(condition, seconds, step=0.1):
    """Whether condition() came true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(step)
    return True


def number_read(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())


class Lab:
    # What a broken directory behind a hop does: 550 to every RCPT.
    REJECTING = ("-f", "RCPT", "-B", "550 5.1.1 User unknown")

    def __init__(self, instance, build, say=None, replace=()):
        self.instance = instance
        self.build = os.path.abspath(build)
        self.say = say or (lambda text: None)
        self.work = f"/var/tmp/holdfast-{instance}"
        self.config = self.path("holdfast.conf")
        self.journal = self.path("journal")
        self.processes = {}
        self.reference_count = 0
        self.lock = None
        self.hugepages = True
        self.replace = replace  # in the example's text: pairs of regular expression and text

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def namespace(self, side):
        return f"hf-{self.instance}-{side}"

    # --- up and down ---

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not KeyboardInterrupt:
            self.logs_print()
        self.down()

    def up(self):
        """Makes everything except the processes."""
        if os.geteuid() != 0:
            raise SystemExit("needs root: network namespaces, hugepages")
        self.lock_take()
        self.leftovers_remove()
        for part in ("run", "state", "spool", "log", "pids"):
            os.makedirs(self.path(part))
        for part in ("run", "state", "spool"):
            shutil.chown(self.path(part), RELAY_USER, RELAY_USER)
        os.chmod(self.work, 0o755)
        self.hugepages_reserve()
        self.network_make()
        self.config_write(self.replace)

    def lock_take(self):
        path = f"/var/tmp/holdfast-{self.instance}.lock"
        lock = open(path, "a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"instance {self.instance} is in use by another run "
                             f"({path}); --instance NAME gives this one its own") from None
        self.lock = lock

    def leftovers_remove(self):
        """Removes what a killed run of this instance left: processes, namespaces, memory, files."""
        ended = leftovers_kill(self.path("pids"))
        if ended:
            self.say(f"an earlier run was killed; ended its {', '.join(ended)}")
        for side in ("outside", "relay", "inside"):
            if os.path.exists(f"/run/netns/{self.namespace(side)}"):
                listed = command("ip", "netns", "pids", self.namespace(side), check=False).stdout
                strays_kill([int(pid) for pid in listed.split() if pid.isdigit()], self.work + "/")
                command("ip", "netns", "del", self.namespace(side))
        for path in glob.glob(f"/dev/shm/holdfast-{self.instance}") + \
                glob.glob(f"/dev/shm/holdfast-{self.instance}[.-]*") + \
                glob.glob(f"/dev/hugepages/holdfast-{self.instance}map_*"):
            os.unlink(path)
        shutil.rmtree(f"/run/dpdk/holdfast-{self.instance}", ignore_errors=True)
        shutil.rmtree(f"/var/run/dpdk/holdfast-{self.instance}", ignore_errors=True)
        self.hugepages_restore()
        while os.path.ismount(self.path("spool")):
            command("umount", self.path("spool"))
        shutil.rmtree(self.work, ignore_errors=True)

    def down(self):
        if self.lock is None:
            return
        for process in reversed(list(self.processes.values())):
            process.kill()
        self.processes.clear()
        self.leftovers_remove()
        os.unlink(self.lock.name)
        self.lock.close()
        self.lock = None

    def hugepages_reserve(self):
        """Asks the kernel for what is missing; without it the relay runs on ordinary pages."""
        try:
            free, total = (number_read(HUGEPAGES + name)
                           for name in ("free_hugepages", "nr_hugepages"))
            if free < HUGEPAGES_NEEDED:
                with open(self.path("hugepages"), "w", encoding="ascii") as file:
                    file.write(str(total))
                with open(HUGEPAGES + "nr_hugepages", "w", encoding="ascii") as file:
                    file.write(str(total + HUGEPAGES_NEEDED - free))
            if not re.search(r"^\S+ \S+ hugetlbfs ", open("/proc/mounts").read(), re.M):
                os.makedirs("/dev/hugepages", exist_ok=True)
                command("mount", "-t", "hugetlbfs", "none", "/dev/hugepages")
            self.hugepages = number_read(HUGEPAGES + "free_hugepages") >= HUGEPAGES_NEEDED
        except (OSError, RuntimeError) as error:
            self.say(f"hugepages: {error}")
            self.hugepages = False
        if not self.hugepages:
            self.say("the kernel gives no hugepages here: hugepages = false")

    def hugepages_restore(self):
        try:
            earlier = number_read(self.path("hugepages"))
            with open(HUGEPAGES + "nr_hugepages", "w", encoding="ascii") as file:
                file.write(str(earlier))
        except (OSError, ValueError):
            pass

    def network_make(self):
        for side in ("outside", "relay", "inside"):
            command("ip", "netns", "add", self.namespace(side))
            self.ip(side, "link", "set", "lo", "up")
        self.pair_make("outside", "hf-out0", "198.51.100.1/26")
        self.pair_make("inside", "hf-in0", "198.51.100.75/26")

    def pair_make(self, side, relay_end, address):
        """A veth pair; offloads off at both ends, since DPDK must see real frames with real
        checksums and sends its own likewise."""
        command("ip", "link", "add", relay_end, "netns", self.namespace("relay"), "type", "veth",
                "peer", "name", "veth0", "netns", self.namespace(side))
        for where, device in (("relay", relay_end), (side, "veth0")):
            # One by one: ethtool stops at the first that a kernel does not let it change.
            for feature in ("tx", "rx", "tso", "gso", "gro", "sg"):
                self.command(where, "ethtool", "-K", device, feature, "off", check=False)
            self.command(where, "sysctl", "-q", "-w",
                         f"net.ipv6.conf.{device}.disable_ipv6=1", check=False)
        self.ip("relay", "link", "set", relay_end, "arp", "off", "up")
        self.ip(side, "address", "add", address, "dev", "veth0")
        self.ip(side, "link", "set", "veth0", "up")

    def config_write(self, replace=()):
        """The example as it ships, with private directories and this instance's name."""
        with open(EXAMPLE, encoding="utf-8") as file:
            text = file.read()
        pairs = [(r'(?m)^user = "[^"]*"; group = "[^"]*";',
                  f'user = "{RELAY_USER}"; group = "{RELAY_USER}";'),
                 (r'(?m)^instance = "[^"]*"', f'instance = "{self.instance}"'),
                 (r'(?m)^run_dir = "[^"]*"', f'run_dir = "{self.path("run")}"'),
                 (r'(?m)^state_dir = "[^"]*"', f'state_dir = "{self.path("state")}"'),
                 (r'(?m)^(\s+)dir = "[^"]*"', rf'\1dir = "{self.path("spool")}"')]
        if not self.hugepages:
            pairs.append((r"hugepages = true", "hugepages = false"))
        for pattern, to in [*pairs, *replace]:
            text, count = re.subn(pattern, to, text)
            if count != 1:
                raise RuntimeError(f"{EXAMPLE}: {pattern!r} found {count} times")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    # --- processes ---

    def ip(self, side, *argv):
        command("ip", "-n", self.namespace(side), *argv)

    def exec(self, side, *argv):
        return ["ip", "netns", "exec", self.namespace(side), *argv]

    def command(self, side, *argv, **more):
        return command(*self.exec(side, *argv), **more)

    def start(self, name, side, *argv):
        if name in self.processes and self.processes[name].is_alive():
            raise RuntimeError(f"{name} runs already")
        process = Process(name, self.exec(side, *argv), self.path("log", name),
                          self.path("pids", name))
        self.processes[name] = process
        return process

    def daemon_start(self, name, seconds=60):
        """name: "dataplane" or "control"."""
        folder = os.path.join(self.build, name)
        process = self.start(name, "relay", os.path.join(folder, f"holdfast-{name}"), "--config",
                             self.config)
        ready = re.compile(rf"(?m)^(<\d>)?holdfast-{name}\b.*\bready\b")
        process.wait_for(lambda: ready.search(process.output()), "said that it is ready", seconds)
        return process

    def daemons_start(self):
        """Starts both, and waits until they are attached."""
        self.daemon_start("control")
        self.daemon_start("dataplane")
        if not wait_until(lambda: self.cli_json("status")["dataplane"]["attached"], 20):
            raise RuntimeError("control has not attached to the dataplane within 20 s")

    def kill(self, name, number=15):
        return self.processes[name].kill(number)

    def sink_start(self, hop, *options, side="inside", address=HOP, port=None):
        """Postfix's smtp-sink, one file for each transaction it took to the end."""
        port = port or SINK_PORTS[hop]
        directory = self.path("sink", hop)
        os.makedirs(directory, exist_ok=True)
        os.chmod(self.path("sink"), 0o755)
        shutil.chown(directory, "nobody")
        process = self.start(f"sink-{hop}", side, "smtp-sink", "-u", "nobody", "-m", "400",
                             "-d", os.path.join(directory, "m."), *options, f"{address}:{port}",
                             "256")
        process.wait_for(lambda: listens(process.pid, port), f"listened on port {port}", 10)
        return process

    def sinks_start(self, *options):
        for hop in SINK_PORTS:
            self.sink_start(hop, *options)

    def sinks_stop(self):
        for hop in SINK_PORTS:
            self.kill(f"sink-{hop}")

    def sink_directories(self):
        return [self.path("sink", hop) for hop in SINK_PORTS]

    def bounce_sinks_start(self):
        """Where a bounce would go: the port of a mail server on the client and on the hop."""
        self.sink_start("bounce-outside", side="outside", address=CLIENT, port=25)
        self.sink_start("bounce-inside", side="inside", address=HOP, port=25)

    def bounce_directories(self):
        return [self.path("sink", name) for name in ("bounce-outside", "bounce-inside")]

    def dump_count(self):
        return sum(len(os.listdir(directory)) for directory in self.sink_directories()
                   if os.path.isdir(directory))

    def loss_set(self, percent):
        """Random loss in both directions, at the kernel's ends of the wires."""
        for side in ("outside", "inside"):
            self.command(side, "nft", "destroy table inet loss", check=False)
            self.command(side, "nft", "delete table inet loss", check=False)
            if percent:
                for rule in ("add table inet loss",
                             "add chain inet loss in { type filter hook input priority 0 ; }",
                             "add chain inet loss out { type filter hook output priority 0 ; }",
                             f"add rule inet loss in numgen random mod 1000 < {percent * 10} drop",
                             f"add rule inet loss out numgen random mod 1000 < {percent * 10} "
                             "drop"):
                    self.command(side, "nft", rule)

    # --- sending ---

    def send_start(self, name, *options, journal=None):
        """send.py in the outside namespace, in the background."""
        return self.start(name, "outside", sys.executable, os.path.join(HERE, "send.py"),
                          "--to", f"{RELAY}:25", "--run", name, "--journal",
                          journal or self.journal, *options)

    @staticmethod
    def send_wait(process, seconds=300):
        """The summary that send.py prints."""
        process.popen.wait(seconds)
        os.unlink(process.pidfile)
        lines = process.output().strip().splitlines()
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError):
            raise RuntimeError(f"{process.name} failed:\n{process.output()[-2000:]}") from None

    def send(self, name, *options, seconds=300):
        return self.send_wait(self.send_start(name, *options), seconds)

    def journal_add(self, **entry):
        with open(self.journal, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def smtp_source(self, subject, count, length, recipient, rcpts=1, sessions=4, keep=True):
        """A run of smtp-source, which ends with a failure at the first answer that is not 2xx:
        status 0 says that every message was answered 250. What its messages look like is taken
        from one that goes to a sink directly, without the relay."""
        options = ["-l", str(length), "-r", str(rcpts), "-S", subject, "-f",
                   "source@client.example", "-t", recipient, "-M", "client.example"]
        if keep:
            options.append("-d")
        reference = self.reference(options)
        self.command("outside", "smtp-source", "-s", str(sessions), "-m", str(count), *options,
                     f"{RELAY}:25", timeout=300)
        self.journal_add(kind="smtp-source", subject=subject, count=count, rcpts=reference.rcpts,
                         body_sha=reference.body_sha)
        return count * rcpts

    def reference(self, options):
        from compare import arrivals_read
        self.reference_count += 1
        name = f"reference-{self.reference_count}"
        sink = self.sink_start(name, side="outside", address="127.0.0.1", port=2600)
        self.command("outside", "smtp-source", "-s", "1", "-m", "1", *options, "127.0.0.1:2600")
        sink.kill()
        return next(arrivals_read([self.path("sink", name)]))

    def swaks(self, ident, rcpts, size, *options):
        """One message with swaks; True when it was answered 250 to the end."""
        from send import message_hash, message_make
        sender = "swaks@client.example"
        raw = message_make(ident, sender, rcpts, size, "swaks")
        path = self.path("swaks.eml")
        with open(path, "wb") as file:
            file.write(raw[:-2])     # swaks ends the last line itself
        done = self.command("outside", "swaks", "--server", RELAY, "--helo", "client.example",
                            "--from", sender, "--to", ",".join(rcpts), "--data", f"@{path}",
                            *options, check=False)
        self.journal_add(id=ident, state="accepted" if done.returncode == 0 else "unanswered",
                         rcpts=rcpts, offered=rcpts, sender=sender, sha=message_hash(raw),
                         bytes=len(raw), reply=done.stdout[-300:])
        return done.returncode == 0

    def raw(self, steps, target=f"{RELAY}:25", timeout=120):
        """A conversation by hand (rawsmtp.py); the replies."""
        done = subprocess.run(self.exec("outside", sys.executable, os.path.join(HERE, "rawsmtp.py"),
                                        target),
                              input=json.dumps(steps), stdout=subprocess.PIPE, text=True,
                              timeout=timeout, check=True)
        return json.loads(done.stdout)

    # --- looking ---

    def cli(self, *argv, check=True, **more):
        """The operator's command; its CompletedProcess, standard error with the output."""
        return command(os.path.join(self.build, "control", "cli", "holdfast"), "--config",
                       self.config, *argv, check=check, **more)

    def cli_json(self, *argv):
        """Status 1 and 2 say "warning" and "critical" with an answer all the same."""
        done = self.cli("--json", *argv, check=False, stderr=subprocess.PIPE)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(f"holdfast --json {' '.join(argv)}: status {done.returncode}, "
                               f"not JSON: {done.stdout[:500]!r} {done.stderr[:500]!r}"
                               ) from None

    def totals(self):
        """The totals of `holdfast --json status`."""
        return self.cli_json("status")["totals"]

    def is_sanitized(self):
        """Was the build made with ThreadSanitizer or AddressSanitizer?"""
        with open(os.path.join(self.build, "dataplane", "holdfast-dataplane"), "rb") as file:
            text = file.read()
        return b"__tsan_init" in text or b"__asan_init" in text

    def sanitizer_reports(self):
        """What the sanitizers wrote into the daemons' logs, from their first report on."""
        found = {}
        for name in ("control", "dataplane"):
            with open(self.path("log", name), encoding="utf-8", errors="replace") as file:
                text = file.read()
            first = re.search(r"(WARNING|ERROR): \w+Sanitizer|runtime error:", text)
            if first:
                found[name] = text[first.start():]
        return found

    def logs_print(self):
        """The last lines of the daemons' logs, for a test that failed."""
        for name in ("control", "dataplane"):
            path = self.path("log", name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    print(f"--- {name} ---\n{file.read()[-3000:]}", file=sys.stderr)
