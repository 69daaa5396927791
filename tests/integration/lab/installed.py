# SPDX-License-Identifier: MIT
"""installed: the Debian package, installed by dpkg into a root of its own, and the gateway of it running there.

The root is the machine's /usr with a memory file system above it, and an /etc, a /var and a /run of its own; mount, network and pid
namespaces keep it apart, so that the real ports 25, 465 and 587 are free and nothing of it is left when the lab ends. dpkg
runs the package's scripts as it would anywhere. There is no systemd in it: what the unit says about user, capabilities and
folders is done here by the unit's own lines. Needs root.
"""
import os
import pathlib
import shlex
import subprocess

import pytest

from . import ground

SKELETON = r"""
set -e
cd {root}
mount -t tmpfs lab upper && mkdir upper/up upper/work
mount -t overlay lab -o lowerdir=/usr,upperdir=upper/up,workdir=upper/work usr
mount -t proc proc proc
mount --rbind /dev dev
ip link set lo up
echo ready
read -r ignored || exit 0
"""


class Installed:
    def __init__(self, package):
        if os.geteuid() != 0:
            pytest.skip("installing a package needs root (namespaces)")
        self.top = ground.folder("installed")
        self.root = self.top / "root"
        for name in ("usr", "upper", "etc", "etc/ssl", "var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/systemd", "var/log", "run", "proc", "dev", "tmp"):
            (self.root / name).mkdir(parents=True)
        for link in ("bin", "sbin", "lib", "lib64"):
            (self.root / link).symlink_to("usr/" + link)
        self.root.chmod(0o755)
        (self.root / "tmp").chmod(0o1777)
        (self.root / "var/lib/dpkg/status").write_text("")
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        (self.root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        for name in ("ld.so.cache", "ssl/openssl.cnf", "localtime"):
            if (source := pathlib.Path("/etc") / name).exists():
                (self.root / "etc" / name).write_bytes(source.read_bytes())
        (self.root / "package.deb").write_bytes(pathlib.Path(package).read_bytes())
        self.log = self.top / "namespace.log"
        self.keeper = ground.Process("installed", ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c",
                                                   SKELETON.format(root=shlex.quote(str(self.root)))], self.log, leash=True)
        self.inside = ground.until("the namespaces of the installed root", self._first_inside, log=self.log)
        self.gateway = None

    def _first_inside(self):
        if not self.keeper.alive():
            raise ground.LabError(f"no root to install into:\n{self.keeper.said()}")
        pid = self.keeper.popen.pid
        return "ready" in self.keeper.said() and pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def command(self, *arguments):
        return ["nsenter", "--target", self.inside, "--mount", "--net", "--pid", "chroot", str(self.root), *map(str, arguments)]

    def run(self, *arguments, check=True, env=None, input=None):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, input=input, timeout=60 * ground.PATIENCE,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(env or {})})
        if check and done.returncode != 0:
            raise ground.LabError(f"{' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def dpkg(self, *arguments, **options):
        # The machine's libraries are there without their packages.
        return self.run("dpkg", "--force-depends", *arguments, **options)

    # ---- the service, by the lines of its unit

    def start(self):
        text = self.run("cat", "/lib/systemd/system/tidegate.service").stdout
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
        environment = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"}
        for kind, base in (("State", "/var/lib"), ("Logs", "/var/log"), ("Runtime", "/run")):
            path = f"{base}/{lines[kind + 'Directory']}"
            self.run("install", "-d", "-m", lines[kind + "DirectoryMode"], "-o", lines["User"], "-g", lines["Group"], path)
            environment[{"State": "STATE_DIRECTORY", "Logs": "LOGS_DIRECTORY", "Runtime": "RUNTIME_DIRECTORY"}[kind]] = path
        assert lines["AmbientCapabilities"] == lines["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
        as_service = ["setpriv", "--reuid", lines["User"], "--regid", lines["Group"], "--init-groups", "--no-new-privs",
                      "--bounding-set", "-all,+net_bind_service", "--inh-caps", "-all,+net_bind_service", "--ambient-caps", "-all,+net_bind_service"]
        self.run(*as_service, *lines["ExecStartPre"].split(), env=environment)
        self.gateway = ground.Process("tidegate", self.command(*as_service, *lines["ExecStart"].split()), self.top / "tidegate.log", env=environment)
        ground.until("the installed gateway answers on its control socket", self._answers, log=self.top / "tidegate.log")

    def _answers(self):
        if not self.gateway.alive():
            raise ground.LabError(f"the installed gateway ended with {self.gateway.popen.returncode}\n{self.gateway.said()}")
        return self.run("tidegate", "status", check=False).returncode == 0

    def pid(self):
        """Of the gateway, as the machine sees it: nsenter waits for its child."""
        pid = self.gateway.popen.pid
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def stop_gateway(self):
        os.kill(self.pid(), 15)
        code = self.gateway.wait(40)
        self.gateway.out.close()
        self.gateway = None
        self.run("rm", "-r", "/run/tidegate") # as systemd does with a RuntimeDirectory
        return code

    def stop(self):
        if self.gateway:
            self.gateway.kill()
        self.keeper.stop()
