# SPDX-License-Identifier: MIT
"""The Debian package: what `make deb` makes installs, runs as its unit says, explains itself, and goes away without taking mail along."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from lab import ground, mail
from lab.installed import Installed

UNIT = ground.REPOSITORY / "appliance/debian/tidegate.service"


@pytest.fixture(scope="module")
def package():
    found = sorted((ground.REPOSITORY / "build/deb").glob("tidegate_*_amd64.deb"))
    assert found, "there is no package: make deb"
    return found[-1]


@pytest.fixture
def installed(package):
    root = Installed(package)
    yield root
    root.stop()


def files_of(package):
    listed = subprocess.run(["dpkg-deb", "-c", package], check=True, capture_output=True, text=True).stdout
    return {line.split()[5]: line for line in listed.splitlines()}


def test_life(installed, word):
    """Installed, started, mail taken and captured, reloaded, rotated, stopped, removed, purged."""
    installed.dpkg("--install", "/package.deb")
    assert "tidegate" in (installed.root / "etc/passwd").read_text()
    users = installed.root / "etc/tidegate/users"
    assert users.stat().st_mode & 0o777 == 0o640 and (installed.root / "etc/tidegate/dkim").stat().st_mode & 0o777 == 0o750
    assert not list(installed.root.glob("var/lib/tidegate/**/*.pem")), "an installation makes no keys: it may be that of an image"

    installed.start()
    assert installed.run("tidegate", "check").stdout.startswith("/etc/tidegate/tidegate.lua: good")
    assert "passed, 0 failed" in installed.run("tidegate", "test").stdout, "the installed policy keeps its stories"
    looked = installed.run("tidegate", "doctor", "--offline", check=False)
    assert looked.returncode == 1 and "self-signed" in looked.stdout, "nothing is wrong with what is installed, but much is still to do"
    installed.run("bash", "-n", "/usr/share/bash-completion/completions/tidegate")
    fields = dict(l.split(":\t", 1) for l in pathlib.Path(f"/proc/{installed.pid()}/status").read_text().splitlines() if ":\t" in l)
    assert int(fields["CapEff"], 16) == 1 << 10 and int(fields["CapBnd"], 16) == 1 << 10, "the right to bind low ports, and no other"
    assert fields["Uid"].split()[0] != "0"
    key = installed.root / "var/lib/tidegate/tls/key.pem"
    assert key.stat().st_mode & 0o777 == 0o600

    installed.run("tidegate", "passwd", "ann", input="a secret\n")
    assert users.stat().st_mode & 0o777 == 0o640 and users.stat().st_gid != 0, "the gateway can still read it"
    installed.run("tidegate", "reload")
    for server, more in (("127.0.0.1:25", ("--tls", "none")), ("127.0.0.1:587", ("--user", "ann", "--password", "a secret")),
                         ("[::1]:465", ("--user", "ann", "--password", "a secret"))):
        installed.run("tidegate", "send", "--server", server, "--from", "ann@example.com", "--to", "bob@example.net", "--subject", f"about {word}", *more)
    captured = installed.root / "var/lib/tidegate/capture/new"
    ground.until("three messages are captured", lambda: captured.exists() and len(list(captured.iterdir())) == 3)
    assert all(f"about {word}" in m.read_text() for m in captured.iterdir())

    # What logrotate does: the file moves away, the signal opens it anew, whatever state the scripts are in.
    events = installed.root / "var/log/tidegate/events.jsonl"
    (installed.root / "etc/tidegate/scripts/policy.lua").write_text("return {") # in the middle of an edit
    events.rename(events.with_suffix(".1"))
    os.kill(installed.pid(), signal.SIGUSR1)
    ground.until("the file of events is opened anew", events.exists)
    refused = installed.run("tidegate", "reload", check=False)
    assert refused.returncode == 78 and "policy.lua" in refused.stderr
    assert installed.stop_gateway() == 0

    installed.dpkg("--remove", "tidegate")
    assert installed.run("ls", "/usr/bin/tidegate", check=False).returncode != 0 and users.exists() and key.exists()
    gone = installed.dpkg("--purge", "tidegate")
    assert not users.exists() and not key.exists() and not events.exists()
    assert len(list(captured.iterdir())) == 3 and list(installed.root.glob("var/lib/tidegate/queue/*")), "mail stays"
    assert "TIDEGATE_PURGE=everything" in gone.stderr + gone.stdout


def test_purge_of_everything(installed):
    installed.dpkg("--install", "/package.deb")
    installed.start()
    installed.stop_gateway()
    installed.dpkg("--purge", "tidegate", env={"TIDEGATE_PURGE": "everything"})
    left = installed.run("find", "/etc", "/usr", "/var", "/run", "-name", "*tidegate*", "-not", "-path", "/var/lib/dpkg/*").stdout
    assert left == "", left


def test_upgrade_keeps_what_was_edited(installed):
    installed.dpkg("--install", "/package.deb")
    policy = installed.root / "etc/tidegate/scripts/policy.lua"
    edited = policy.read_text() + "-- mine\n"
    policy.write_text(edited)
    (installed.root / "etc/tidegate/users").write_text("ann:!:\n")
    installed.dpkg("--install", "/package.deb")
    assert policy.read_text() == edited and (installed.root / "etc/tidegate/users").read_text() == "ann:!:\n"


def plain(page):
    return re.sub(".\x08", "", page) # bold is overstruck


def test_every_verb_has_a_page_that_renders(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    man = tmp_path / "usr/share/man"
    help_text = subprocess.run([ground.BINARY, "help"], capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"^  ([a-z]+)\b", help_text[help_text.index("VERBS"):help_text.index("OPTIONS")], re.M)
    assert {"run", "queue", "help"} <= set(verbs)
    pages = {p.name[:-3] for p in man.glob("man*/*.gz")}
    assert pages == {"tidegate.1", "tidegate.conf.5", "tidegate-policy.7"} | {f"tidegate-{v}.1" for v in verbs}
    for page in man.glob("man*/*.gz"):
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANROFFOPT": "-ww"})
        assert done.returncode == 0 and not done.stderr, f"{page.name}: {done.stderr}"
        assert "NAME" in plain(done.stdout)
        if page.name == "tidegate.conf.5.gz":
            assert all(key in plain(done.stdout) for key in ("delivery.expire", "limits.recipients", "proxy_from"))


def test_completion_of_both_shells_says_the_same(package, tmp_path):
    """What the shell would offer after some words, asked of the installed scripts with the shell's own offering replaced by a list."""
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    bash = f"""source {tmp_path}/usr/share/bash-completion/completions/tidegate
        ask() {{ COMP_WORDS=(tidegate "$@"); COMP_CWORD=$#; _tidegate; echo "${{COMPREPLY[@]}}"; }}
        compgen() {{ if [[ $1 = -f ]]; then echo FILES; else builtin compgen "$@"; fi; }}"""
    zsh = f"""compadd() {{ shift; print -r -- "$@" }}; _files() {{ print -r -- FILES }}; compdef() {{ : }}
        source {tmp_path}/usr/share/zsh/vendor-completions/_tidegate
        ask() {{ words=(tidegate "$@"); CURRENT=$#words; _tidegate }}"""
    asked = "; ".join(f"ask {line}" for line in ("''", "queue ''", "queue list ''", "--conf ''", "suppression import --format ''", "--json queue ''"))
    offers = [subprocess.run([*shell, f"{before}\n{asked}"], capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
              for shell, before in ((["bash", "--norc", "-c"], bash), (["zsh", "-f", "-c"], zsh))]
    assert offers[0] == offers[1]
    assert "status" in offers[0][0].split() and "hold" in offers[0][1].split() and "--sender" in offers[0][2].split()
    assert offers[0][3:5] == ["FILES", "csv jsonl"] and offers[0][5] == offers[0][1]


def test_unit_is_sandboxed():
    """systemd's own measure, from 0 (closed) to 10."""
    tool = shutil.which("systemd-analyze")
    assert tool, "systemd-analyze is in Debian's package systemd"
    done = subprocess.run([tool, "security", "--offline=true", "--no-pager", "--threshold=20", UNIT], capture_output=True, text=True)
    level = re.search(r"exposure level for tidegate.service: ([0-9.]+)", done.stdout)
    assert done.returncode == 0 and level and float(level.group(1)) <= 2.0, done.stdout[-2000:] + done.stderr
    worse = ground.folder("unit") / "tidegate.service"
    worse.write_text(re.sub(r"(?m)^(Protect|Restrict|Private|SystemCall|Capability|NoNew).*\n", "", UNIT.read_text()))
    assert subprocess.run([tool, "security", "--offline=true", "--no-pager", "--threshold=20", worse], capture_output=True).returncode != 0


def test_package_tells_nothing_of_where_it_was_made(package, tmp_path):
    """No folder of the building machine in the binary, and every file as old as the commit."""
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    assert str(ground.REPOSITORY).encode() not in (tmp_path / "usr/bin/tidegate").read_bytes()
    times = {re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", line).group(0) for line in files_of(package).values()}
    assert len(times) == 1, times
