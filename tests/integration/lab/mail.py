# SPDX-License-Identifier: MIT
"""mail: messages to send, and what arrived."""
import email
import email.policy
import itertools
import os
import re

from . import ground

_serial = itertools.count(1)


def token():
    """A word that names one message in every log, mailbox and dialogue."""
    return f"t{os.getpid()}x{next(_serial)}"


def message(word, sender="alice@sender.example", to="bob@example.net", subject=None, body=None, extra=""):
    """A small message, CRLF lines. `word` is in the subject, in X-Token and in the body."""
    text = body if body is not None else f"Hello, this is {word}.\r\n.a line that begins with a dot\r\n..and two\r\n\r\nBye.\r\n"
    return (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject or 'about ' + word}\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
            f"Message-ID: <{word}@sender.example>\r\nX-Token: {word}\r\n{extra}\r\n{text}")


class Stored:
    """A message as a peer stored it. `raw` has CRLF lines; fields the peer put on top are still there."""

    def __init__(self, raw, path=None, envelope=None):
        self.raw = re.sub(rb"\r?\n", b"\r\n", raw)
        self.path, self.envelope = path, envelope or {}
        self.parsed = email.message_from_bytes(self.raw, policy=email.policy.default.clone(utf8=True))

    def field(self, name):
        """Unfolded text of the first such field, or None."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*((?:.*\r\n)(?:[ \t].*\r\n)*)", self.head() + b"\r\n")
        return None if not found else re.sub(rb"\r\n[ \t]+", b" ", found.group(1)).decode("utf-8", "replace").strip()

    def fields(self, name):
        return [re.sub(r"\s+", " ", v).strip() for v in re.findall(
            r"(?im)^" + re.escape(name) + r":[ \t]*((?:.*\r\n)(?:[ \t].*\r\n)*)", self.head().decode("utf-8", "replace") + "\r\n")]

    def head(self):
        return self.raw.split(b"\r\n\r\n", 1)[0]

    def body(self):
        return self.raw.split(b"\r\n\r\n", 1)[1]

    def __repr__(self):
        return f"<Stored {self.field('Subject')!r} {self.path or ''}>"


class Maildir:
    """A Maildir some server writes; files are read once each."""

    def __init__(self, path):
        self.path, self.read = ground.pathlib.Path(path), {}

    def all(self):
        for part in ("new", "cur"):
            if (self.path / part).is_dir():
                for file in sorted((self.path / part).iterdir()):
                    if file not in self.read:
                        try:
                            self.read[file] = Stored(file.read_bytes(), file)
                        except FileNotFoundError:
                            pass
        return list(self.read.values())

    def find(self, word):
        pattern = word.encode()
        pattern = re.compile(rb"\b" + re.escape(pattern) + rb"\b")
        return [m for m in self.all() if pattern.search(m.raw)]

    def wait(self, word, count=1, seconds=20, log=None):
        """The message with that token (a list where count is not 1)."""
        found = ground.until(f"{count} message(s) with {word} in {self.path}", lambda: (f := self.find(word)) and len(f) >= count and f,
                             seconds, log=log)
        return found[0] if count == 1 else found
