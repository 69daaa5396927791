# SPDX-License-Identifier: MIT
"""gateway: one Tidegate under test, with a folder, addresses and a policy of its own.

    g = Gateway(authority, policy=POLICY, delivery={"expire": "1h"})     started and ready
    g.submit(word, to=["a@b.example"])                                    over the relay listener; raises when refused
    g.control("queue", action="list")                                     rows, and the closing line, of the control socket
    g.until_event("delivered", recipient="a@b.example")
    g.stop()                                                              fails unless it ended cleanly and no sanitizer spoke

Keyword arguments are the sections and keys of conf/tidegate.lua; they are laid over the lab's own.
"""
import crypt
import json
import os
import re
import resource
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess

from . import ground, mail

BINARY = ground.BINARY
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|bug: |Assertion .* failed")

# What the C side prints when a sanitizer finds something goes to the log, and the exit code says so too.
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
                     "TSAN_OPTIONS": "exitcode=99:second_deadlock_stack=1:suppressions=" + str(ground.REPOSITORY / "tests/integration/tsan.suppressions")}


class ControlError(ground.LabError):
    def __init__(self, text, code):
        super().__init__(f"the control socket says: {text} ({code})")
        self.text, self.code = text, code


def lua(value, depth=0):
    """A Python value as a Lua literal."""
    pad = "  " * (depth + 1)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return "{\n" + "".join(f"{pad}{k} = {lua(v, depth + 1)},\n" for k, v in value.items() if v is not None) + "  " * depth + "}"
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(lua(v, depth + 1) for v in value) + " }"
    return json.dumps(str(value), ensure_ascii=False)


class Gateway:
    SUBMISSION, SUBMISSIONS, RELAY, LMTP = 2587, 2465, 2525, 2424
    USER, PASSWORD = "demo", "demo secret"

    def __init__(self, authority=None, policy=None, scripts=None, dns=None, listeners=None, users=None, start=True, virtual_clock=True,
                 workers=2, environment=None, prefix=(), folder=None, **conf):
        self.folder = folder or ground.folder("gateway")
        self.host = ground.address()
        self.virtual_clock, self.environment, self.prefix = virtual_clock, environment or {}, list(prefix)
        self.process, self.starts, self.control_socket = None, 0, None
        self.log = self.folder / "stderr.log"
        for name in ("conf", "scripts", "var"):
            (self.folder / name).mkdir(exist_ok=True)
        self.certificate = authority.issue("gateway.example", self.host) if authority else None
        self.authority = authority
        self.users = {self.USER: self.PASSWORD} if users is None else users
        self.write_users()
        self.conf = {
            "hostname": "gateway.example", "workers": workers, "log": "trace" if os.environ.get("TIDEGATE_TRACE") else "info",
            "listeners": listeners if listeners is not None else self.default_listeners(),
            "certificate": self.certificate and self.certificate.chain, "key": self.certificate and self.certificate.key,
            "ca": authority and authority.file, "users": "conf/users", "scripts": "scripts",
            "stdlib": ground.REPOSITORY / "stdlib",
            "limits": {"login_delay": "0s"},
            "store": {"segment": "4MiB", "reserve": "1MiB"},
            "dns": {"servers": [dns.server] if dns else ["127.0.0.1:9"], "timeout": "1s"},
            "delivery": {"port": ground.smtp_port(), "private_mx": True, "connect_timeout": "5s", "timeout": "20s", "idle": "1s"},
        }
        self.configure(**conf)
        self.write_scripts({"policy.lua": policy or "return {}\n", **(scripts or {})})
        if start:
            self.start()

    def default_listeners(self):
        tls = self.certificate is not None
        return ([{"name": "submission", "kind": "submission", "address": f"{self.host}:{self.SUBMISSION}"},
                 {"name": "submissions", "kind": "submissions", "address": f"{self.host}:{self.SUBMISSIONS}"}] if tls else []) + [
            {"name": "relay", "kind": "relay", "address": f"{self.host}:{self.RELAY}", "allow": ["127.0.0.0/8", "::1"]}]

    # ---- files

    def configure(self, **conf):
        for key, value in conf.items():
            if isinstance(value, dict) and isinstance(self.conf.get(key), dict):
                self.conf[key].update(value)
            else:
                self.conf[key] = value
        (self.folder / "conf/tidegate.lua").write_text("return " + lua(self.conf) + "\n")

    def write_users(self):
        def line(name, password, facts="team=lab"):
            return f"{name}:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_SHA512, rounds=1000))}:{facts}\n"
        # A password, or a password and what else the line says.
        lines = [line(name, *([one] if isinstance(one, str) else one)) for name, one in self.users.items()]
        (self.folder / "conf/users").write_text("# made by the lab\n" + "".join(lines))
        (self.folder / "conf/users").chmod(0o600)

    def write_scripts(self, files):
        for name, text in files.items():
            path = self.folder / "scripts" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_text(text)
            temporary.rename(path)

    # ---- life

    def environ(self):
        return {**os.environ, **SANITIZER_OPTIONS, "TIDEGATE_CONF": str(self.folder / "conf/tidegate.lua"), **self.environment}

    def start(self, wait=True):
        self.starts += 1
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY) if os.geteuid() == 0 else resource.getrlimit(resource.RLIMIT_CORE))
        command = [*self.prefix, BINARY, "run", "--conf", self.folder / "conf/tidegate.lua"] + (["--virtual-clock"] if self.virtual_clock else [])
        self.process = ground.Process("tidegate", command, self.log, env=self.environ(), cwd=self.folder)
        if wait:
            self.until_ready()
        return self

    def until_ready(self, seconds=20):
        def look():
            if not self.process.alive():
                code, self.process = self.process.popen.returncode, None
                raise ground.LabError(f"tidegate ended with {code} instead of getting ready\nlog {self.log}:\n{self.said()[-3000:]}")
            try:
                return self.control("status")
            except (OSError, ground.LabError):
                return None
        ground.until("tidegate answers on its control socket", look, seconds, log=self.log)

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def alive(self):
        return self.process is not None and self.process.alive()

    def kill9(self):
        self.disconnect()
        self.process.kill()

    def end(self, number=signal.SIGTERM, seconds=20):
        """Asks it to end; the exit code, None when it did not."""
        self.disconnect()
        self.process.signal(number)
        code = self.process.wait(seconds)
        if code is not None:
            self.process.out.close()
        return code

    def stop(self, seconds=20):
        if self.process is None or self.process.popen.returncode == -signal.SIGKILL:
            self.process = None
            return self.check_said()
        code = self.end(seconds=seconds)
        if code is None:
            self.process.kill()
        self.process = None
        self.check_said()
        if code != 0:
            raise ground.LabError(f"tidegate ended with {code} on SIGTERM, not 0 within {seconds} s\nlog {self.log}:\n{self.said()[-3000:]}{self.backtrace()}")

    def backtrace(self):
        """Of the core file a crash left, where gdb is there to read it."""
        cores = sorted(self.folder.glob("core*"))
        if not cores or not shutil.which("gdb"):
            return ""
        done = subprocess.run(["gdb", "-batch", "-ex", "thread apply all bt 14", BINARY, cores[-1]], capture_output=True, text=True)
        return f"\n{cores[-1]}:\n" + "\n".join(line for line in done.stdout.split("\n") if line.startswith(("#", "Thread", "Program")))

    def check_said(self):
        found = SANITIZER.search(self.said())
        if found:
            at = max(0, found.start() - 200)
            raise ground.LabError(f"tidegate's log has a finding\nlog {self.log}:\n{self.said()[at:at + 6000]}")

    def restart(self):
        self.stop()
        return self.start()

    # ---- the control socket and the command line

    def disconnect(self):
        if self.control_socket:
            self.control_socket[0].close()
            self.control_socket = None

    def control(self, verb, timeout=30, **fields):
        """(rows, the closing object). Raises ControlError with the gateway's words."""
        if self.control_socket is None:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(timeout * ground.PATIENCE)
            # A path may be longer than what a socket's address takes: through /proc it is short.
            directory = os.open(self.folder / "var", os.O_RDONLY)
            try:
                s.connect(f"/proc/self/fd/{directory}/control.sock")
            except OSError:
                s.close()
                raise
            finally:
                os.close(directory)
            self.control_socket = (s, s.makefile("rb"))
        s, reader = self.control_socket
        try:
            s.sendall(json.dumps({"verb": verb, **fields}).encode() + b"\n")
            rows = []
            while True:
                line = reader.readline()
                if not line:
                    raise ground.LabError(f"the control socket closed in the middle of {verb}\nlog {self.log}:\n{self.said()[-2000:]}")
                answer = json.loads(line)
                if "row" in answer:
                    rows.append(answer["row"])
                elif "error" in answer:
                    raise ControlError(answer["error"], answer.get("code"))
                else:
                    return rows, answer
        except (OSError, ValueError, ground.LabError) as e:
            if not isinstance(e, ControlError):
                self.disconnect()
            raise

    def status(self):
        rows, done = self.control("status")
        return rows[0] if len(rows) == 1 else {**done, "rows": rows}

    def queue(self, action="list", **filter):
        """The rows of a queue verb; keywords are the filter."""
        fields = {k: filter.pop(k) for k in ("limit", "count_only") if k in filter}
        if action == "list":
            fields.setdefault("limit", 1000000)
        return self.control("queue", action=action, filter=filter, **fields)[0]

    def change(self, action, count_only=False, **filter):
        """Runs hold, release, retry, bounce or delete; how many it concerned."""
        return self.control("queue", action=action, filter=filter, **({"count_only": True} if count_only else {}))[1]["count"]

    def until_queue(self, count, seconds=20, **filter):
        """Waits until so many recipients are listed; the rows."""
        def look():
            rows = self.queue(**filter)
            return (rows, None) if len(rows) == count else None
        return ground.until(f"{count} recipients in the queue {filter or ''}", look, seconds, log=self.log)[0]

    def until_empty(self, seconds=20):
        self.until_queue(0, seconds)

    def advance_clock(self, seconds):
        return self.control("clock", advance_s=seconds)

    def reload(self):
        return self.control("reload")

    def cli(self, *arguments, check=True, input=None, timeout=60):
        """Runs a verb of the binary as an operator would."""
        done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, input=input, env=self.environ(), cwd=self.folder,
                              timeout=timeout * ground.PATIENCE)
        if SANITIZER.search(done.stderr) or (check and done.returncode != 0):
            raise ground.LabError(f"tidegate {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done

    # ---- events

    def events(self, type=None, **fields):
        path = self.folder / "var/events.jsonl"
        if not path.exists():
            return []
        found = []
        for line in path.read_bytes().split(b"\n"):
            if line:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # the last line, being written, or cut by a kill
                if (type is None or event.get("type", event.get("event")) == type) and all(event.get(k) == v for k, v in fields.items()):
                    found.append(event)
        return found

    def until_event(self, type, count=1, seconds=20, **fields):
        def look():
            found = self.events(type, **fields)
            return len(found) >= count and found
        try:
            found = ground.until(f"{count} event(s) {type} {fields}", look, seconds, log=self.log)
        except ground.LabError as e:
            raise ground.LabError(f"{e}\nthe last events: " + "\n".join(json.dumps(v) for v in self.events()[-8:])) from None
        return found[0] if count == 1 else found

    # ---- mail out, and in

    @property
    def captured(self):
        """What policies.capture() kept."""
        return mail.Maildir(self.folder / "var/capture/in")

    def client_context(self, verify=True):
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def smtp(self, port=None, timeout=20):
        """A smtplib connection to the relay listener."""
        return smtplib.SMTP(self.host, port or self.RELAY, local_hostname="client.example", timeout=timeout * ground.PATIENCE)

    def login(self, timeout=20):
        """A smtplib connection to the submission listener, secured and logged in."""
        s = self.smtp(self.SUBMISSION, timeout)
        s.starttls(context=self.client_context())
        s.login(self.USER, self.PASSWORD)
        return s

    def submit(self, word, to=("bob@example.net",), sender="alice@sender.example", text=None, mail_options=(), rcpt_options=()):
        to = [to] if isinstance(to, str) else list(to)
        with self.smtp() as s:
            raw = text if text is not None else mail.message(word, sender=sender or "nobody@sender.example", to=to[0])
            return s.sendmail(sender, to, raw if isinstance(raw, bytes) else raw.encode(), mail_options, rcpt_options)
