# SPDX-License-Identifier: MIT
"""names: DNS for the lab. Knot for what is true, a pocket server for lies, silence and garbage."""
import os
import socket
import struct
import threading
import time

import dnslib

from . import ground


class Knot:
    """A real authoritative server for every name below one root zone, so any domain can be made up: `add` records, and look-ups see
    them at once. Unknown names are NXDOMAIN (it is the root)."""

    def __init__(self, port=5353):
        tree = ground.PEERS / "knot"
        if not (tree / ".done").exists():
            raise ground.LabError(f"build/peers/{tree.name} is missing: run tests/setup/peers (make deps-test)")
        self.folder, self.host, self.port, self.serial = ground.folder("knot"), ground.address(), port, 1
        self.records = []
        (self.folder / "run").mkdir()
        (self.folder / "knot.conf").write_text(f"""
server:
  rundir: {self.folder}/run
  listen: {self.host}@{self.port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
- target: stderr
  any: info
database:
  storage: {self.folder}
template:
- id: default
  storage: {self.folder}
  zonefile-load: whole
  journal-content: none
zone:
- domain: .
  file: root.zone
""")
        self._write()
        self.environment = dict(os.environ, LD_LIBRARY_PATH=f"{tree}/usr/lib/x86_64-linux-gnu")
        self.process = ground.Process("knotd", [tree / "usr/sbin/knotd", "-c", self.folder / "knot.conf"], self.folder / "knot.log",
                                      env=self.environment)
        self.process.until_listening(self.host, self.port)
        self._until_serial()

    def _write(self):
        text = f"$TTL 60\n. SOA ns.lab. lab.lab. {self.serial} 3600 600 86400 5\n. NS ns.lab.\nns.lab. A {self.host}\n"
        temporary = self.folder / "root.zone.new"
        temporary.write_text(text + "\n".join(self.records) + "\n")
        temporary.rename(self.folder / "root.zone")

    def _until_serial(self):
        def look():
            try:
                answer = dnslib.DNSRecord.question(".", "SOA").send(self.host, self.port, timeout=1)
                return dnslib.DNSRecord.parse(answer).rr[0].rdata.times[0] == self.serial
            except (OSError, IndexError, dnslib.DNSError):
                return False
        ground.until(f"knot serves serial {self.serial}", look, log=self.process.log)

    def add(self, *records):
        """Lines as in a zone file with whole names: "example.net MX 10 mx1.example.net". """
        for record in records:
            words = record.split(None, 2)
            if words[1] == "TXT":
                value = words[2].strip('"')
                words[2] = " ".join(f'"{value[i:i + 250]}"' for i in range(0, len(value), 250))
            if words[1] in ("MX", "CNAME", "NS", "PTR") and not words[2].endswith("."):
                words[2] += "."
            self.records.append(f"{words[0].rstrip('.')}. {words[1]} {words[2]}")
        self.serial += 1
        self._write()
        self.process.signal(1)  # SIGHUP: reload
        self._until_serial()

    def mail(self, domain, *hosts, preference=10):
        """MX records in this order for hosts that are addresses or (name, address)."""
        records = []
        for i, host in enumerate(hosts):
            name, at = host if isinstance(host, tuple) else (f"mx{i + 1}.{domain}", host)
            records += [f"{domain} MX {preference + i} {name}", f"{name} {'AAAA' if ':' in at else 'A'} {at}"]
        self.add(*records)

    @property
    def server(self):
        return f"{self.host}:{self.port}"

    def stop(self):
        self.process.stop()


class PocketDns:
    """A scripted DNS server. `answer` maps (name, type) to what happens: a list of zone-file records, "nxdomain", "servfail",
    "refused", "silence", "garbage", "truncate", "wrongid", "wrongquestion", "loop" (a CNAME to itself), "half" (cut packet) or a callable(query) -> bytes.
    ("*", type) and ("*", "*") catch the rest; nothing found: NXDOMAIN. Everything asked is in `asked`. `authentic`: all of it is said to have
    been validated (AD), but for what is asked of names in `unsigned`."""

    def __init__(self, answer=None, host=None, authentic=False, unsigned=()):
        self.authentic, self.unsigned = authentic, set(unsigned)
        self.answer, self.asked, self.host, self.port = dict(answer or {}), [], host or ground.address(), 5353
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((self.host, self.port))
        self.tcp = socket.create_server((self.host, self.port))
        self.stopped = False
        for work in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    @property
    def server(self):
        return f"{self.host}:{self.port}"

    def _reply(self, packet, tcp):
        try:
            query = dnslib.DNSRecord.parse(packet)
        except dnslib.DNSError:
            return None
        name, kind = str(query.q.qname).rstrip(".").lower(), dnslib.QTYPE[query.q.qtype]
        self.asked.append((name, kind, time.monotonic()))
        for key in ((name, kind), (name, "*"), ("*", kind), ("*", "*")):
            if key in self.answer:
                what = self.answer[key]
                break
        else:
            what = [] if any(n == name for n, _ in self.answer) else "nxdomain"
        if callable(what):
            return what(query)
        reply = query.reply()
        reply.header.ad = int(self.authentic and name not in self.unsigned)
        if what == "silence":
            return None
        if what == "garbage":
            return struct.pack("!H", query.header.id) + os.urandom(60)
        if what == "wrongid":
            reply.header.id = (query.header.id + 1) % 65536
            reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 A 127.6.6.6"))
            return reply.pack()
        if what == "wrongquestion":
            other = dnslib.DNSRecord.question("elsewhere.example", kind).reply()
            other.header.id = query.header.id
            other.add_answer(*dnslib.RR.fromZone("elsewhere.example. 60 A 127.6.6.6"))
            return other.pack()
        if what == "loop":
            reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 CNAME {name}."))
            return reply.pack()
        if what == "truncate" and not tcp:
            reply.header.tc = 1
            return reply.pack()
        if what in ("nxdomain", "servfail", "refused"):
            reply.header.rcode = getattr(dnslib.RCODE, what.upper())
            return reply.pack()
        if isinstance(what, (list, tuple)):
            for record in what:
                reply.add_answer(*dnslib.RR.fromZone(record))
        packed = reply.pack()
        return packed[:len(packed) - 5] if what == "half" else packed

    def _serve_udp(self):
        while not self.stopped:
            try:
                packet, client = self.udp.recvfrom(4096)
                reply = self._reply(packet, False)
                if reply is not None:
                    self.udp.sendto(reply, client)
            except OSError:
                return

    def _serve_tcp(self):
        while not self.stopped:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._one_tcp, args=(client,), daemon=True).start()

    def _one_tcp(self, client):
        with client:
            try:
                while length := client.recv(2, socket.MSG_WAITALL):
                    reply = self._reply(client.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL), True)
                    if reply is not None:
                        client.sendall(struct.pack("!H", len(reply)) + reply)
            except OSError:
                pass

    def count(self, name, kind="*"):
        return sum(1 for n, k, _ in self.asked if n == name and kind in ("*", k))

    def stop(self):
        self.stopped = True
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
