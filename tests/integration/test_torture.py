# SPDX-License-Identifier: MIT
"""Torture in small: what `make torture` does for an hour, for some seconds. All of it runs the plain build only."""
import pathlib
import sys

from lab import ground

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "torture"))


def test_power_cut():
    import powercut
    powercut.run(cuts=ground.amount("CUTS", 16, 0), seconds=2.5)


def test_hostile_load():
    import hostile
    few = ("slow senders", "half handshakes", "giant headers", "never read", "recipients")
    hostile.run(scale=ground.amount("HOSTILE", 5, 0) / 100, seconds=0.3, quiet=True, only=few)
