# SPDX-License-Identifier: MIT
"""sandbox: runs a mail server that tests/setup/peers unpacked, as if it were installed, without touching the machine.

Mail servers have their paths and users compiled in. So each instance gets a root of its own: the peer's tree laid over the machine's
/usr, own /etc (with the users it wants), own /var and /run. A mount and a pid namespace keep it apart: the machine sees no mount, and
ending the first process ends all of them. Needs root.
"""
import os
import shlex

import pytest

from . import ground

USERS = {"root": 0, "postfix": 5101, "postdrop": 5102, "opensmtpd": 5103, "opensmtpq": 5104, "Debian-exim": 5105, "vmail": 5106,
         "mail": 8, "nobody": 65534}


class Sandbox:
    def __init__(self, peer):
        if os.geteuid() != 0:
            pytest.skip("real mail servers need root (mount namespaces)")
        self.tree = ground.PEERS / peer
        if not (self.tree / ".done").exists():
            raise ground.LabError(f"build/peers/{self.tree.name} is missing: run tests/setup/peers (make deps-test)")
        self.peer, self.top = peer, ground.folder(peer)
        self.root = self.top / "root"
        for name in ("usr", "etc", "var/spool", "var/lib", "var/log", "var/mail", "var/empty", "run/lock", "proc", "dev", "tmp", "mail", "home"):
            (self.root / name).mkdir(parents=True)
        for link in ("bin", "sbin", "lib", "lib64"):
            (self.root / link).symlink_to("usr/" + link)
        (self.root / "var/run").symlink_to("/run")
        (self.root / "tmp").chmod(0o1777)
        self.mail = self.root / "mail"
        os.chown(self.mail, USERS["vmail"], USERS["vmail"])
        self.write("etc/passwd", "".join(f"{n}:x:{i}:{i}::/home:/bin/sh\n" for n, i in USERS.items()))
        self.write("etc/group", "".join(f"{n}:x:{i}:\n" for n, i in USERS.items()))
        self.write("etc/shadow", "".join(f"{n}:*:19000:0:99999:7:::\n" for n in USERS))
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        for name in ("services", "protocols", "localtime", "ld.so.cache", "ld.so.conf", "ssl/openssl.cnf"):
            if (source := ground.pathlib.Path("/etc") / name).exists():
                (self.root / "etc" / name).parent.mkdir(exist_ok=True)
                (self.root / "etc" / name).write_bytes(source.read_bytes())
        self.process = None

    def write(self, path, text, mode=0o644):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        target.chmod(mode)
        return target

    def _script(self, command):
        # The namespace's first process waits for the end of its input, which comes when the lab stops the server and when the lab
        # itself dies; with it the kernel ends all others.
        root = shlex.quote(str(self.root))
        return (f"set -e; mount -t overlay tidegate-lab -o lowerdir={self.tree}/usr:/usr {root}/usr; "
                f"mount -t proc proc {root}/proc; mount --rbind /dev {root}/dev; "
                f"chroot {root} /bin/sh -c {shlex.quote(command)} </dev/null & read -r ignored || exit 0")

    def start(self, command):
        self.process = ground.Process(self.peer, ["unshare", "--mount", "--pid", "--fork", "sh", "-c", self._script(command)],
                                      self.top / "output.log", leash=True)
        return self.process

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None
