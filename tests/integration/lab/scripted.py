# SPDX-License-Identifier: MIT
"""scripted: SMTP and LMTP servers that misbehave on purpose, dialogues as data.

    Scripted(rcpt={"nobody@": "550 5.1.1 no", "*": "250 ok"})
    Scripted(greeting=Hang())            Scripted(dot=[("421 4.3.2 bye", Close()), "250 ok"])   first time, second time and on

Stages: greeting, ehlo, helo, starttls, tls (the handshake), auth, mail, rcpt, data, dot (after the content), rset, noop, quit. A stage's
value: a reply text (may have several lines, joined by \\n), an action, a tuple of those in turn, or a list: one for each time that stage is
reached, the last for good. rcpt may be a dict by a beginning of the address, "*" for the rest.
"""
import re
import socket
import ssl
import threading
import time

from . import ground


class Hang:
    """Says nothing more until the client goes."""


class Close:
    """Closes at once."""


class Reset:
    """Closes with a TCP reset."""


class Raw:
    def __init__(self, data):
        self.data = data if isinstance(data, bytes) else data.encode()


class Endless:
    """One line without an end, or lines of a reply without a last one, until the client goes or `most` bytes are out."""

    def __init__(self, kind="line", most=64 << 20):
        self.kind, self.most = kind, most


class Slow:
    """Says the reply one byte at a time."""

    def __init__(self, reply, pause=0.01):
        self.reply, self.pause = reply, pause


class SlowRead:
    """Before going on reads nothing for that long (the client's content has to wait)."""

    def __init__(self, seconds):
        self.seconds = seconds


class _Gone(Exception):
    pass


class Accepted:
    """A message it said 250 to (or would have: `reply`), with how it came."""

    def __init__(self, session, sender, recipients, raw, reply):
        self.session, self.sender, self.recipients, self.raw, self.reply = session, sender, recipients, raw, reply
        self.mail_line, self.rcpt_lines = session.mail_line, list(session.rcpt_lines)
        self.tls, self.user, self.helo = session.tls, session.user, session.helo
        self.at = time.monotonic()

    def stored(self):
        from .mail import Stored
        return Stored(self.raw)


class Scripted:
    EHLO = ("PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8")

    def __init__(self, host=None, port=None, certificate=None, implicit_tls=False, lmtp=False, name="scripted.mx.example", extensions=None,
                 users=None, **stages):
        self.host, self.port = host or ground.address(), port or ground.smtp_port()
        self.certificate, self.implicit_tls, self.lmtp, self.name = certificate, implicit_tls, lmtp, name
        self.extensions = list(self.EHLO if extensions is None else extensions)
        self.users = users or {}
        self.auth_offer = "PLAIN LOGIN XOAUTH2"
        self.stages, self.times = stages, {}
        self.accepted, self.sessions, self.lines = [], [], []
        self.lock = threading.Lock()
        self.stopped = False
        self.open = 0
        self.most_open = 0
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.listener = socket.create_server((self.host, self.port), family=family, backlog=200)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self.stopped:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=_Session(self, connection).run, daemon=True).start()

    def set(self, **stages):
        """Changes what it does, for sessions that are open, too."""
        with self.lock:
            self.stages.update(stages)
            for stage in stages:
                self.times.pop(stage, None)

    def step(self, stage, fallback, key=None):
        with self.lock:
            value = self.stages.get(stage, fallback)
            if isinstance(value, dict):
                for beginning, v in value.items():
                    if beginning != "*" and key.startswith(beginning):
                        value, stage = v, stage + beginning
                        break
                else:
                    value = value.get("*", fallback)
            if isinstance(value, list):
                n = self.times.get(stage, 0)
                self.times[stage] = n + 1
                value = value[min(n, len(value) - 1)]
            return fallback if value is None else value

    def find(self, word):
        pattern = re.compile(rb"\b" + re.escape(word.encode()) + rb"\b")
        with self.lock:
            return [m for m in self.accepted if m.reply.startswith("2") and pattern.search(m.raw)]

    def wait(self, word, count=1, seconds=20):
        found = ground.until(f"{count} message(s) with {word} at the scripted peer {self.host}; its dialogue: {self.lines[-30:]}",
                             lambda: (f := self.find(word)) and len(f) >= count and f, seconds)
        return found[0] if count == 1 else found

    def until_line(self, beginning, count=1, seconds=20):
        """Waits until clients have said so many lines that begin like this; gives them."""
        return ground.until(f"{count} line(s) {beginning!r} said to {self.host}",
                            lambda: (f := [l for l in list(self.lines) if l.upper().startswith(beginning.upper())]) and len(f) >= count and f, seconds)

    def stop(self):
        self.stopped = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for session in list(self.sessions):
            session.drop()


class _Session:
    def __init__(self, server, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server, self.socket, self.input = server, connection, b""
        self.left = False
        self.tls, self.user, self.helo, self.sender = None, None, None, None
        self.recipients, self.rcpt_lines, self.mail_line = [], [], None
        self.transactions, self.lines, self.no_mail = 0, [], False
        self.began = time.monotonic()
        self.peer = connection.getpeername()

    def drop(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def run(self):
        server = self.server
        with server.lock:
            server.sessions.append(self)
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        try:
            if server.implicit_tls:
                self._handshake()
            self._do("greeting", f"220 {server.name} {'LMTP' if server.lmtp else 'ESMTP'} scripted")
            while self._command():
                pass
        except (_Gone, OSError):
            pass
        finally:
            self._leave()
            self.socket.close()

    def _leave(self):
        with self.server.lock:
            self.server.open -= not self.left
            self.left = True

    def _handshake(self):
        step = self.server.step("tls", None)
        if step is not None:
            self._act(step)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certificate.chain, self.server.certificate.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.tls = self.socket.version()

    def _act(self, step):
        if isinstance(step, tuple):
            for part in step:
                self._act(part)
        elif isinstance(step, str):
            lines = step.split("\n")
            code = lines[0][:3]
            out = [code + ("-" if i + 1 < len(lines) else " ") + (l[4:] if i == 0 else l) for i, l in enumerate(lines)]
            self.socket.sendall("".join(l + "\r\n" for l in out).encode("utf-8", "surrogateescape"))
        elif isinstance(step, Raw):
            self.socket.sendall(step.data)
        elif isinstance(step, Slow):
            for byte in (step.reply + "\r\n").encode():
                self.socket.sendall(bytes([byte]))
                time.sleep(step.pause)
        elif isinstance(step, SlowRead):
            time.sleep(step.seconds)
        elif isinstance(step, Endless):
            piece, sent = (b"250-more and more\r\n" * 500 if step.kind == "lines" else b"x" * 8192), 0
            self.socket.sendall(b"250-" if step.kind == "line" else b"")
            while sent < step.most:
                self.socket.sendall(piece)
                sent += len(piece)
            raise _Gone
        elif step is Hang or isinstance(step, Hang):
            while self.socket.recv(65536):
                pass
            raise _Gone
        elif step is Close or isinstance(step, Close):
            raise _Gone
        elif step is Reset or isinstance(step, Reset):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            raise _Gone
        else:
            raise AssertionError(f"not a step: {step!r}")

    def _do(self, stage, fallback, key=None):
        """Acts out a stage; the code of what was said last."""
        step = self.server.step(stage, fallback, key)
        self._act(step)
        said = [s for s in (step if isinstance(step, tuple) else (step,)) if isinstance(s, (str, Slow))]
        return "" if not said else (said[-1].reply if isinstance(said[-1], Slow) else said[-1])

    def _line(self):
        while b"\r\n" not in self.input:
            data = self.socket.recv(65536)
            if not data:
                raise _Gone
            self.input += data
        line, self.input = self.input.split(b"\r\n", 1)
        text = line.decode("utf-8", "replace")
        with self.server.lock:
            self.server.lines.append(text)
            self.lines.append(text)
        return text

    def _command(self):
        line = self._line()
        verb = line.split(" ")[0].upper()
        server = self.server
        if verb in ("EHLO", "LHLO"):
            self.helo = line[5:]
            offers = [server.name] + [e for e in server.extensions]
            if server.certificate and not self.tls:
                offers.append("STARTTLS")
            if server.users and (self.tls or server.certificate is None):
                offers.append("AUTH " + server.auth_offer)
            self._do("ehlo", "250 " + "\n".join(offers))
        elif verb == "HELO":
            self.helo = line[5:]
            self._do("helo", f"250 {server.name}")
        elif verb == "STARTTLS":
            if self._do("starttls", "220 2.0.0 go ahead").startswith("220"):
                self.input = b""
                self._handshake()
        elif verb == "AUTH":
            self._auth(line)
        elif verb == "MAIL":
            self.recipients, self.rcpt_lines, self.mail_line = [], [], line
            self.sender = re.search(r"<(.*?)>", line).group(1)
            self.transactions += 1
            self.no_mail = self._do("mail", "250 2.1.0 ok", self.sender).startswith(("4", "5"))
        elif verb == "RCPT" and self.no_mail:
            self._act("503 5.5.1 MAIL first")
        elif verb == "RCPT":
            address = re.search(r"<(.*?)>", line).group(1)
            if self._do("rcpt", "250 2.1.5 ok", address).startswith("2"):
                self.recipients.append(address)
                self.rcpt_lines.append(line)
        elif verb == "DATA":
            said = self._do("data", "354 go on" if self.recipients else "503 5.5.1 nobody to send to")
            if said.startswith("354"):
                self._content(self._dots())
        elif verb == "BDAT":
            self._bdat(line)
        elif verb == "RSET":
            self._do("rset", "250 2.0.0 ok")
        elif verb == "NOOP":
            self._do("noop", "250 2.0.0 ok")
        elif verb == "QUIT":
            self._leave()  # before the client can hear that it may open another
            self._do("quit", "221 2.0.0 bye")
            return False
        else:
            self._act("500 5.5.1 what?")
        return True

    def _auth(self, line):
        import base64
        words = line.split(" ")
        if words[1] == "LOGIN":
            self._act("334 VXNlcm5hbWU6")
            user = base64.b64decode(self._line()).decode()
            self._act("334 UGFzc3dvcmQ6")
            secret = base64.b64decode(self._line()).decode()
        else:
            if len(words) < 3:
                self._act("334 ")
                words.append(self._line())
            text = base64.b64decode(words[2]).decode()
            if words[1] == "PLAIN":
                _, user, secret = text.split("\0")
            else:
                user, secret = re.match(r"user=(.*?)\x01auth=Bearer (.*?)\x01", text).groups()
        right = self.server.users.get(user) == secret
        if self._do("auth", "235 2.7.0 welcome" if right else "535 5.7.8 wrong", user).startswith("235"):
            self.user = user

    def _dots(self):
        while not (self.input.startswith(b".\r\n") or b"\r\n.\r\n" in self.input):
            data = self.socket.recv(1 << 18)
            if not data:
                raise _Gone
            self.input += data
        if self.input.startswith(b".\r\n"):
            content, self.input = b"", self.input[3:]
        else:
            content, self.input = self.input.split(b"\r\n.\r\n", 1)
            content += b"\r\n"
        return re.sub(rb"(?m)^\.", b"", content)

    def _bdat(self, line):
        words = line.split(" ")
        size = int(words[1])
        while len(self.input) < size:
            data = self.socket.recv(1 << 18)
            if not data:
                raise _Gone
            self.input += data
        self.chunks = getattr(self, "chunks", b"") + self.input[:size]
        self.input = self.input[size:]
        if len(words) > 2:
            content, self.chunks = self.chunks, b""
            self._content(content)
        else:
            self._act("250 2.0.0 chunk")

    def _content(self, raw):
        times = len(self.recipients) if self.server.lmtp else 1
        for i in range(times):
            key = self.recipients[i] if self.server.lmtp else ""
            step = self.server.step("dot", "250 2.0.0 kept", key)
            words = [s for s in (step if isinstance(step, tuple) else (step,)) if isinstance(s, (str, Slow))]
            reply = "" if not words else (words[0].reply if isinstance(words[0], Slow) else words[0])
            # Counted before it is said: what the client may have read is in the count.
            with self.server.lock:
                self.server.accepted.append(Accepted(self, self.sender, [key] if self.server.lmtp else list(self.recipients), raw, reply))
            self._act(step)
        self.recipients, self.rcpt_lines = [], []
