# SPDX-License-Identifier: MIT
"""machine: one virtual machine from an image, in QEMU's software emulation, with its serial line and its forwarded ports.

Never KVM: what is under test is the boot loader's and the kernel's way, and machines of test farms have a /dev/kvm that only half works.
The guest reaches nothing but what is named: user networking with restrict=on, ports of the guest on loopback here, and one address
(10.0.2.100) behind which a program here listens.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

FIRMWARE = pathlib.Path("/usr/share/OVMF")
PIPE = pathlib.Path(__file__).with_name("pipe.py")
PATIENCE = float(os.environ.get("TIDEGATE_PATIENCE", "1"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Trouble(Exception):
    pass


def until(what, seconds, ask, every=0.5):
    """Polls until `ask` gives something true, or says what was waited for."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(every)
    raise Trouble(f"{what}: not within {seconds * PATIENCE:.0f} s")


class Machine:
    def __init__(self, folder, image, name, *, firmware="bios", seed=None, peer_port=None, grow=None, address="", more=(), again=False, memory=512):
        """`image` is copied as an overlay; `seed` is {credential: file}; `grow` makes the disk so many bytes larger; `address`: the guest's, where
        it is not the one that DHCP gives; `more`: what QEMU is told besides; `again`: the disk is there already."""
        self.folder, self.name, self.address, self.more = pathlib.Path(folder), name, address, list(more)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk = self.folder / f"{name}.qcow2"
        if not again:
            self.disk.unlink(missing_ok=True)
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", os.path.abspath(image), "-F", "raw", self.disk], check=True)
            if grow:
                subprocess.run(["qemu-img", "resize", "-q", self.disk, f"+{grow}"], check=True)
        self.firmware, self.seed, self.peer_port, self.memory = firmware, seed or {}, peer_port, memory
        self.ports = {inside: free_port() for inside in (22, 25, 465, 587)}
        self.log, self.process, self.serial, self.resets = self.folder / f"{name}.serial", None, None, 0
        self.control = self.folder / f"{name}.qmp"

    def command(self, kept=None):
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{self.address}:{inside}" for inside, here in self.ports.items())
        peer = f",guestfwd=tcp:10.0.2.100:25-cmd:{sys.executable} {PIPE} {self.peer_port}" if self.peer_port else ""
        line = ["nice", "-n", "5", "qemu-system-x86_64", "-name", f"tidegate-{self.name}", "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(self.memory),
                "-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none", "-device", "virtio-rng-pci",
                "-chardev", f"socket,id=line,path={self.folder}/{self.name}.sock,server=on,wait=off,logfile={self.log},logappend=on",
                "-serial", "chardev:line", "-netdev", f"user,id=net,restrict=on{forwards}{peer}", "-device", "virtio-net-pci,netdev=net",
                "-drive", f"file={self.disk},if=virtio,format=qcow2,cache=none", "-qmp", f"unix:{self.control},server=on,wait=off", *self.more]
        if kept:
            line += ["-loadvm", kept]
        for credential, file in self.seed.items():
            line += ["-fw_cfg", f"name=opt/io.systemd.credentials/{credential},file={file}"]
        if self.firmware == "bios":
            return line
        secure = self.firmware == "secureboot"
        variables = self.folder / f"{self.name}.vars"
        if not variables.exists():
            shutil.copyfile(FIRMWARE / ("OVMF_VARS_4M.ms.fd" if secure else "OVMF_VARS_4M.fd"), variables)
        line += ["-machine", "q35,smm=on" if secure else "q35"]
        if secure:
            line += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        code = FIRMWARE / ("OVMF_CODE_4M.secboot.fd" if secure else "OVMF_CODE_4M.fd")
        return line + ["-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-drive", f"if=pflash,format=raw,file={variables}"]

    def start(self, reset=False, kept=None):
        """`kept`: goes on where keep(kept) was."""
        if not reset:
            self.began = time.monotonic()
            self.log_at = self.log.stat().st_size if self.log.exists() else 0
        self.process = subprocess.Popen(self.command(kept), stdin=subprocess.DEVNULL, stdout=open(self.folder / f"{self.name}.qemu", "a"),
                                        stderr=subprocess.STDOUT)
        self.serial = None
        return self

    def keep(self, name):
        """Puts the whole machine as it is beside its disk's content; it goes on."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120 * PATIENCE)
            s.connect(str(self.control))
            answers = s.makefile("rb")
            answers.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": "human-monitor-command", "arguments": {"command-line": f"savevm {name}"}}):
                s.sendall(json.dumps(request).encode() + b"\n")
                answer = {}
                while "return" not in answer and "error" not in answer:
                    answer = json.loads(answers.readline())
            if answer.get("return"):
                raise Trouble(f"{self.name}: savevm: {answer['return']}")

    def kill(self):
        """The power goes: nothing in the machine hears of it."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.serial:
            self.serial.close()
            self.serial = None

    def said(self, since=None):
        """What came over the serial line since this start, without what only moves the cursor."""
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as file:
            file.seek(self.log_at if since is None else since)
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x1bc", "", file.read().decode(errors="replace"))

    def mark(self):
        return self.log.stat().st_size

    def type(self, text):
        self.alive()
        if not self.serial:
            self.serial = socket.socket(socket.AF_UNIX)
            self.serial.connect(str(self.folder / f"{self.name}.sock"))
            self.serial.setblocking(False)
        try:
            while self.serial.recv(65536):
                pass
        except BlockingIOError:
            pass
        # A serial line has no flow control here, and a slow reader: piece by piece.
        for at in range(0, len(text), 16):
            self.serial.send(text[at:at + 16].encode())
            time.sleep(0.05)

    def alive(self):
        """Looks after QEMU, which ends where the guest resets itself: a new one goes on with the same disk. (A warm reset within one process can
        take software emulation minutes: code it has translated lies under the memory that the new kernel writes.)"""
        if self.process.poll() == 0:
            self.resets += 1
            self.start(reset=True)
        elif self.process.poll() is not None:
            raise Trouble(f"{self.name}: qemu ended with {self.process.returncode}: {(self.folder / (self.name + '.qemu')).read_text()[-500:]}")

    def until_said(self, pattern, seconds=400, since=None):
        def ask():
            self.alive()
            return re.search(pattern, self.said(since))
        return until(f"{self.name}: '{pattern}' on the serial line ({self.log})", seconds, ask)

    def greeting(self, inside, seconds=20):
        try:
            with socket.create_connection(("127.0.0.1", self.ports[inside]), timeout=10) as s:
                s.settimeout(seconds)
                return s.recv(200).decode(errors="replace")
        except OSError:
            return ""

    def until_greets(self, inside=25, seconds=400):
        def ask():
            self.alive()
            return self.greeting(inside).startswith("220")
        until(f"{self.name}: a greeting on port {inside} ({self.log})", seconds, ask, 1)
        return time.monotonic() - self.began

    def ssh(self, key, command, *, stdin=None, seconds=300, check=True):
        line = ["ssh", "-q", "-F", "none", "-i", str(key), "-p", str(self.ports[22]), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "ConnectTimeout=60", "-o", "IdentitiesOnly=yes", "root@127.0.0.1", command]
        done = subprocess.run(line, stdin=stdin or subprocess.DEVNULL, capture_output=True, timeout=seconds * PATIENCE)
        if check and done.returncode:
            raise Trouble(f"{self.name}: ssh '{command[:100]}' ended with {done.returncode}: {done.stdout.decode(errors='replace')[-800:]}{done.stderr.decode(errors='replace')[-800:]}")
        return done.stdout

    def until_ssh(self, key, seconds=400):
        def ask():
            self.alive()
            try:
                return self.ssh(key, "true", seconds=90, check=False) is not None and self.greeting(22).startswith("SSH")
            except subprocess.TimeoutExpired:
                return False
        until(f"{self.name}: ssh ({self.log})", seconds, ask, 2)
