# SPDX-License-Identifier: MIT
"""What keeps an appliance safe while nobody looks, without a machine: the nightly look for updates, backup and restore, the firewall.

The machine itself is tests/appliance/run (make appliance-test).
"""
import os
import subprocess
import textwrap

import pytest
from lab.appliance import LIB, ROOT, Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "machine")


# ---- updates by night

@pytest.fixture
def archive(place, tmp_path):
    """A place where updates lie; tidegate-upgrade only says what it was given."""
    folder = tmp_path / "archive"
    folder.mkdir()
    place.command("tidegate-upgrade", 'echo "upgrade $(basename "$1"): $(cat "$1")"')
    place.run("settings", "set", "upgrade_source", f"file:{folder}")
    lib = tmp_path / "lib"
    lib.mkdir()
    for path in LIB.iterdir():
        (lib / path.name).symlink_to(path)
    (lib / "version").write_text("1.2.3\n")
    place.environment["APPLIANCE_LIB"] = str(lib)

    def publish(latest, content="the new version"):
        (folder / "latest").write_text(latest + "\n")
        if "/" not in latest:
            (folder / latest).write_text(content)
    return publish


def test_a_new_version_is_fetched_and_handed_over(place, archive):
    archive("tidegate-1.2.4.slot")
    done = place.run("tidegate-update")
    assert (done.returncode, done.stdout) == (0, "upgrade tidegate-1.2.4.slot: the new version\n"), done.stderr
    assert not (place.state / "update").exists(), "what was fetched does not stay"


def test_the_version_that_runs_is_left_alone(place, archive):
    archive("tidegate-1.2.3.slot")
    assert (place.run("tidegate-update").returncode, place.run("tidegate-update").stdout) == (0, "")


@pytest.mark.parametrize("said", ["version 1.2.4 in slot b failed its trial; going back:\nhealth: no greeting on port 25", "version 1.2.4 did not start; back on version 1.2.3"])
def test_a_version_that_failed_is_not_tried_again(place, archive, said):
    (place.state / "upgrade").write_text(said + "\n")
    archive("tidegate-1.2.4.slot")
    done = place.run("tidegate-update")
    assert done.returncode == 0 and "failed here before" in done.stdout and "upgrade " not in done.stdout
    archive("tidegate-1.2.5.slot")
    assert "upgrade tidegate-1.2.5.slot" in place.run("tidegate-update").stdout, "the next one is"


@pytest.mark.parametrize("name", ["../../etc/passwd", "tidegate-1.2.4.slot;reboot", "/etc/tidegate-1.2.4.slot", "<html>", ""])
def test_a_name_that_is_none_is_refused(place, archive, name):
    archive("tidegate-1.2.4.slot")
    (place.path.parent / "archive/latest").write_text(name + "\n")
    done = place.run("tidegate-update")
    assert done.returncode != 0 and "names no update" in done.stderr and "upgrade " not in done.stdout


def test_a_source_that_is_gone_is_said_and_changes_nothing(place, archive):
    done = place.run("tidegate-update")
    assert done.returncode != 0 and done.stderr and not (place.state / "update").exists()


def test_without_a_source_nothing_is_asked(place):
    place.command("curl", "echo asked; exit 1")
    done = place.run("tidegate-update")
    assert (done.returncode, done.stdout) == (0, "")


# ---- backup and restore

def machine(path, name):
    """A machine with keys, scripts under git and a gateway that keeps its suppression list in a file."""
    place = Place(path)
    place.command("tidegate", f'case "$2" in export) cat {path}/suppressed ;; import) cp "$3" {path}/suppressed ;; esac')
    place.command("systemctl", f'echo "$*" >>{path}/systemctl')
    (path / "suppressed").write_text(f"gone@{name}\n")
    place.run("settings", "set", "hostname", name)
    place.run("settings", "set", "claimed", "2026-01-01T00:00:00Z")
    assert place.run("keys").returncode == 0
    (place.conf / "users").write_text(f"app:{name}\n")
    (place.conf / "scripts").mkdir()
    (place.conf / "scripts/policy.lua").write_text(f"-- of {name}\n")
    assert place.run("keep", "the first").returncode == 0
    return place


def content(place):
    """Everything that makes it what it is."""
    files = [path for folder in (place.conf, place.state / "ssh") for path in sorted(folder.rglob("*")) if path.is_file()]
    found = {str(path.relative_to(place.path)): (path.stat().st_mode & 0o777, path.read_bytes()) for path in files}
    return found, (place.state / "settings").read_text(), (place.state / "selector").read_text(), (place.path / "suppressed").read_text()


def test_a_backup_makes_another_machine_the_same(tmp_path):
    old, new = machine(tmp_path / "old", "old.example"), machine(tmp_path / "new", "new.example")
    assert content(old) != content(new)
    assert old.run("tidegate-backup", tmp_path / "backup").returncode == 0
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600, "it holds keys"
    done = new.run("tidegate-restore", tmp_path / "backup")
    assert done.returncode == 0 and "restoring old.example" in done.stdout, done.stderr
    assert content(old) == content(new)
    assert "the first" in subprocess.run(["git", "-C", new.conf / "scripts", "log", "--oneline"], capture_output=True, text=True, check=True).stdout
    assert (new.path / "systemctl").read_text().splitlines() == ["stop tidegate", "--no-block reboot"]
    assert not (new.state / "restore").exists()


def test_a_backup_by_a_pipe_is_the_same(tmp_path):
    old, new = machine(tmp_path / "old", "old.example"), machine(tmp_path / "new", "new.example")
    piped = old.run("tidegate-backup", "-", text=False).stdout
    assert new.run("tidegate-restore", "-", text=False, input=piped).returncode == 0
    assert content(old) == content(new)


@pytest.mark.parametrize("harm", ["cut", "changed", "other"])
def test_a_damaged_backup_changes_nothing(tmp_path, harm):
    old, new = machine(tmp_path / "old", "old.example"), machine(tmp_path / "new", "new.example")
    backup, folder = tmp_path / "backup", tmp_path / "unpacked"
    assert old.run("tidegate-backup", backup).returncode == 0
    if harm == "cut":
        backup.write_bytes(backup.read_bytes()[:-500])
    elif harm == "other":
        subprocess.run(["tar", "-C", old.conf, "-I", "zstd", "-cf", backup, "."], check=True)
    else:
        folder.mkdir()
        subprocess.run(["tar", "-C", folder, "-I", "zstd", "-xf", backup], check=True)
        (folder / "tidegate-backup/etc/users").write_text("mallory:\n")
        subprocess.run(["tar", "-C", folder, "-I", "zstd", "-cf", backup, "tidegate-backup"], check=True)
    before = content(new)
    done = new.run("tidegate-restore", backup)
    assert done.returncode != 0 and "backup" in done.stderr
    assert content(new) == before and not (new.path / "systemctl").exists()


def test_no_backup_without_the_suppression_list(tmp_path):
    place = machine(tmp_path / "old", "old.example")
    place.command("tidegate", "exit 69")
    done = place.run("tidegate-backup", tmp_path / "backup")
    assert done.returncode != 0 and "suppression list" in done.stderr and not (tmp_path / "backup").exists()


def test_half_a_backup_is_none(tmp_path):
    place = machine(tmp_path / "old", "old.example")
    place.command("tar", "echo half; exit 2")
    assert place.run("tidegate-backup", tmp_path / "backup").returncode != 0 and not (tmp_path / "backup").exists()


# ---- the firewall, in a network of its own with a neighbour

KNOCK = """
import socket, sys
found = []
for family, host in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
    for port in map(int, sys.argv[1:]):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(0.4)
        try:
            s.connect((host, port))
            found.append(str(port))
        except OSError:
            pass
print(*found)
"""
LISTEN = """
import socket, sys
made = [socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True) for port in sys.argv[1:]]
print("listening", flush=True)
sys.stdin.read()
"""
NETWORK = """
set -eu
ip link set lo up
unshare -n sleep 60 & peer=$!
trap 'kill $peer $listener' EXIT
coproc LISTENER { exec /usr/bin/python3 -c "$LISTEN" 22 25 465 587 8080; }
listener=$LISTENER_PID
read -r _ <&"${LISTENER[0]}"
for try in $(seq 100); do [ "$(readlink /proc/$peer/ns/net)" = "$(readlink /proc/self/ns/net)" ] || break; sleep 0.05; done
ip link add gate type veth peer name client netns $peer
ip addr add 192.0.2.1/24 dev gate; ip -6 addr add 2001:db8::1/64 dev gate nodad; ip link set gate up
nsenter -t $peer -n sh -c 'ip addr add 192.0.2.2/24 dev client; ip -6 addr add 2001:db8::2/64 dev client nodad; ip link set client up'
nft -f "$RULES"
"$FIREWALL"
nsenter -t $peer -n /usr/bin/python3 -c "$KNOCK" 22 25 465 587 8080
"""


@pytest.mark.parametrize("settings, key, doors", [({}, False, ""), ({"claimed": "2026-01-01"}, False, "465 587"), ({"claimed": "2026-01-01"}, True, "22 465 587"),
                                                  ({"claimed": "2026-01-01", "ports": "25 587"}, True, "22 25 587"), ({"ports": "25"}, True, "22")])
def test_only_the_doors_that_settings_name_are_open(place, settings, key, doors):
    if os.geteuid() != 0:
        pytest.skip("a network of its own needs root")
    if subprocess.run(["unshare", "-n", "nft", "list", "ruleset"], capture_output=True).returncode:
        pytest.skip("this kernel has no nf_tables")
    for name, value in settings.items():
        assert place.run("settings", "set", name, value).returncode == 0
    if key:
        (place.state / "admin_keys").write_text("ssh-ed25519 AAAA\n")
    environment = {**place.environment, "RULES": str(ROOT / "etc/nftables.conf"), "FIREWALL": str(LIB / "firewall"), "KNOCK": textwrap.dedent(KNOCK), "LISTEN": LISTEN}
    done = subprocess.run(["unshare", "-n", "bash", "-c", NETWORK], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == doors.split() * 2, "the same by IPv4 and IPv6"
