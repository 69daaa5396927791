# SPDX-License-Identifier: MIT
"""life: what a gateway lives through: start, changed policy, power cut, upgrades good and bad, backup. Each step finds the machine as the
one before left it; the last leaves a backup, out of which a blank machine becomes the same again."""
import shutil
import smtplib
import subprocess
import threading
import time

from ground import BUILT, MAKE, OUT, TOP
from machine import PATIENCE, Machine, until


def first_boot(g):
    took = g.vm.start().until_greets(25)
    g.story.expect(True, f"the image's own boot loader brought it up: greeting after {took:.0f} s")
    g.vm.until_said("Tidegate: slot a")
    g.vm.until_ssh(g.admin)
    state = g.root("cat /proc/cmdline; findmnt -no FSTYPE,OPTIONS /; findmnt -bno SIZE /var/lib/tidegate/queue; systemctl --failed --no-legend; echo --")
    g.story.expect("squashfs ro," in state and "tidegate.slot=a" in state, "the root is the verified slot, read-only", state)
    g.story.expect(any(line.strip().isdigit() and int(line) > 10**9 for line in state.splitlines()), "the queue has grown to the disk's end", state)
    g.story.expect("failed" not in state, "no unit has failed", state)
    ruleset = g.root("nft list ruleset")
    g.story.expect("policy drop" in ruleset and "587" in ruleset, "the firewall drops what is not named", ruleset)
    listening = g.root("ss -Hltun | awk '{ print $1, $5 }' | sort -u")
    open_ports = {line.split()[1].rsplit(":", 1)[1] for line in listening.splitlines() if "127.0.0." not in line and "[::1]" not in line and line.startswith("tcp")}
    g.story.expect(open_ports == {"22", "25", "465", "587"}, f"it listens on {', '.join(sorted(open_ports, key=int))} only", listening)
    rights = g.root("find / -xdev -perm /6000 -type f; find /etc/tidegate/dkim /etc/tidegate/tls /var/lib/appliance/ssh -name '*key*' -perm /007; ls /etc/tidegate/dkim")
    g.story.expect(rights.startswith("tg"), "nothing is setuid, no key is for everyone", rights)
    tools = g.root("which gcc cc make perl python3 apt dpkg 2>/dev/null || true")
    g.story.expect(not tools, "no compiler, no Perl, no Python, no package manager", tools)
    exposure = g.root("systemd-analyze security tidegate.service | tail -n 1").split()
    level = next(float(word) for word in exposure if word.replace(".", "", 1).isdigit())
    g.story.expect(level <= 2.0, f"systemd-analyze security tidegate.service: {level}", " ".join(exposure))
    g.story.note(g.root("free -m | sed -n 2p; systemd-analyze | head -n 1"))
    message = g.mail_passes(g.vm, "first")
    g.story.expect(b"DKIM-Signature" in message and b"d=acme.example" in message, "mail by submission reached the peer, signed by the machine's own key",
                   message.decode(errors="replace"))


def policy_change(g):
    g.root("cd /etc/tidegate/scripts && sed -i 's/^function policy.route/function policy.message() return answer.accept { headers = { { add = \"X-Policy\", value = \"second\" } } } end\\n\\n&/' policy.lua")
    g.shown("tidegate check && tidegate reload")
    message = g.mail_passes(g.vm, "policy")
    g.story.expect(b"X-Policy: second" in message, "a policy changed by ssh and reloaded through the control socket decides the next mail", message.decode(errors="replace"))
    until("the change is committed", 60, lambda: "edited on the machine" in g.root("git -C /etc/tidegate/scripts log --oneline"), 3)
    g.shown("git -C /etc/tidegate/scripts log --oneline")
    g.shown("tidegate status")
    g.shown("tidegate doctor")


def power_cut(g, clients=4, seconds=25):
    acked, stop = [], threading.Event()

    def client():
        smtp = None
        while not stop.is_set():
            token = g.token("cut")
            try:
                smtp = smtp or g.login(g.vm)
                g.submit(g.vm, token, smtp)
                acked.append(token)
            except (OSError, smtplib.SMTPException):
                smtp = None
                stop.wait(1)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    until("some mail is acknowledged", 180, lambda: len(acked) > 20)
    time.sleep(seconds)
    g.vm.kill()
    stop.set()
    for thread in threads:
        thread.join(150 * PATIENCE)
    there = sum(1 for token in acked if g.peer.has(token))
    g.story.expect(True, f"power cut under load: {len(acked)} messages acknowledged, {there} of them delivered by then")
    took = g.vm.start().until_greets(25)
    g.story.expect(True, f"started again: greeting after {took:.0f} s")
    until("every acknowledged message is at the peer", 600, lambda: all(g.peer.has(token) for token in acked), 2)
    twice = sum(1 for token in acked if g.peer.count[token] > 1)
    g.story.expect(True, f"all {len(acked)} acknowledged messages arrived: 0 lost, {twice} twice")


# ---- upgrades

def make_slot(g, version, *replace):
    out = OUT / f"tidegate-{version}.slot"
    subprocess.run([MAKE / "slot", BUILT / "root.tar", TOP / "appliance/root", version, g.key, out, "--gzip-level", "1",
                    *(word for pair in replace for word in ("--replace", pair))], check=True, stdout=subprocess.DEVNULL)
    return out


def bring(g, slot, path):
    with open(slot, "rb") as file:
        g.vm.ssh(g.admin, f"mkdir -p $(dirname {path}) && cat >{path}", stdin=file, seconds=600)
    slot.unlink()


def upgrade_says(g, command, expected):
    said = g.root(f"{command} 2>&1; echo \"exit $?\"", seconds=600, check=False)
    g.story.note(f"# {command}\n{said}")
    g.story.expect(expected in said, f"{command.split()[0]}: {expected}", said)


def version_runs(g, version, seconds=900):
    def ask():
        g.vm.alive()
        try:
            status = g.root("tidegate-upgrade --status", check=False, seconds=90)
        except subprocess.TimeoutExpired:
            return ""
        return status if f"running    version {version}," in status and "healthy" in status and "trial" not in status.splitlines()[0] else ""
    return until(f"version {version} runs and is well ({g.vm.log})", seconds, ask, 3)


def upgrade(g):
    good = make_slot(g, "99.2")
    spoilt = OUT / "spoilt.slot"
    shutil.copyfile(good, spoilt)
    with open(spoilt, "r+b") as file:
        file.seek(spoilt.stat().st_size // 2)
        file.write(b"!")
    there = "/var/lib/appliance/new.slot"
    bring(g, spoilt, there)
    upgrade_says(g, f"tidegate-upgrade {there}", "is damaged: its content is not what was signed")
    began = time.monotonic()
    mark = g.vm.mark()
    bring(g, good, there)
    upgrade_says(g, f"tidegate-upgrade {there}", "on trial from the next start")
    g.vm.until_said("Tidegate: slot b .*try=b tries=2", since=mark)
    g.story.expect(True, "the boot loader starts the other slot on trial")
    g.story.note(version_runs(g, "99.2"))
    g.story.expect(True, f"version 99.2 proved itself and stays, {time.monotonic() - began:.0f} s after the upgrade began")
    g.root(f"rm {there}")
    g.mail_passes(g.vm, "upgraded")
    g.story.expect(True, "mail passes; the operator's policy and keys are as they were")


def broken_upgrade(g):
    """It comes the way updates come by night: the place that they are looked for in has a new version, signed, and no good."""
    broken, place = OUT / "broken", "/var/lib/appliance/archive"
    broken.write_text("#!/bin/sh\necho 'this version is broken' >&2\nexit 1\n")
    broken.chmod(0o755)
    bad = make_slot(g, "99.3", f"usr/bin/tidegate={broken}")
    bring(g, bad, f"{place}/{bad.name}")
    g.root(f"echo {bad.name} >{place}/latest && tidegate-setup upgrade_source file:{place}")
    g.shown("systemctl list-timers --no-pager tidegate-update.timer")
    mark, began = g.vm.mark(), time.monotonic()
    g.root("systemctl start --no-block tidegate-update")
    g.vm.until_said("Tidegate: slot a .*try=a tries=2", since=mark, seconds=900)
    g.story.expect(True, f"the nightly look found version 99.3, verified and wrote it, and started it on trial, after {time.monotonic() - began:.0f} s")
    version_runs(g, "99.2", 1500)
    status = g.root("tidegate-upgrade --status")
    g.story.note("\n".join(line for line in g.vm.said(mark).splitlines() if "bless[" in line or "Tidegate: slot" in line) + f"\n# tidegate-upgrade --status\n{status}")
    g.story.expect("99.3" in status and "failed its trial" in status, f"broken version 99.3 was taken back by itself, {time.monotonic() - began:.0f} s after it came", status)
    upgrade_says(g, "tidegate-update", "version 99.3 failed here before")
    g.root(f"rm -r {place}; tidegate-setup upgrade_source ''")
    g.mail_passes(g.vm, "returned")
    g.story.expect(True, "mail passes")


# ---- backup, and a machine made out of it

def backup(g):
    g.root("tidegate suppression add gone@example.net --reason test")
    data = g.vm.ssh(g.admin, "tidegate-backup -", seconds=300)
    (OUT / "backup.tar.zst").write_bytes(data)
    (OUT / "backup.keys").write_text(g.root("cat /var/lib/appliance/selector; sha256sum /etc/tidegate/tls/key.pem"))
    g.vm.kill()
    g.story.expect(len(data) > 2000, f"backup: {len(data)} bytes")


def claim(g, blank):
    mark = blank.mark()
    blank.type("4\n")
    # The page may be just being drawn: what was typed waits until it is there.
    blank.until_said(r"public key .*: $", 240, since=mark)
    blank.type(g.public() + "\n")
    blank.until_said("Enter goes on", 300, since=mark)


def blank_machine(g):
    """No seed: claimed at its console, made the machine of the backup, and then nobody's again."""
    blank = Machine(OUT, g.image, "blank", peer_port=g.peer.port)
    try:
        blank.start()
        blank.until_said("health: healthy")
        closed = not any(blank.greeting(port, 5) for port in (22, 25, 587))
        g.story.expect(closed, "a blank machine takes no mail and no ssh before it is claimed")
        screen = blank.said()
        g.story.note(screen[screen.rindex("Tidegate "):])
        claim(g, blank)
        blank.until_ssh(g.admin)
        g.story.expect(True, "claimed on the console by an administrator's key: ssh opens")
        mark = blank.mark()
        with open(OUT / "backup.tar.zst", "rb") as file:
            g.story.note("# tidegate-restore -\n" + blank.ssh(g.admin, "tidegate-restore - 2>&1", stdin=file).decode())
        blank.until_said("Tidegate: slot a", since=mark)
        blank.until_greets(587)
        blank.until_ssh(g.admin)
        now = blank.ssh(g.admin, "cat /var/lib/appliance/selector; sha256sum /etc/tidegate/tls/key.pem").decode()
        g.story.expect(now == (OUT / "backup.keys").read_text(), "restored: its keys are those of the machine that was backed up", now)
        message = g.mail_passes(blank, "restored")
        g.story.expect(b"X-Policy: second" in message and b"DKIM-Signature" in message, "its users log in, its policy decides, its key signs", message.decode(errors="replace"))
        gone = blank.ssh(g.admin, "tidegate suppression has gone@example.net", check=False).decode()
        g.story.expect("gone@example.net" in gone, "its suppression list is there", gone)
        mark = blank.mark()
        blank.ssh(g.admin, "tidegate-setup --factory-reset", check=False)
        blank.until_said("NOT CLAIMED", since=mark)
        g.story.expect(not blank.greeting(22, 5) and not blank.greeting(587, 5), "factory reset: a blank machine again")
    finally:
        blank.kill()
