# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/process.py: processes that are known by pid and start time.

Promise: only processes that a lab started are ever signalled: each is recorded in a pidfile with
         its start time (/proc/PID/stat, field 22), so that a killed run's leftovers are found by
         the next run and a reused pid is left alone.
Trap:    a child that ends stays a zombie until `reap`; is_alive counts zombies as dead.
"""
import os
import signal
import subprocess
import time


def start_ticks(pid):
    """Field 22 of /proc/PID/stat, or None when there is no such process or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def cpu_seconds(pid):
    """User and system time so far, of all its threads and of the children it has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def listens(pid, port):
    """Whether the network namespace of `pid` has a TCP socket listening on `port`."""
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
                rows = [row.split() for row in file.readlines()[1:]]
        except OSError:
            continue
        for row in rows:
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                return True
    return False


class Process:
    """A background process with a log of its own and a pidfile."""

    def __init__(self, name, argv, log, pidfile):
        self.name = name
        self.log = log
        self.pidfile = pidfile
        self.log_from = os.path.getsize(log) if os.path.exists(log) else 0
        with open(log, "ab") as file:
            # Its own session: Ctrl-C at the terminal must reach the lab, not its daemons.
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file,
                                          stderr=file, start_new_session=True)
        self.pid = self.popen.pid
        with open(pidfile, "w", encoding="ascii") as file:
            file.write(f"{self.pid} {start_ticks(self.pid) or 0}\n")

    def is_alive(self):
        return self.popen.poll() is None

    def output(self):
        """What it wrote since this start."""
        with open(self.log, "rb") as file:
            file.seek(self.log_from)
            return file.read().decode(errors="replace")

    def wait_for(self, condition, what, seconds):
        """Waits until condition() holds; a process that ends before is an error."""
        until = time.monotonic() + seconds
        while not condition():
            if not self.is_alive():
                raise RuntimeError(f"{self.name} ended (status {self.popen.returncode}) before it "
                                   f"{what}:\n{self.output()[-2000:]}")
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} has not {what} within {seconds} s:\n"
                                   f"{self.output()[-2000:]}")
            time.sleep(0.02)

    def kill(self, number=signal.SIGTERM, seconds=10):
        """Signals the process and waits; if it ignores that, sends SIGKILL. Returns its status."""
        if self.is_alive():
            self.popen.send_signal(number)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        try:
            os.unlink(self.pidfile)
        except FileNotFoundError:
            pass
        return self.popen.returncode


def kill_and_wait(pid, ticks):
    """Sends SIGKILL to exactly that process, and waits for its end."""
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while start_ticks(pid) == ticks and time.monotonic() < until:
        time.sleep(0.02)


def strays_kill(pids, mark):
    """Those of `pids` whose command line names the directory `mark`: started by a lab that was
    killed before it could write the pidfile."""
    for pid in pids:
        ticks = start_ticks(pid)
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                is_ours = mark.encode() in file.read()
        except OSError:
            continue
        if ticks and is_ours:
            kill_and_wait(pid, ticks)


def leftovers_kill(directory):
    """Ends the processes that the pidfiles in `directory` name, if they are still the same ones.
    Returns their names."""
    ended = []
    if not os.path.isdir(directory):
        return ended
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        try:
            with open(path, encoding="ascii") as file:
                pid, ticks = (int(word) for word in file.read().split())
        except (OSError, ValueError):
            continue
        if ticks and start_ticks(pid) == ticks:
            kill_and_wait(pid, ticks)
            ended.append(name)
        os.unlink(path)
    return ended
