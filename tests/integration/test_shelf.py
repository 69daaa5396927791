# SPDX-License-Identifier: MIT
"""The shelf: what answers ask to be kept is there when their effect is, and scripts and operators see it."""
import json

import pytest
from lab import policies

pytestmark = pytest.mark.core


def counting(peer):
    """Counts each sender's messages in the message hook, failed attempts by domain in retry, and says both in its reasons."""
    return policies.PRELUDE + f'''
return {{
  message = function(session, message)
    local key = "seen/" .. message.sender
    local n = (shelf.get(key) or {{ n = 0 }}).n + 1
    return answer.accept {{ shelf = {{ shelf.put(key, {{ n = n }}, "1h") }}, because = "message " .. n }}
  end,
  route = function(message, recipient)
    local seen, failed = shelf.get("seen/" .. message.sender), shelf.get("failed/" .. recipient.domain)
    if shelf.get "mode" == "careful" then return route.wait(3600, "careful") end
    return route.send {{ via = route.relay {{ host = "{peer.host}", port = {peer.port}, tls = "none" }},
      because = "seen " .. tostring(seen and seen.n) .. ", failed " .. tostring(failed) }}
  end,
  retry = function(message, recipient, outcome)
    local key = "failed/" .. recipient.domain
    if outcome.permanent then return retry.give_up {{ because = "for good", shelf = {{ shelf.drop(key) }} }} end
    return retry.wait {{ seconds = 60, because = "again", shelf = {{ shelf.put(key, (shelf.get(key) or 0) + 1) }} }}
  end,
}}
'''


def rows(g, *arguments):
    return [json.loads(line) for line in g.cli("shelf", *arguments, "--json").stdout.splitlines()]


def values(g, prefix=""):
    return {r["key"]: r["value"] for r in rows(g, "list", prefix)}


def test_what_answers_keep(gateway, scripted, word):
    peer = scripted(rcpt={"slow": "450 4.2.0 later", "gone": "550 5.1.1 no", "*": "250 ok"})
    g = gateway(policy=counting(peer))
    for i in range(3):
        g.submit(f"{word}n{i}", sender="ann@acme.example", to="x@b.example")
    peer.wait(f"{word}n2")
    assert values(g) == {"seen/ann@acme.example": {"n": 3}}
    row = rows(g, "list")[0]
    assert row["by"].endswith("policy.lua:" + row["by"].rsplit(":", 1)[1]) and len(row["by"].split()[0]) == 16 and row["expires_at"] > row["put_at"]
    assert "seen 3, failed nil" in [e["because"] for e in g.until_event("delivered", 3)]
    g.submit(f"{word}s", sender="ann@acme.example", to="slow@slow.example")
    g.until_event("deferred", 1)
    assert values(g, "failed/") == {"failed/slow.example": 1}
    g.advance_clock(61)
    g.until_event("deferred", 2)
    assert values(g, "failed/") == {"failed/slow.example": 2}
    g.submit(f"{word}g", sender="", to="gone@slow.example")
    g.until_event("bounced", 1)
    assert values(g, "failed/") == {}
    g.advance_clock(3700)
    assert values(g, "seen/a") == {}, "its time is over"
    g.stop()
    assert g.cli("check", "--store").returncode == 0


def test_250_means_on_disk_for_the_shelf_too(gateway, scripted, word):
    g = gateway(policy=counting(scripted()))
    for n in range(1, 4):
        g.submit(f"{word}{n}", sender="ann@acme.example")
        g.kill9()
        g.start()
        assert values(g, "seen/") == {"seen/ann@acme.example": {"n": n}}


def test_an_operator_works_on_it(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=counting(peer))
    g.cli("shelf", "set", "mode", "careful", "--expires", "2h")
    assert g.cli("shelf", "get", "mode").stdout == '"careful"\n'
    g.submit(f"{word}a", sender="")
    g.until_event("waiting", 1)
    g.cli("shelf", "set", "mode", '{"n": [1, 2.5, true]}')
    assert json.loads(g.cli("shelf", "get", "mode").stdout) == {"n": [1, 2.5, True]}
    g.cli("shelf", "delete", "mode")
    for verb in ("get", "delete"):
        gone = g.cli("shelf", verb, "mode", check=False)
        assert gone.returncode == 1 and "nothing under 'mode'" in gone.stderr
    g.cli("queue", "retry", "--all", "--yes")
    peer.wait(f"{word}a")
    assert g.cli("shelf", "set", "k" * 201, "1", check=False).returncode == 64
    assert g.cli("shelf", "set", "k", "null", check=False).returncode == 64
    # Names of our own stand in the same table, and are out of reach.
    g.cli("lane", "pause", "--identity", "acme")
    assert "acme" not in g.cli("shelf", "list").stdout
    for i in range(5):
        g.cli("shelf", "set", f"n{i}", str(i))
    listed = g.cli("shelf", "list", "n", "--limit", "2").stdout
    assert "n1" in listed and "n2" not in listed and "5 in all" in listed


def test_explaining_reads_and_keeps_nothing(gateway, scripted, word):
    """explain sees what is there and changes nothing; replay decides with what was read then."""
    peer = scripted()
    g = gateway(policy=counting(peer))
    for i in range(2):
        g.submit(f"{word}n{i}", sender="ann@acme.example")
    peer.wait(f"{word}n1")
    said = g.cli("explain", "--from", "ann@acme.example", "--to", "x@b.example", "--client", "127.0.0.1").stdout
    assert "message 3" in said and "seen 2, failed nil" in said, said
    assert values(g) == {"seen/ann@acme.example": {"n": 2}}
    g.cli("shelf", "set", "mode", "careful")
    replayed = json.loads(g.cli("replay", "--json").stdout.splitlines()[-1])
    assert replayed["decisions"] >= 4 and replayed["same"] == replayed["decisions"], replayed
