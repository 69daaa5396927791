# SPDX-License-Identifier: MIT
"""ground: what the steps of appliance-test stand on: the story that is told, the operator with a key, the peer, and mail between them."""
import itertools
import json
import os
import pathlib
import random
import smtplib
import ssl
import subprocess
import time

from machine import PATIENCE, Machine, Trouble, until
from peer import Peer

TOP = pathlib.Path(__file__).resolve().parents[2]
MAKE = TOP / "appliance" / "make"
OUT = pathlib.Path(os.environ.get("TIDEGATE_APPLIANCE_OUT", TOP / "build" / "appliance-test"))
BUILT = pathlib.Path(os.environ.get("TIDEGATE_APPLIANCE", TOP / "build" / "appliance"))
SECRET = "a long enough password"


class Story:
    """Steps with names, shown and written down with what they found and how long they took; and which of them have passed."""

    def __init__(self, folder, image, resume):
        self.progress = folder / "progress.json"
        status = image.stat()
        self.of = [str(image), status.st_size, status.st_mtime_ns]
        known = json.loads(self.progress.read_text()) if resume and self.progress.exists() else {}
        self.done = known.get("done", []) if known.get("of") == self.of else []
        self.file, self.began = open(folder / "transcript.txt", "a" if self.done else "w"), time.monotonic()

    def passed(self, step):
        self.done.append(step)
        self.progress.write_text(json.dumps({"of": self.of, "done": self.done}))

    def say(self, text):
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()

    def note(self, text):
        for line in text.rstrip().splitlines():
            if line.strip():
                self.say(f"      {line}".rstrip())

    def expect(self, truth, text, evidence=""):
        if not truth:
            raise Trouble(f"{text}\n{evidence}")
        self.say(f"    {time.monotonic() - self.began:6.0f} s  {text}")


class Ground:
    def __init__(self, story, image, key):
        self.story, self.image, self.key, self.peer = story, image, key, Peer()
        self.admin, self.seed, self.users = OUT / "admin", OUT / "seed", OUT / "users"
        self.tokens = itertools.count()
        if not self.admin.exists():
            self.make_operator()
        self.vm = Machine(OUT, image, "gateway", seed={"tidegate.config": self.seed}, peer_port=self.peer.port, grow="1G", again="first_boot" in story.done)

    def make_operator(self):
        """Somebody with an ssh key, and the seed for a machine of theirs."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", self.admin], check=True)
        self.users.write_text("")
        subprocess.run([TOP / "build" / "tidegate", "passwd", "--users", self.users, "app", "--set", "from=*@acme.example"], input=f"{SECRET}\n", text=True,
                       check=True, stdout=subprocess.DEVNULL)
        self.seed.write_text(f"# what an operator gives a new machine\n{self.settings()}admin_key = {self.public()}\n"
                             f"user = {self.users.read_text().splitlines()[-1].strip()}\n")

    @staticmethod
    def settings():
        return "hostname = mail.acme.example\ndomain = acme.example\nports = 25 465 587\nrelay = 10.0.2.100:25\nrelay_tls = none\n"

    def public(self):
        return self.admin.with_suffix(".pub").read_text().strip()

    # ---- mail ----

    def token(self, kind):
        return f"token-{kind}-{next(self.tokens)}-{random.randrange(10**9)}"

    def submit(self, vm, token, smtp=None):
        mine = smtp or self.login(vm)
        mine.sendmail("app@acme.example", ["someone@example.net"],
                      f"From: app@acme.example\r\nTo: someone@example.net\r\nSubject: {token}\r\nMessage-ID: <{token}@acme.example>\r\n\r\nhello\r\n")
        if not smtp:
            mine.quit()

    def login(self, vm):
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        smtp = smtplib.SMTP("127.0.0.1", vm.ports[587], timeout=120 * PATIENCE, local_hostname="client.acme.example")
        smtp.starttls(context=unchecked)
        smtp.login("app", SECRET)
        return smtp

    def mail_passes(self, vm, kind, seconds=180):
        token = self.token(kind)
        self.submit(vm, token)
        return until(f"the peer gets {token}", seconds, lambda: self.peer.has(token))

    # ---- the machine ----

    def root(self, command, vm=None, **more):
        return (vm or self.vm).ssh(self.admin, command, **more).decode(errors="replace")

    def shown(self, command, vm=None):
        """What an administrator sees who types that."""
        self.story.note(f"# {command}\n" + self.root(f"{command} 2>&1", vm, check=False))
