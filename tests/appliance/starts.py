# SPDX-License-Identifier: MIT
"""starts: the other ways to a first start: seeds on disks, as operators, Proxmox and libvirt write them, and other firmware."""
import base64
import ssl
import subprocess
import textwrap

from ground import OUT, TOP
from machine import Machine

FACTORY = TOP / "appliance/root/usr/share/factory/var/lib/appliance/etc/scripts/policy.lua"


def fat(name, label, folder):
    """A disk with one FAT file system, and the folder's content in it."""
    image = OUT / f"{name}.img"
    image.unlink(missing_ok=True)
    subprocess.run(["mformat", "-C", "-i", image, "-T", "4096", "-v", label, "::"], check=True)
    subprocess.run(["mcopy", "-s", "-i", image, *sorted(folder.iterdir()), "::"], check=True)
    return image


def iso(name, files):
    """A disc as Proxmox and virt-install make them: ISO 9660 with Rock Ridge and Joliet, labelled cidata."""
    folder, image = OUT / f"{name}.files", OUT / f"{name}.iso"
    folder.mkdir(exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(textwrap.dedent(text))
    subprocess.run(["genisoimage", "-quiet", "-joliet", "-rational-rock", "-volid", "cidata", "-output", image, folder], check=True, capture_output=True)
    return image


def settings_of(g, vm):
    return dict(line.split(" = ", 1) for line in g.root("tidegate-setup", vm).splitlines())


def seed_disk(g):
    """A disk labelled TIDEGATE: settings, users, a policy and a certificate of the operator's."""
    folder = OUT / "seed-disk"
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "tidegate.conf").write_text(f"{g.settings()}admin_key = {g.public()}\n")
    (folder / "users").write_text(g.users.read_text())
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=mail.acme.example", "-addext",
                    "subjectAltName=DNS:mail.acme.example", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    shipped = FACTORY.read_text()
    (folder / "scripts/policy.lua").write_text(shipped.replace(
        "function policy.route", 'function policy.message() return answer.accept { headers = { { add = "X-Policy", value = "from the disk" } } } end\n\nfunction policy.route', 1))
    vm = Machine(OUT, g.image, "seed_disk", peer_port=g.peer.port, more=["-drive", f"file={fat('seed', 'TIDEGATE', folder)},if=virtio,format=raw,readonly=on"])
    try:
        took = vm.start().until_greets(587)
        vm.until_ssh(g.admin)
        g.story.expect(settings_of(g, vm)["hostname"] == "mail.acme.example", f"a disk labelled TIDEGATE (FAT, virtio) made it mail.acme.example: greeting after {took:.0f} s")
        shown = ssl.get_server_certificate(("127.0.0.1", vm.ports[465]), timeout=120)
        g.story.expect(shown.strip() == (folder / "cert.pem").read_text().strip(), "it shows the operator's certificate", shown)
        message = g.mail_passes(vm, "disk")
        g.story.expect(b"X-Policy: from the disk" in message and b"DKIM-Signature" in message, "the operator's user logs in, the operator's policy decides", message.decode(errors="replace"))
    finally:
        vm.kill()


def proxmox(g):
    return {"meta-data": "instance-id: 4d2f6a3c\n", "user-data": f"""\
        #cloud-config
        hostname: gate
        manage_etc_hosts: true
        fqdn: gate.acme.example
        user: operator
        ssh_authorized_keys:
          - {g.public()}
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
                address: '10.0.2.20'
                netmask: '255.255.255.0'
                gateway: '10.0.2.2'
            - type: nameserver
              address:
              - '10.0.2.3'
              search:
              - 'acme.example'
        """}


def libvirt(g):
    return {"meta-data": "instance-id: gate\nlocal-hostname: gate.acme.example\n", "user-data": f"""\
        #cloud-config
        ssh_authorized_keys:
          - {g.public()}
        disable_root: false
        """, "network-config": """\
        version: 2
        ethernets:
          primary:
            match:
              name: "en*"
            dhcp4: true
        """}


def seed_cloud(g, name, *expected, **machine):
    vm = Machine(OUT, g.image, name, **machine)
    try:
        took = vm.start().until_greets(587)
        vm.until_ssh(g.admin)
        found = settings_of(g, vm)
        g.story.expect(found["hostname"] == "gate.acme.example" and found.get("claimed"), f"{name}: it is gate.acme.example, and claimed: greeting after {took:.0f} s", str(found))
        state = g.root("hostname; ip -4 -o addr show scope global; ip route show default; systemctl --failed --no-legend", vm)
        g.story.expect(all(words in state for words in expected) and "failed" not in state, f"{name}: it has {', '.join(expected)}, and no unit failed", state)
        g.story.expect(not vm.greeting(25, 5).startswith("220"), f"{name}: port 25 stays closed, as nobody asked for it")
    finally:
        vm.kill()


def seed_proxmox(g):
    """As Proxmox does it: an IDE drive on the old board, network-config version 1, a static address."""
    disc = iso("proxmox", proxmox(g))
    seed_cloud(g, "proxmox", "inet 10.0.2.20/24", "default via 10.0.2.2", address="10.0.2.20", more=["-drive", f"file={disc},if=ide,index=2,media=cdrom,readonly=on"])


def seed_libvirt(g):
    """As virt-install does it, on the new board with the disc on a SCSI bus: network-config version 2, DHCP
    (which names no router here: the guest is to reach nobody)."""
    disc = iso("libvirt", libvirt(g))
    seed_cloud(g, "libvirt", "inet 10.0.2.15/24", more=["-machine", "q35", "-device", "virtio-scsi-pci", "-drive", f"file={disc},if=none,id=seed,media=cdrom,readonly=on",
                                                "-device", "scsi-cd,drive=seed"])


# ---- firmware

def unsigned_loader(g):
    """A copy of the image whose loader nobody signed: Secure Boot must refuse it."""
    image, loader = OUT / "unsigned.raw", OUT / "unsigned.efi"
    subprocess.run(["cp", "--sparse=always", g.image, image], check=True)
    subprocess.run(["grub-mkimage", "-O", "x86_64-efi", "-p", "/grub", "-o", loader, "normal", "part_gpt", "fat", "linux", "echo"], check=True)
    subprocess.run(["mcopy", "-o", "-i", f"{image}@@2M", loader, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    vm = Machine(OUT, image, "unsigned", firmware="secureboot")
    try:
        vm.start()
        vm.until_said("Security Violation|Access Denied", 300)
        g.story.expect("Tidegate: slot" not in vm.said(), "Secure Boot refuses the same disk with a loader that nobody signed")
    finally:
        vm.kill()
        image.unlink()


def firmwares(g):
    """UEFI with the seed in SMBIOS, which other hypervisors have too; Secure Boot with the seed by fw_cfg."""
    seed = base64.b64encode(g.seed.read_bytes()).decode()
    smbios = OUT / "smbios"
    smbios.write_text(f"io.systemd.credential.binary:tidegate.config={seed}")
    for firmware, how in (("uefi", {"more": ["-smbios", f"type=11,path={smbios}"]}), ("secureboot", {"seed": {"tidegate.config": g.seed}})):
        vm = Machine(OUT, g.image, firmware, firmware=firmware, peer_port=g.peer.port, **how)
        try:
            took = vm.start().until_greets(25)
            vm.until_ssh(g.admin)
            state = vm.ssh(g.admin, "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-* | tr -d ' '").decode().strip()
            g.story.expect(state == ("1" if firmware == "secureboot" else "0"), f"{firmware}: greeting after {took:.0f} s, SecureBoot variable {state}")
        finally:
            vm.kill()
    unsigned_loader(g)
