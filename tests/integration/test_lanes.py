# SPDX-License-Identifier: MIT
"""Lanes: who may connect, whose turn it is, what slows them and what stops them."""
import time

import pytest
from lab import ground, policies
from lab.scripted import Hang

pytestmark = pytest.mark.core


def by_domain(peers, extra="", before="", more=""):
    """Each of the peers is the way for a domain: p0.example, p1.example, ..."""
    ways = ", ".join(f'["p{i}.example"] = route.relay{{ host = "{p.host}", port = {p.port}, tls = "none" }}' for i, p in enumerate(peers))
    return policies.routed(f"via = ways[recipient.domain],{extra}", before=f"{before}\nlocal ways = {{ {ways} }}", more=more)


def test_idle_connections_make_way(gateway, scripted, word):
    """Two connections in all, kept for a minute when idle; six destinations in a row do not wait for that."""
    peers = [scripted() for _ in range(6)]
    g = gateway(policy=by_domain(peers), delivery={"connections": 2, "idle": "1m"})
    began = time.monotonic()
    for turn in range(2):
        for i in range(6):
            g.submit(f"{word}t{turn}n{i}", to=[f"a@p{i}.example"])
    g.until_event("delivered", 12)
    assert time.monotonic() - began < 10 * ground.PATIENCE
    assert g.status()["connections_out"] <= 2


def test_who_hangs_keeps_one_connection(gateway, scripted, word):
    """One connection is stuck in a destination that hangs; three others share the one that is left."""
    slow, quick = scripted(dot=Hang()), [scripted() for _ in range(3)]
    g = gateway(policy=by_domain([slow, *quick]), delivery={"connections": 2, "idle": "1m"})
    g.submit(word + "slow", to=["a@p0.example"])
    slow.until_line("DATA")
    for i in (1, 2, 3):
        g.submit(f"{word}n{i}", to=[f"a@p{i}.example"])
    g.until_event("delivered", 3)
