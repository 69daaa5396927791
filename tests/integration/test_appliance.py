# SPDX-License-Identifier: MIT
"""The appliance's scripts and its assembler, without a machine: seeds, settings, GRUB's environment, signatures, the disk's layout.

The machine itself is tests/appliance/run (make appliance-test).
"""
import importlib.machinery
import importlib.util
import os
import struct
import subprocess
import textwrap

import pytest
from lab.appliance import LIB, TOP, Place

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHzQ3ZWY4UkNl0PzEvVZ5Yd6aS0pHq6hG5Tt0S1mXoTQ operator"


def module(path):
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))
    loader.exec_module(made)
    return made


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.parametrize("key, value", [("hostname", "mail.example.org"), ("address", "dhcp"), ("address", "192.0.2.7/24 2001:db8::7/64"),
                                        ("relay", "smtp.example.net:587"), ("relay", "[2001:db8::1]:25"), ("relay", "direct"), ("ports", "25 465 587"),
                                        ("relay_login", "user:pass:word"), ("upgrade_source", "https://updates.example.net/tidegate")])
def test_a_setting_is_kept(place, key, value):
    assert place.run("settings", "set", key, value).returncode == 0
    assert place.setting(key) == value
    assert place.run("settings", "set", key, "").returncode == 0
    assert place.setting(key) == ""


@pytest.mark.parametrize("key, value", [("hostname", "mail example"), ("hostname", "-x.example"), ("hostname", "a\nclaimed = x"), ("address", "192.0.2.7"),
                                        ("relay", "a b"), ("ports", "25;drop"), ("relay_login", "nobody"), ("upgrade_source", "http://plain.example"),
                                        ("relay_tls", "maybe"), ("nonsense", "1"), ("dns", "$(reboot)")])
def test_a_wrong_setting_is_refused_and_changes_nothing(place, key, value):
    place.run("settings", "set", "hostname", "before.example")
    done = place.run("settings", "set", key, value)
    assert done.returncode != 0 and key in done.stderr
    assert place.run("settings", "list").stdout == "hostname = before.example\n"


def test_a_seed_of_our_own(place, tmp_path):
    seed = tmp_path / "seed"
    (seed / "scripts").mkdir(parents=True)
    (seed / "scripts" / "policy.lua").write_text("return {}\n")
    (seed / "tidegate.conf").write_text(f"# a comment\r\nhostname=mail.acme.example\r\nrelay =  direct  \nadmin_key = {PUBLIC}\n"
                                        "user = app:$y$j9T$abc$def:from=*@acme.example\nunknown = 1\nrelay_from = 10.0.0.0/8")
    done = place.run("take", seed)
    assert done.returncode == 0 and "unknown" in done.stderr and "1 lines" in done.stderr
    assert (place.setting("hostname"), place.setting("relay"), place.setting("relay_from")) == ("mail.acme.example", "direct", "10.0.0.0/8")
    assert place.setting("claimed"), "whoever gives a seed owns the machine"
    assert (place.state / "admin_keys").read_text() == PUBLIC + "\n"
    assert (place.state / "admin_keys").stat().st_mode & 0o777 == 0o600
    assert (place.conf / "users").read_text() == "app:$y$j9T$abc$def:from=*@acme.example\n"
    assert (place.conf / "scripts" / "policy.lua").read_text() == "return {}\n"


def test_a_seeded_user_takes_the_place_of_his_own_line_alone(place, tmp_path):
    place.conf.mkdir(parents=True, exist_ok=True)
    (place.conf / "users").write_text("a.b:$y$old\naxb:$y$his\n")
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "tidegate.conf").write_text("user = a.b:$y$new\n")
    assert place.run("take", tmp_path / "seed").returncode == 0
    assert (place.conf / "users").read_text() == "axb:$y$his\na.b:$y$new\n"


PROXMOX = {"meta-data": "instance-id: 8f2d\n", "user-data": f"""\
    #cloud-config
    hostname: gate
    manage_etc_hosts: true
    fqdn: gate.acme.example
    user: root
    ssh_authorized_keys:
      - {PUBLIC}
    chpasswd:
      expire: False
    users:
      - default
    package_upgrade: true
    """, "network-config": """\
    version: 1
    config:
        - type: physical
          name: eth0
          mac_address: 'bc:24:11:2f:9a:01'
          subnets:
          - type: static
            address: '192.0.2.10'
            netmask: '255.255.255.192'
            gateway: '192.0.2.1'
          - type: static6
            address: '2001:db8::10/64'
            gateway: '2001:db8::1'
        - type: nameserver
          address:
          - '192.0.2.53'
          - '2001:db8::53'
          search:
          - 'acme.example'
    """}
LIBVIRT = {"meta-data": "instance-id: x\nlocal-hostname: gate.acme.example\n", "user-data": f"#cloud-config\nssh_authorized_keys: ['{PUBLIC}']\n",
           "network-config": """\
    version: 2
    ethernets:
      id0:
        match:
          name: en*
        addresses: [192.0.2.10/26, "2001:db8::10/64"]
        routes:
          - to: default
            via: 192.0.2.1
        nameservers:
          search: [acme.example]
          addresses:
            - 192.0.2.53
    """}


@pytest.mark.parametrize("files, gateway, dns", [(PROXMOX, "192.0.2.1 2001:db8::1", "192.0.2.53 2001:db8::53"), (LIBVIRT, "192.0.2.1", "192.0.2.53")])
def test_a_seed_of_nocloud(place, tmp_path, files, gateway, dns):
    seed = tmp_path / "cidata"
    seed.mkdir()
    for name, text in files.items():
        (seed / name).write_text(textwrap.dedent(text))
    done = place.run("take", seed)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert place.setting("hostname") == "gate.acme.example"
    assert place.setting("address") == "192.0.2.10/26 2001:db8::10/64"
    assert (place.setting("gateway"), place.setting("dns")) == (gateway, dns)
    assert (place.state / "admin_keys").read_text().split()[1] == PUBLIC.split()[1]


def test_nocloud_with_dhcp_and_nonsense(place, tmp_path):
    seed = tmp_path / "cidata"
    seed.mkdir()
    (seed / "meta-data").write_text('local-hostname: "gate;reboot"\n')
    (seed / "user-data").write_text("#!/bin/sh\nreboot\n")
    (seed / "network-config").write_text("version: 2\nethernets:\n  eth0:\n    dhcp4: true\n")
    assert place.run("take", seed).returncode == 0
    assert (place.setting("hostname"), place.setting("address")) == ("", "dhcp")


def test_grubs_environment_is_written_in_place(place, tmp_path):
    disk = module(TOP / "appliance/make/disk")
    env = tmp_path / "grubenv"
    env.write_bytes(disk.environment([("ok", "a"), ("try", ""), ("tries", "")]))
    inode = env.stat().st_ino
    assert place.run("grubenv", env, "set", "try=b", "tries=3").returncode == 0
    assert env.stat().st_ino == inode and env.stat().st_size == 1024
    data = env.read_bytes()
    assert data.startswith(b"# GRUB Environment Block\n") and data.rstrip(b"#").endswith(b"\n") and len(data.rstrip(b"#")) < 512
    assert [place.run("grubenv", env, "get", key).stdout.strip() for key in ("ok", "try", "tries")] == ["a", "b", "3"]
    assert place.run("grubenv", env, "set", "x=" + "y" * 600).returncode != 0
    assert env.read_bytes() == data
    env.write_bytes(b"\0" * 1024)
    assert place.run("grubenv", env, "set", "try=b").returncode != 0


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.pem"], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub"], check=True)
    return folder


@pytest.fixture
def update(place, keys, tmp_path):
    """A signed file, and a library folder that trusts its key."""
    slot = module(TOP / "appliance/make/slot")
    lib = tmp_path / "lib"
    lib.mkdir()
    for path in LIB.iterdir():
        (lib / path.name).symlink_to(path)
    (lib / "release.pub").write_bytes((keys / "ours.pub").read_bytes())
    place.environment["APPLIANCE_LIB"] = str(lib)

    def make(key="ours"):
        file = tmp_path / f"{key}.slot"
        file.write_bytes(os.urandom(64 * 4096))
        slot.sign(file, "1.2.3", keys / f"{key}.pem")
        return file
    return make


def test_a_signed_update_is_known(place, update):
    done = place.run("verify-slot", update())
    assert (done.returncode, done.stdout) == (0, "1.2.3\n"), done.stderr


def test_an_update_signed_by_somebody_else_is_refused(place, update):
    done = place.run("verify-slot", update("theirs"))
    assert done.returncode != 0 and "nobody this machine trusts" in done.stderr


@pytest.mark.parametrize("where, word", [(100, "damaged"), (64 * 4096 - 1, "damaged"), (64 * 4096 + 24, "nobody this machine trusts")])
def test_an_update_with_a_changed_byte_is_refused(place, update, where, word):
    file = update()
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)
    done = place.run("verify-slot", file)
    assert done.returncode != 0 and word in done.stderr, done.stderr


@pytest.mark.parametrize("cut", [1, 4096, 64 * 4096 + 1])
def test_an_update_that_was_cut_short_is_refused(place, update, cut):
    file = update()
    file.write_bytes(file.read_bytes()[:-cut])
    assert place.run("verify-slot", file).returncode != 0


def test_a_certificate_and_a_foreign_key_are_refused(place, tmp_path):
    for name in ("one", "two"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout",
                        tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"], check=True, capture_output=True)
    assert place.run("certificate", tmp_path / "one.pem", tmp_path / "one.key").returncode == 0
    done = place.run("certificate", tmp_path / "two.pem", tmp_path / "one.key")
    assert done.returncode != 0 and "do not belong together" in done.stderr
    assert (place.conf / "tls/cert.pem").read_bytes() == (tmp_path / "one.pem").read_bytes()


def test_the_disks_layout_and_its_numbers():
    disk = module(TOP / "appliance/make/disk")
    rows, size = disk.layout()
    assert [row[0] for row in rows] == ["tg-bios", "tg-esp", "tg-root-a", "tg-root-b", "tg-var", "tg-queue"]
    end = 1 << 20
    for _, at, length, _ in rows:
        assert at == end and at % (1 << 20) == 0
        end = at + length
    assert size >= end + 34 * 512, "the second table of partitions has room"
    assert size - rows[-1][1] > 2 << 30, "as it is shipped, the queue has room for mail"
    assert disk.uuid("tg-var") == disk.uuid("tg-var") != disk.uuid("tg-queue")
    repart = (TOP / "appliance/root/usr/lib/repart.d/60-queue.conf").read_text()
    assert disk.QUEUE.lower() in repart, "what grows is what the disk calls the queue"


def test_a_slots_block_lies_where_the_initramfs_looks(tmp_path):
    slot = module(TOP / "appliance/make/slot")
    if not any(os.access(f"{folder}/veritysetup", os.X_OK) for folder in ("/usr/sbin", "/sbin", "/usr/bin")):
        pytest.skip("veritysetup is not installed (make appliance does)")
    file = tmp_path / "some.slot"
    used = 5 * 4096 + 123
    file.write_bytes((b"hsqs" + b"\0" * 36 + struct.pack("<Q", used)).ljust(used, b"x"))
    roothash = slot.seal(file, "7.0")
    data = file.read_bytes()
    block = data[6 * 4096:7 * 4096].rstrip(b"\0").decode()
    assert block == f"TIDEGATE-SLOT 1\nversion=7.0\nroothash={roothash}\n"
    assert data[7 * 4096:].startswith(b"verity\0\0")


def test_the_policy_of_the_appliance_holds_mail_until_it_has_a_way(tmp_path):
    """The shipped configuration and policy load, with every kind of relay setting."""
    factory = TOP / "appliance/root/usr/share/factory/var/lib/appliance/etc"
    subprocess.run(["cp", "-r", f"{factory}/.", tmp_path], check=True)
    (tmp_path / "tls").mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x", "-keyout",
                    tmp_path / "tls/key.pem", "-out", tmp_path / "tls/cert.pem"], check=True, capture_output=True)
    conf = (tmp_path / "tidegate.lua").read_text().replace("/usr/share/tidegate/stdlib", str(TOP / "stdlib")).replace("/var/lib/tidegate", str(tmp_path))
    (tmp_path / "tidegate.lua").write_text(conf.replace("/run/tidegate", str(tmp_path)))
    for folder in ("store", "capture", "log"):
        (tmp_path / "queue" / folder).mkdir(parents=True)
    for relay in ('"none"', '"direct"', '{ host = "192.0.2.1", port = 25, tls = "none" }, relay_tls = "none"',
                  '{ host = "smtp.example.net", port = 587, login = { user = "u", password = "p" } }, relay_tls = "verify"'):
        (tmp_path / "scripts/appliance.lua").write_text(f'return {{ claimed = true, domain = "a.example", selector = "s", key = "dkim/s.pem", relay = {relay} }}\n')
        done = subprocess.run([os.environ.get("TIDEGATE_BINARY", TOP / "build/tidegate"), "check", "--conf", tmp_path / "tidegate.lua"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_scripts_please_shellcheck():
    scripts = [path for folder in ("make", "initramfs", "root") for path in sorted((TOP / "appliance" / folder).rglob("*"))
               if path.is_file() and not path.is_symlink() and path.open("rb").readline(40).startswith((b"#!/bin/sh", b"#!/bin/bash", b"# shellcheck"))]
    assert len(scripts) > 20
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_machines_own_certificate_follows_its_name_and_a_given_one_stays(place, tmp_path):
    def subject():
        return subprocess.run(["openssl", "x509", "-in", place.conf / "tls/cert.pem", "-noout", "-subject"], capture_output=True, text=True).stdout.strip()

    for name in ("first.example", "second.example"):
        place.run("settings", "set", "hostname", name)
        assert place.run("keys").returncode == 0
        assert subject().endswith(name)
    kept = sorted(path.read_bytes() for path in (place.conf / "dkim").iterdir())
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=given.example", "-keyout",
                    tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    assert place.run("certificate", tmp_path / "cert", tmp_path / "key").returncode == 0
    assert place.run("keys").returncode == 0
    assert subject().endswith("given.example")
    assert sorted(path.read_bytes() for path in (place.conf / "dkim").iterdir()) == kept, "DKIM's key is made once"
