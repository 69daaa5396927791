# SPDX-License-Identifier: MIT
"""What an operator sees of an identity and of a warmup, and an operator's hand on one."""
import json

import pytest
from lab import ground, policies

pytestmark = pytest.mark.core


def warming(peer, start="2026-01-01"):
    return policies.PRELUDE + f'''
local warmup, limit = require "warmup", limit
local acme = identity.define {{ name = "acme", source = "127.0.0.1", helo = "out.acme.example", return_path = "b@acme.example" }}
local other = identity.define {{ name = "other" }}
local warm = warmup.new {{ name = "acme", ladder = {{ 3, 5, 8 }}, start = os.date("!%Y-%m-%d"), providers = {{ google = 1, yahoo = 0.5 }},
  gates = {{ bounce = 0.02, complaint = 0.001, sample = 4 }}, overflow = "wait" }}
return {{
  route = function(m, r)
    local mine = m.sender:find("@acme") ~= nil
    local spend = mine and warm:limits("google") or {{}}
    spend[#spend + 1] = limit.per_day(mine and "acme/all" or "all", 100)
    return route.send {{ via = route.relay {{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, identity = mine and acme or other, spend = spend }}
  end,
}}
'''


def rows(g, *arguments):
    return [json.loads(line) for line in g.cli(*arguments, "--json").stdout.splitlines()]


def row_of(g, provider):
    return next(r for r in rows(g, "warmup", "acme") if r["provider"] == provider)


def test_an_identity_and_its_warmup(gateway, scripted, word):
    """`identity show` and `warmup` say what the ledger says, by the policy's own words, and neither spends nor writes anything."""
    peer = scripted()
    g = gateway(policy=warming(peer))
    assert [(r["warmup"], r["provider"], r["cap"], r["used"], r["step"]) for r in rows(g, "warmup")] == [("acme", "google", 3, 0, 1), ("acme", "yahoo", 1, 0, 1)]
    for i in range(5):
        g.submit(f"{word}n{i}", sender="a@acme.example", to="x@gmail.example")
    g.submit(f"{word}o", sender="a@other.example", to="x@gmail.example")
    ground.until("four arrive", lambda: len(peer.accepted) == 4, log=g.log)
    g.until_event("limit", 2)
    before = g.control("limit")[0]
    google = row_of(g, "google")
    assert (google["used"], google["left"], google["state"], google["next_cap"], google["steps"]) == (3, 0, "climbing", 5, 3), google
    assert google["sent"] == 3 and google["bounce_rate"] == 0 and google["bounce_gate"] == 0.02 and google["next_at"] > "2026"
    shown = rows(g, "identity", "show", "acme")[0]
    assert shown["source4"] == "127.0.0.1" and shown["helo"] == "out.acme.example" and "paused" not in shown
    used = {r["key"]: r["used"] for r in shown["limits"]}
    assert used == {"acme/all": 3, "warmup/acme/google": 3, "sent/acme/google": 3}
    assert [w["provider"] for w in shown["warmup"]] == ["google", "yahoo"] and shown["warmup"][0] == google
    text = g.cli("identity", "show", "acme").stdout
    assert "b@acme.example" in text and "warmup/acme/google" in text and "1 of 3" in text and "policy.lua:" in text, text
    assert {r["key"]: r["used"] for r in g.control("limit")[0] if r["used"]} == {r["key"]: r["used"] for r in before if r["used"]}
    assert "climbing" in g.cli("warmup").stdout
    g.control("limit", key="bounces/acme/google", count=2)
    for i in range(4):
        g.control("limit", key="sent/acme/google", count=1)
    ground.until("the gate shuts", lambda: row_of(g, "google")["state"] == "floor", log=g.log)
    held = row_of(g, "google")
    assert held["cap"] == 0 and held["bounce_rate"] > 0.04 and "twice its gate" in held["because"]


def test_names_that_are_none(gateway, scripted):
    g = gateway(policy=warming(scripted()))
    for verb in (("identity", "show", "acne"), ("warmup", "acne")):
        said = g.cli(*verb, check=False)
        assert said.returncode == 65 and "'acne'" in said.stderr, said
    g.write_scripts({"policy.lua": "return {}"})
    g.reload()
    assert "warms nothing up" in g.cli("warmup").stdout and rows(g, "warmup") == []


def test_pause_by_name(gateway, scripted, word):
    """`identity pause` is `lane pause --identity`: one list, one way back."""
    peer = scripted()
    g = gateway(policy=warming(peer))
    g.cli("identity", "pause", "acme", "--for", "2h", "--because", "complaints")
    g.submit(f"{word}a", sender="a@acme.example")
    g.submit(f"{word}o", sender="a@other.example")
    peer.wait(f"{word}o")
    shown = rows(g, "identity", "show", "acme")[0]
    assert shown["paused"]["because"] == "complaints" and shown["paused"]["until"] and not peer.find(f"{word}a")
    assert "complaints" in g.cli("identity", "show", "acme").stdout and "paused" in g.cli("identity").stdout
    assert [p["name"] for p in g.control("lane", action="pauses")[0]] == ["acme"]
    slip = g.cli("identity", "pause", "amce", check=False)
    assert slip.returncode == 65 and "no identity 'amce' (did you mean 'acme'?)" in slip.stderr
    assert len(g.control("lane", action="pauses")[0]) == 1, "a slip pauses nobody"
    g.cli("identity", "resume", "acme")
    peer.wait(f"{word}a")
    assert "paused" not in rows(g, "identity", "show", "acme")[0]
