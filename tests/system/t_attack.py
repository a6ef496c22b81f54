#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_attack.py: somebody on the same machine: another user, and the relay's own.

    the relay's user    swaps links over sockets and locks while the daemons start as root; plays a
                        dataplane with memory that it cuts short, and a control that sends nonsense
    another user        takes every name that it can reach first, and connects to the sockets

Promise: no file of root's is made, changed or given away. The relay starts, or ends with one clear
         line. What runs goes on.
Trap:    the attackers are children of this process that gave up their rights for good. They are
         killed by their pids, even when a check fails.
"""
import array
import contextlib
import fcntl
import os
import pwd
import signal
import socket
import time

import harness
from lab import RELAY_USER, wait_until

OTHER = "nobody"
NAMES = ("admin.sock", "doorbell", "attach", "control.lock", "dataplane.lock")
STARTS = 6


@contextlib.contextmanager
def attacker(user, function, *argv):
    """function(*argv) in a child that is `user` for good; killed at the end."""
    entry = pwd.getpwnam(user)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            function(*argv)
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def once(user, function, *argv):
    """Whether function(*argv) is true in a child that is `user`."""
    entry = pwd.getpwnam(user)
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            good = bool(function(*argv))
        except OSError:
            pass
        finally:
            os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# --- what the attackers do ---

def swap_for_ever(run_dir, targets):
    """Replaces whatever appears under a name of ours by a link, as fast as possible."""
    turn = 0
    while True:
        for name in NAMES:
            path = os.path.join(run_dir, name)
            with contextlib.suppress(OSError):
                if not os.path.islink(path):
                    os.rename(path, f"{path}.away")
                else:
                    os.unlink(path)
                os.symlink(targets[turn % len(targets)], path)
        turn += 1


def swap_one_for_ever(run_dir, name, target):
    """A race: puts a link in place of the socket between bind and a later call by path."""
    path = os.path.join(run_dir, name)
    while True:
        with contextlib.suppress(OSError):
            os.symlink(target, f"{path}.link")
        with contextlib.suppress(OSError):
            if not os.path.islink(path):
                os.rename(f"{path}.link", path)


def send_fd(connection, fd, word=0):
    connection.sendmsg([word.to_bytes(8, "little")],
                       [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def memory(name, size, seals=0):
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    os.fchmod(fd, 0o600)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def false_dataplane(run_dir):
    """Hands control memory that is not sealed, and cuts it short; a file; /dev/null; a sealed
    region of another size, and one full of nonsense."""
    path = os.path.join(run_dir, "attach")
    with contextlib.suppress(OSError):
        os.unlink(path)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(path)
    door.listen(8)
    kept = []
    turn = 0
    while True:
        connection, _ = door.accept()
        kept.append(connection)
        kind = turn % 5
        if kind == 0:
            fd = memory("short", 1 << 16)
            send_fd(connection, fd)
            os.ftruncate(fd, 0)
        elif kind == 1:
            fd = os.open(os.path.join(run_dir, "region"), os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(fd, 1 << 16)
            send_fd(connection, fd)
            os.ftruncate(fd, 0)
        elif kind == 2:
            fd = os.open("/dev/null", os.O_RDWR)
            send_fd(connection, fd)
        elif kind == 3:
            fd = memory("wrong", 100, 7)
            send_fd(connection, fd)
        else:
            fd = memory("nonsense", 192, 7)
            os.pwrite(fd, os.urandom(192), 0)
            send_fd(connection, fd)
            connection.close()
        os.close(fd)
        turn += 1


def false_control(run_dir):
    """Connects again and again, and offers nonsense instead of rings."""
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(OSError):
            connection.connect(os.path.join(run_dir, "attach"))
            for fd in (memory("short", 1 << 20), memory("sealed", 1 << 20, 7),
                       os.open("/dev/null", os.O_RDWR)):
                send_fd(connection, fd, 4711)
                os.close(fd)
            connection.send(b"garbage")
        time.sleep(0.05)
        connection.close()


def knock(path, kind):
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.connect(path)
    return True


# --- what is seen ---

def picture(folder):
    """Everything there: names, owners, modes, times of change, contents."""
    seen = {}
    for where, _, files in os.walk(folder):
        for path in [where, *(os.path.join(where, name) for name in files)]:
            st = os.lstat(path)
            text = None
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    text = file.read()
            seen[path] = (st.st_uid, st.st_gid, st.st_mode, st.st_ctime_ns, text)
    return seen


def start_or_say(lab, name):
    """Whether it became ready, and what it said when it did not."""
    try:
        lab.daemon_start(name, seconds=30)
        return True, ""
    except RuntimeError:
        process = lab.processes[name]
        wait_until(lambda: not process.is_alive(), 10)
        return False, process.output().strip()


def stop(lab, name):
    if lab.processes[name].is_alive():
        lab.kill(name, signal.SIGKILL)


def links_at_starts(lab, check, secrets):
    """The relay's user swaps links in run_dir while root starts the daemons."""
    before = picture(secrets)
    targets = [os.path.join(secrets, "secret"), os.path.join(secrets, "new"), secrets]
    ready = 0
    bad = []
    for turn in range(STARTS):
        if turn % 2 == 0:
            attack = (swap_for_ever, lab.path("run"), targets)
        else:
            attack = (swap_one_for_ever, lab.path("run"), "admin.sock", targets[0])
        with attacker(RELAY_USER, *attack):
            for name in ("control", "dataplane") if turn < 2 else ("control",):
                good, text = start_or_say(lab, name)
                ready += good
                if not good and len(text.splitlines()) != 1:
                    bad.append(f"{name}: {text[-500:]}")
                stop(lab, name)
    check(not bad, f"{STARTS} starts among swapped links: each is ready ({ready}) or one line",
          str(bad))
    check(picture(secrets) == before, "no file of root's was made, changed or given away",
          str(picture(secrets).keys() ^ before.keys()))
    for name in os.listdir(lab.path("run")):
        os.unlink(lab.path("run", name))


def first_at_names(lab, check, secrets):
    """Another user makes the folder first, inside a folder where everybody may."""
    open_folder = lab.path("open")
    os.mkdir(open_folder)
    os.chmod(open_folder, 0o1777)
    run = os.path.join(open_folder, "run")
    lab.config_write(((r'(?m)^run_dir = "[^"]*"', f'run_dir = "{run}"'), *lab.replace))
    before = picture(secrets)
    for what, make in (("folder", lambda: os.mkdir(run, 0o777) is None),
                       ("link to a folder of root's",
                        lambda: os.symlink(secrets, run) is None)):
        check(once(OTHER, make), f"{OTHER} makes run_dir first: a {what}")
        for name in ("control", "dataplane"):
            good, text = start_or_say(lab, name)
            check(not good and len(text.splitlines()) == 1 and run in text,
                  f"{name} refuses it in one line", text[-500:])
        if os.path.islink(run):
            os.unlink(run)
        else:
            os.rmdir(run)
    check(picture(secrets) == before, "and nothing of root's was touched")
    shm = f"/dev/shm/holdfast-{lab.instance}"
    check(once(OTHER, lambda: os.open(shm, os.O_CREAT | os.O_RDWR, 0o666) >= 0),
          f"{OTHER} takes the name that the shared memory once had")
    lab.config_write(lab.replace)
    try:
        lab.daemons_start()
        check(True, "the relay starts all the same")
    finally:
        os.unlink(shm)


def knock_at_sockets(lab, check):
    for name, kind in (("admin.sock", socket.SOCK_STREAM), ("attach", socket.SOCK_SEQPACKET),
                       ("doorbell", socket.SOCK_DGRAM)):
        path = lab.path("run", name)
        check(not once(OTHER, knock, path, kind), f"{OTHER} does not come in at {name}")
        check(once("root", knock, path, kind), f"though {name} is there")


def false_friends(lab, check):
    """The relay's user plays either daemon."""
    with attacker(RELAY_USER, false_control, lab.path("run")):
        time.sleep(2)
        check(lab.processes["dataplane"].is_alive(), "a control that sends nonsense ends nobody")
    check(wait_until(lambda: lab.cli_json("status")["dataplane"]["attached"], 20),
          "and the true one is attached again")
    lab.kill("dataplane", signal.SIGKILL)
    with attacker(RELAY_USER, false_dataplane, lab.path("run")):
        time.sleep(4)
        check(lab.processes["control"].is_alive(),
              "nor does a dataplane that hands over memory and cuts it short")
        check("is refused" in lab.processes["control"].output(), "control says that it refuses it",
              lab.processes["control"].output()[-500:])
    os.unlink(lab.path("run", "region"))
    lab.daemon_start("dataplane")
    check(wait_until(lambda: lab.cli_json("status")["dataplane"]["attached"], 20),
          "a true one is attached to")


def test(lab, check):
    secrets = lab.path("secrets")
    os.mkdir(secrets, 0o755)
    with open(os.path.join(secrets, "secret"), "w", encoding="ascii") as file:
        file.write("root's alone\n")
    os.chmod(os.path.join(secrets, "secret"), 0o600)
    lab.sinks_start()
    lab.bounce_sinks_start()
    links_at_starts(lab, check, secrets)
    first_at_names(lab, check, secrets)
    knock_at_sockets(lab, check)
    false_friends(lab, check)
    sent = lab.send("after", "--count", "50")
    check(sent["accepted"] == 50 and harness.settle(lab), "mail goes through after all that",
          str(sent))
    harness.account_check(lab, check)


if __name__ == "__main__":
    harness.main("attack", test)
