# SPDX-License-Identifier: MIT
"""appliance: the appliance's scripts with folders of a test's own in the places of the machine's."""
import os
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[3]
ROOT = TOP / "appliance/root"
LIB = ROOT / "usr/lib/tidegate-appliance"


class Place:
    def __init__(self, path):
        self.path, self.state, self.conf, self.commands = path, path / "state", path / "conf", path / "commands"
        for folder in (path, self.state, self.conf, self.commands):
            folder.mkdir(exist_ok=True)
        self.environment = {**os.environ, "APPLIANCE_STATE": str(self.state), "APPLIANCE_CONF": str(self.conf), "APPLIANCE_LIB": str(LIB),
                            "APPLIANCE_RUN": str(path / "run"), "PATH": f"{self.commands}:{os.environ['PATH']}"}

    def run(self, name, *arguments, **more):
        """A script of the library, or a verb of the administrator's (tidegate-...)."""
        path = ROOT / "usr/sbin" / name if name.startswith("tidegate-") else LIB / name
        return subprocess.run([path, *map(str, arguments)], env=self.environment, capture_output=True, timeout=60, **{"text": True, **more})

    def command(self, name, script):
        """What the scripts find under that name instead of the system's."""
        (self.commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.commands / name).chmod(0o755)

    def setting(self, key):
        return self.run("settings", "get", key).stdout.strip()
