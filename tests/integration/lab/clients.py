# SPDX-License-Identifier: MIT
"""clients: foreign programs that send mail, and a wire for what none of them would do."""
import re
import socket
import ssl
import subprocess
import time

from . import ground


def _run(command, input=None, timeout=30):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, input=input, timeout=timeout * ground.PATIENCE)


def swaks(host, port, word, *options, sender="alice@sender.example", to="bob@example.net"):
    return _run(["swaks", "--server", host, "--port", port, "--from", sender, "--to", to, "--helo", "client.example", "--header", f"X-Token: {word}",
                 "--header", f"Subject: about {word}", "--body", f"this is {word}", "--timeout", "20", *options])


def msmtp(host, port, word, authority, *options, user=None, password=None, tls="starttls", sender="alice@sender.example", to="bob@example.net", text=None):
    from . import mail
    command = ["msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", f"--from={sender}", "--domain=client.example", "--timeout=20",
               f"--tls={'on' if tls else 'off'}"]
    if tls:
        command += [f"--tls-starttls={'on' if tls == 'starttls' else 'off'}", f"--tls-trust-file={authority.file}"]
    if user:
        command += ["--auth=on", f"--user={user}", f"--passwordeval=printf %s '{password}'"]
    return _run([*command, *options, "--", to], input=(text or mail.message(word, sender=sender, to=to)).replace("\r\n", "\n"))


def curl(url, word, authority, *options, sender="alice@sender.example", to="bob@example.net", text=None):
    from . import mail
    folder = ground.folder("curl")
    (folder / "mail.eml").write_bytes((text or mail.message(word, sender=sender, to=to)).encode())
    return _run(["curl", "--silent", "--show-error", "--verbose", "--max-time", "20", "--url", url, "--mail-from", sender, "--mail-rcpt", to,
                 "--upload-file", folder / "mail.eml", "--cacert", authority.file, *options])


class Wire:
    """A socket that speaks exactly what it is told. Every reply read is kept in `dialogue` for failures."""

    def __init__(self, host, port, timeout=15, source=None, banner=True):
        self.timeout = timeout * ground.PATIENCE
        self.socket = socket.create_connection((host, port), self.timeout, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input, self.dialogue = b"", []
        if banner:
            self.expect("220")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.dialogue.append("> " + repr(data[:200]))
        self.socket.sendall(data)

    def line(self):
        while b"\r\n" not in self.input:
            data = self.socket.recv(65536)
            if not data:
                raise ground.LabError("the gateway closed the connection\n" + "\n".join(self.dialogue))
            self.input += data
        line, self.input = self.input.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    def reply(self):
        """One whole reply: its lines joined by newlines."""
        lines = []
        try:
            while True:
                line = self.line()
                lines.append(line)
                if not re.match(r"\d{3}([ -]|$)", line):
                    raise ground.LabError(f"not a reply: {line!r}\n" + "\n".join(self.dialogue))
                if line[3:4] != "-":
                    break
        except (TimeoutError, socket.timeout):
            raise ground.LabError("no reply in time\n" + "\n".join(self.dialogue)) from None
        self.dialogue.append("< " + "\n< ".join(lines))
        return "\n".join(lines)

    def expect(self, *beginnings):
        """A reply that begins with one of these ("550 5.7.1"); fails with the dialogue otherwise."""
        reply = self.reply()
        if not reply.replace("-", " ", 1).startswith(beginnings):
            raise ground.LabError(f"expected {' or '.join(beginnings)}, came {reply!r}\n" + "\n".join(self.dialogue))
        return reply

    def say(self, line, *beginnings):
        self.send(line + "\r\n")
        return self.expect(*beginnings) if beginnings else self.reply()

    def starttls(self, authority, name="gateway.example"):
        self.say("STARTTLS", "220")
        self.secure(authority, name)

    def secure(self, authority, name="gateway.example"):
        context = ssl.create_default_context(cafile=str(authority.file))
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        return self

    def until_closed(self, seconds=10):
        """Reads until the other side closes; what was still said. Fails when it stays open."""
        rest, self.input = self.input, b""
        self.socket.settimeout(0.2)
        deadline = time.monotonic() + seconds * ground.PATIENCE
        while time.monotonic() < deadline:
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
                return rest.decode("utf-8", "replace")
            if not data:
                return rest.decode("utf-8", "replace")
            rest += data
        raise ground.LabError(f"expected the gateway to close within {seconds} s\n" + "\n".join(self.dialogue))

    def is_quiet(self, seconds=0.3):
        """Whether nothing is said for that long."""
        if self.input:
            return False
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
            self.input += data
            return False
        except (TimeoutError, ssl.SSLWantReadError):
            return True
        finally:
            self.socket.settimeout(self.timeout)
