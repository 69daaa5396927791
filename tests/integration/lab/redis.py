# SPDX-License-Identifier: MIT
"""redis: a real Redis in which gateways share their limits."""
import os
import socket

from . import ground

PORT = 6379


class Redis:
    def __init__(self, **settings):
        """settings: of redis.conf, with "_" for "-"; "tls": a certificate, for TLS alone."""
        self.folder, self.host = ground.folder("redis"), ground.address()
        self.tls = settings.pop("tls", None)
        self.settings = {"appendonly": "yes", "appendfsync": "always", "save": '""', "maxmemory-policy": "noeviction",
                         **{key.replace("_", "-"): value for key, value in settings.items()}}
        self.tree = ground.PEERS / "redis"
        if not (self.tree / ".done").exists():
            raise ground.LabError("build/peers/redis is missing: run tests/setup/peers (make deps-test)")
        self.start()

    @property
    def conf(self):
        return {"redis": f"{self.host}:{PORT}"}

    def environ(self):
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, self.tree.glob("usr/lib/*-linux-gnu")))}

    def start(self):
        ports = ["port 0", f"tls-port {PORT}", f"tls-cert-file {self.tls.chain}", f"tls-key-file {self.tls.key}", "tls-auth-clients no"] if self.tls else [f"port {PORT}"]
        lines = [f"bind {self.host}", f"dir {self.folder}", "protected-mode no", *ports, *(f"{key} {value}" for key, value in self.settings.items())]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        # One binary with many names.
        server = self.folder / "redis-server"
        if not server.exists():
            server.symlink_to(self.tree / "usr/bin/redis-check-rdb")
        self.process = ground.Process("redis", [server, self.folder / "redis.conf"], self.folder / "output.log", env=self.environ())
        self.process.until_listening(self.host, PORT)

    def stop(self):
        self.process.stop()

    def ask(self, *words):
        """The first line of what it says; in plain, without a password."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in map(str, words))  # a letter is a byte
        with socket.create_connection((self.host, PORT), 10) as s:
            s.sendall(request.encode("latin-1"))
            return s.makefile().readline().strip()
