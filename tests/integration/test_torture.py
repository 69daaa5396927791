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


def test_killed_at_any_change_of_the_store():
    import faults
    faults.walk(kinds=("kill",), seconds=ground.amount("FAULTS", 20, 0))


def test_any_call_fails():
    import faults
    faults.walk(kinds=("write", "sync", "name", "read", "socket", "memory"), seconds=ground.amount("FAULTS", 25, 0))


def test_meta_page_cannot_be_written():
    """LMDB gives up for good then: the gateway ends, says so, and the next start goes on."""
    import faults
    for k in range(60, 68):  # one of three in a row is the meta page's
        faults.one(f"w:{k}:EIO")


def test_clock_jumps():
    import clock
    clock.leap()
    clock.back(restart=False)
    clock.back(restart=True)
    clock.run(jumps=ground.amount("JUMPS", 12, 0))


def test_store_of_another_version():
    import upgrade
    upgrade.run()
