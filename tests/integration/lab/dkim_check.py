# SPDX-License-Identifier: MIT
"""dkim_check: keys for the gateway and a foreign verifier (python3-dkim) for what it signed."""
import base64
import re
import subprocess

import dkim

from . import ground


class DkimKey:
    """A private key in PEM for the gateway, and what DNS would publish of it."""

    def __init__(self, domain, selector, kind):
        self.domain, self.selector, self.kind = domain, selector, kind
        self.path = ground.folder("dkim") / f"{selector}.pem"
        options = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else ["-algorithm", "ed25519"]
        subprocess.run(["openssl", "genpkey", *options, "-out", self.path], check=True, capture_output=True)
        public = subprocess.run(["openssl", "pkey", "-in", self.path, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        if kind != "rsa":
            public = public[-32:]  # RFC 8463: the bare 32 bytes
        self.record = f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"
        self.name = f"{selector}._domainkey.{domain}"


def verify(raw, *keys):
    """Verifies every DKIM-Signature in the message with python3-dkim; the list of (domain, selector, algorithm) that hold, in
    order. Raises LabError when one does not."""
    records = {key.name: key.record.encode() for key in keys}

    def look_up(name, timeout=5):
        return records.get((name.decode() if isinstance(name, bytes) else name).rstrip("."))

    count = len(re.findall(rb"(?im)^DKIM-Signature:", raw.split(b"\r\n\r\n", 1)[0]))
    held = []
    for i in range(count):
        verifier = dkim.DKIM(raw, minkey=1024)
        try:
            good = verifier.verify(idx=i, dnsfunc=look_up)
        except dkim.DKIMException as e:
            good = f"{type(e).__name__}: {e}"
        fields = {k.decode(): v.decode() for k, v in verifier.signature_fields.items()}
        if good is not True:
            raise ground.LabError(f"python3-dkim refuses signature {i} ({fields}): {good}\n{raw[:3000].decode('utf-8', 'replace')}")
        held.append((fields["d"], fields["s"], fields["a"]))
    return held
