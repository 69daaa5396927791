# SPDX-License-Identifier: MIT
"""ground: addresses, processes and waiting. What every other part of the lab stands on.

Every server of the lab gets a loopback address of its own, so ports never collide, many "hosts" can share one port (as MX hosts
do), and two test runs on one machine do not meet: a run owns one 127.N.0.0/16, kept by a bound socket.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PEERS = pathlib.Path(os.environ.get("TIDEGATE_PEERS", REPOSITORY / "build" / "peers"))
BINARY = os.environ.get("TIDEGATE_BINARY", str(REPOSITORY / "build" / "tidegate"))
SANITIZED = "/asan/" in BINARY or "/tsan/" in BINARY
# Sanitizers and busy machines make everything slower: all deadlines of the lab are multiplied by this.
PATIENCE = float(os.environ.get("TIDEGATE_PATIENCE", "3" if SANITIZED else "1"))


def amount(name, plain, sanitized):
    """How much of a long test to do: $TIDEGATE_<name>, or a default that keeps the suite short."""
    return int(os.environ.get("TIDEGATE_" + name, sanitized if SANITIZED else plain))


class LabError(AssertionError):
    """Something did not come to be; the message says what was expected, what came, and which log to read."""


class _Network:
    def __init__(self):
        for n in range(20 + os.getpid() % 200, 20 + os.getpid() % 200 + 200):
            keeper = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                keeper.bind((f"127.{20 + (n - 20) % 200}.255.254", 9))
            except PermissionError:
                keeper.bind((f"127.{20 + (n - 20) % 200}.255.254", 9009))
            except OSError:
                keeper.close()
                continue
            self.n, self.keeper, self.last = 20 + (n - 20) % 200, keeper, 0
            return
        raise LabError("no 127.N.0.0/16 is free: are two hundred test runs going?")


_network = None


def _mine():
    global _network
    if _network is None:
        _network = _Network()
    return _network


def address():
    """A loopback address nobody else has."""
    network = _mine()
    network.last += 1
    return f"127.{network.n}.{network.last // 250}.{network.last % 250 + 1}"


def smtp_port():
    """The port that stands for 25: all MX hosts of this run listen on it, each on its own address."""
    return 10000 + _mine().n * 20


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def until(what, check, seconds=15.0, every=0.02, log=None):
    """Polls `check` until it gives something true, which is returned. `what` is in words, for the failure.

    The deadline counts looks rather than the clock: on a machine so busy that a look takes long, so does everything that is waited for.
    """
    seconds *= PATIENCE
    began = looked = time.monotonic()
    left = seconds
    while True:
        last = check()
        if last:
            return last
        now = time.monotonic()
        left -= min(now - looked, max(4 * every, 0.1))
        looked = now
        if left < 0 or now - began > 8 * seconds:
            raise LabError(f"expected within {seconds:.0f} s: {what}\nlast seen: {last!r}" + (f"\nlog: {log}" if log else ""))
        time.sleep(every)


def listens(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) == 0


def folder(name):
    """A folder below one root of this run that is removed at its end, unless TIDEGATE_KEEP is set or a test failed."""
    global _root
    if _root is None:
        _root = pathlib.Path(tempfile.mkdtemp(prefix="tidegate-lab-", dir=os.environ.get("TIDEGATE_TMP")))
        _root.chmod(0o755)
    return pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=_root))


_root = None


def clean(keep=False):
    if _root is not None and not keep and not os.environ.get("TIDEGATE_KEEP"):
        shutil.rmtree(_root, ignore_errors=True)


class Process:
    """A program of ours, started with its output in a file, ended by its own pid and nothing else."""

    def __init__(self, name, command, log, env=None, cwd=None, leash=False):
        """leash: it reads from a pipe that ends when we stop it, or end ourselves; else we take it along by its parent's death."""
        self.name, self.leash, self.log = name, leash, pathlib.Path(log)
        self.out = open(log, "ab")
        command = [*([] if leash else ["setpriv", "--pdeathsig", "KILL"]), *map(str, command)]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE if leash else subprocess.DEVNULL,
                                      stdout=self.out, stderr=self.out, env=env, cwd=cwd)

    def alive(self):
        return self.popen.poll() is None

    def said(self):
        return self.log.read_text(errors="replace")

    def until_listening(self, host, port, seconds=20):
        def look():
            if not self.alive():
                raise LabError(f"{self.name} ended with {self.popen.returncode} instead of listening on {host}:{port}\n"
                               f"log {self.log}:\n{self.said()[-3000:]}")
            return listens(host, port)
        until(f"{self.name} listens on {host}:{port}", look, seconds, log=self.log)

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def wait(self, seconds=15):
        try:
            return self.popen.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        self.signal(signal.SIGKILL)
        code = self.popen.wait()
        self.out.close()
        return code

    def stop(self, seconds=10):
        """SIGTERM (or the leash), then SIGKILL. The exit code; negative for a signal."""
        if self.leash:
            self.popen.stdin.close()
        else:
            self.signal(signal.SIGTERM)
        self.wait(seconds)
        return self.kill()
