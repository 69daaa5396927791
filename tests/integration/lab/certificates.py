# SPDX-License-Identifier: MIT
"""certificates: a small authority of the lab's own, so that verification can be tested both ways."""
import subprocess

from . import ground


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise ground.LabError(f"openssl {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


class Certificate:
    """Paths of a certificate chain, its key, and both in one file."""

    def __init__(self, base):
        self.chain, self.key, self.both = base.with_suffix(".crt"), base.with_suffix(".key"), base.with_suffix(".pem")

    def join(self):
        self.both.write_bytes(self.key.read_bytes() + self.chain.read_bytes())
        for path in (self.chain, self.key, self.both):
            path.chmod(0o600 if path != self.chain else 0o644)
        return self


class Authority:
    def __init__(self, name="lab authority"):
        self.folder = ground.folder("certificates")
        self.count = 0
        self.root = self._make(name, ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign"])
        self.file = self.root.chain

    def _make(self, name, extra):
        self.count += 1
        made = Certificate(self.folder / f"{self.count}")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                 "-days", "30", "-keyout", made.key, "-out", made.chain, *extra)
        return made.join()

    def issue(self, *names, days=30, client=False):
        """A certificate for host names and IP addresses, signed by this authority. days -1: expired yesterday."""
        self.count += 1
        made = Certificate(self.folder / f"{self.count}")
        request, extensions = made.key.with_suffix(".csr"), made.key.with_suffix(".ext")
        subject = ",".join(("IP:" if name.replace(".", "").isdigit() or ":" in name else "DNS:") + name for name in names)
        usage = "clientAuth" if client else "serverAuth"
        extensions.write_text(f"subjectAltName={subject}\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={names[0]}",
                 "-keyout", made.key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.root.chain, "-CAkey", self.root.key, "-set_serial", self.count + 100,
                 "-days", days, "-extfile", extensions, "-out", made.chain)
        return made.join()

    def self_signed(self, *names):
        return self._make(names[0], ["-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names)])
