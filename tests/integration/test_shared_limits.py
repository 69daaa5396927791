# SPDX-License-Identifier: MIT
"""Limits that several gateways share in one Redis: together they never spend more, and all of it is used."""
import pathlib
import smtplib
import struct
import sys
import time

import pytest
from lab import ground, policies
from lab.redis import Redis
from lab.scripted import SlowRead

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "torture"))

pytestmark = pytest.mark.core


@pytest.fixture
def redis():
    made = []

    def make(**settings):
        made.append(Redis(**settings))
        return made[-1]
    yield make
    for server in made:
        server.stop()


def limited(peer, spend):
    return policies.routed(f'via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, spend = {{ {spend} }}')


@pytest.fixture
def sharing(gateway):
    def make(server, peer, spend='limit.per_day("acme", 40)', **conf):
        return gateway(policy=limited(peer, spend), ledger={**server.conf, **conf.pop("ledger", {})}, **conf)
    return make


def row_of(g, key="acme"):
    return next((r for r in g.control("limit")[0] if r["key"] == key), {"used": 0})  # nobody has asked yet


def settled(gateways, accepted, parked):
    """Until so many have arrived and the rest waits, wherever."""
    ground.until(f"{accepted} accepted, {parked} parked", lambda: sum(1 for g in gateways for r in g.queue() if r["state"] == "parked") == parked and
                 sum(len(g.events("delivered")) for g in gateways) == accepted, 30, log=gateways[0].log)


def test_two_gateways(redis, sharing, scripted, word):
    server, peer = redis(), scripted()
    a, b = both = [sharing(server, peer) for _ in range(2)]
    for i in range(30):
        a.submit(f"{word}a{i}")
        b.submit(f"{word}b{i}")
    settled(both, 40, 20)
    assert len(peer.accepted) == 40
    ground.until("both know of all", lambda: all(row_of(g)["used"] == 40 for g in both))
    assert row_of(a)["elsewhere"] + row_of(b)["elsewhere"] == 40
    assert f"40, elsewhere {row_of(a)['elsewhere']}" in a.cli("limit").stdout
    for g in both:
        g.advance_clock(90000)
    ground.until("all arrive", lambda: len(peer.accepted) == 60, 30, log=a.log)
    assert server.ask("HLEN", "tidegate:acme/86400") == ":2"
    assert all(g.status()["deferred"] == 0 for g in both)


def test_a_row_goes_when_it_is_old_by_every_clock(redis, sharing, scripted, word):
    """Not when only the clock of whoever looks says so, which may be wrong."""
    server, peer = redis(), scripted()
    a, b = both = [sharing(server, peer, 'limit.per_minute("acme", 40)') for _ in range(2)]
    for g in both:
        g.submit(f"{word}{g.host}")
        g.until_event("delivered")
    a.kill9()
    b.advance_clock(90000)
    b.submit(f"{word}later")
    b.until_event("delivered", 2)
    assert server.ask("HLEN", "tidegate:acme/60") == ":2" and row_of(b)["elsewhere"] == 0
    old = bytes([2]) + struct.pack(">IQQHHI", 1000, int(time.time()) - 200, 0, 1, 0, 7)
    server.ask("HSET", "tidegate:acme/60", "long gone", old.decode("latin-1"))
    b.submit(f"{word}latest")
    b.until_event("delivered", 3)
    ground.until("it is taken away", lambda: server.ask("HLEN", "tidegate:acme/60") == ":2")


def test_a_gateway_that_dies(redis, sharing, scripted, word):
    """What it had spent is spent, for the others and for itself when it is back."""
    server, peer = redis(), scripted()
    a, b = sharing(server, peer), sharing(server, peer)
    for i in range(25):
        a.submit(f"{word}a{i}")
    a.until_empty()
    a.kill9()
    for i in range(25):
        b.submit(f"{word}b{i}")
    settled([b], 15, 10)
    a.start()
    for i in range(5):
        a.submit(f"{word}c{i}")
    a.until_event("limit", 5)
    time.sleep(0.5)
    assert len(peer.accepted) == 40


def test_what_one_gives_back_another_may_spend(redis, sharing, scripted, word):
    """All five are in flight at a peer that then does not take them: they are told to the other, which has waited for them."""
    server, slow, peer = redis(), scripted(dot=(SlowRead(4), "451 4.3.0 later")), scripted()
    a, b = sharing(server, slow, 'limit.per_day("acme", 5)'), sharing(server, peer, 'limit.per_day("acme", 5)')
    for i in range(5):
        a.submit(f"{word}a{i}")
    ground.until("all are taken", lambda: row_of(a)["used"] == 5)
    b.submit(f"{word}b")
    assert b.until_event("limit")["limit"]["used"] == 5
    a.until_event("deferred", 5)
    b.advance_clock(10)
    b.until_event("delivered")


def test_out_of_reach(redis, sharing, scripted, word):
    server, peer = redis(), scripted()
    a, b = both = [sharing(server, peer) for _ in range(2)]
    a.submit(f"{word}first")
    a.until_event("delivered")
    server.stop()
    a.submit(f"{word}second")
    b.submit(f"{word}third")
    for g in both:
        event = g.until_event("limit", seconds=30)
        assert event["limit"]["unreachable"] is True and event["limit"]["cap"] == 40
        assert g.status()["shared_limits"]["in_reach"] is False
        assert "cannot be asked" in g.said()
    assert len(peer.accepted) == 1 and all(g.status()["deferred"] == 0 for g in both)
    server.start()
    ground.until("both go", lambda: len(peer.accepted) == 3, 30, log=a.log)
    ground.until("all workers have it back", lambda: a.status()["shared_limits"]["in_reach"] and "can be asked again" in a.said())
    settled(both, 3, 0)
    ground.until("both know of all", lambda: all(row_of(g)["used"] == 3 for g in both))


def test_a_redis_that_takes_no_writes(redis, sharing, scripted, word):
    """As a replica would, or one whose memory is full: it answers, and nothing is granted until it takes them again."""
    server, peer = redis(), scripted()
    g = sharing(server, peer)
    g.submit(f"{word}first")
    g.until_event("delivered")
    server.ask("REPLICAOF", "127.0.0.1", "9")
    for i in range(3):
        g.submit(f"{word}n{i}")
    assert all(e["limit"]["unreachable"] for e in g.until_event("limit", 3, seconds=30))
    assert g.status()["shared_limits"]["in_reach"] is False and "READONLY" in g.said()
    time.sleep(2)
    assert len(g.events("limit")) <= 6 and len(peer.accepted) == 1  # it does not go round in circles meanwhile
    server.ask("REPLICAOF", "NO", "ONE")
    ground.until("all go", lambda: len(peer.accepted) == 4, 30, log=g.log)


def test_a_row_that_nobody_can_read(redis, sharing, scripted, word):
    server, peer = redis(), scripted()
    server.ask("HSET", "tidegate:acme/86400", "another gateway", "\x7frubbish")
    g = sharing(server, peer)
    g.submit(word)
    assert g.until_event("limit", seconds=30)["limit"]["unreachable"] is True
    assert "cannot be read" in g.said()
    time.sleep(1)
    assert len(g.events("limit")) == 1 and g.status()["shared_limits"]["in_reach"] is True
    server.ask("DEL", "tidegate:acme/86400")
    g.advance_clock(30)
    g.until_event("delivered", seconds=30)


def test_intake_on_a_limit_without_an_answer(redis, gateway):
    server = redis()
    g = gateway(policy=policies.capture('message = function() return answer.accept{ spend = { limit.per_day("in", 10) } } end,'), ledger=server.conf)
    server.stop()
    with pytest.raises(smtplib.SMTPDataError) as refused:
        g.submit("never")
    assert refused.value.smtp_code == 451
    server.start()
    ground.until("it is back", lambda: g.status()["shared_limits"]["in_reach"], 30, log=g.log)
    g.submit("now")


def test_a_redis_that_forgot(redis, sharing, scripted, word):
    """It has lost all it was told: it is told again."""
    server, peer = redis(appendonly="no", appendfsync="no"), scripted()
    a, b = both = [sharing(server, peer) for _ in range(2)]
    for i in range(20):
        a.submit(f"{word}a{i}")
        b.submit(f"{word}b{i}")
    settled(both, 40, 0)
    server.stop()
    ground.until("they have noticed", lambda: not any(g.status()["shared_limits"]["in_reach"] for g in both), 30)
    server.start()
    ground.until("they are back", lambda: all(g.status()["shared_limits"]["in_reach"] for g in both), 30)
    c = sharing(server, peer)
    c.submit(f"{word}c")
    c.until_event("limit")
    assert c.events("limit")[0]["limit"]["used"] == 40 and len(peer.accepted) == 40
    assert "appendonly" in a.said()


def test_who_joins_brings_what_he_has_spent(redis, gateway, sharing, scripted, word):
    server, peer = redis(), scripted()
    a = gateway(policy=limited(peer, 'limit.per_day("acme", 40)'))
    for i in range(30):
        a.submit(f"{word}a{i}")
    a.until_empty()
    a.stop()
    a.configure(ledger=server.conf)
    a.start()
    ground.until("its row is there", lambda: server.ask("HLEN", "tidegate:acme/86400") == ":1")
    b = sharing(server, peer)
    for i in range(15):
        b.submit(f"{word}b{i}")
    settled([b], 10, 5)


def test_full_at_one_is_full_at_all(redis, gateway, scripted, word):
    """The peer's word that an account has no room counts for all that share it."""
    server, full, peer = redis(), scripted(rcpt="550 5.4.5 Daily user sending limit exceeded."), scripted()
    a, b = [gateway(ledger=server.conf, policy=policies.policy(f'''local reply = require "reply"
local box = identity.define {{ name = "box" }}
--
route = function(message, recipient)
    return route.send {{ via = route.relay {{ host = "{to.host}", port = {to.port}, tls = "none" }}, identity = box,
        spend = {{ limit.per_day("box", 500, {{ exhausted_by = "quota" }}) }} }}
end,
retry = reply.hook {{}},''')) for to in (full, peer)]
    b.submit(f"{word}first")
    b.until_event("delivered")
    a.submit(f"{word}second")
    ground.until("it is full", lambda: "full_until" in row_of(a, "box"))
    b.advance_clock(10)
    ground.until("the other has heard", lambda: "full_until" in row_of(b, "box"))
    b.submit(f"{word}third")
    b.until_event("limit")
    assert len(peer.accepted) == 1


@pytest.mark.parametrize("secret, words", [("sesame", {"requirepass": "sesame"}), ("gate sesame", {"user": "gate on >sesame ~tidegate:* +@all"})])
def test_with_tls_and_a_password(redis, sharing, scripted, authority, tmp_path, word, secret, words):
    server, peer = redis(tls=authority.issue("redis.example"), **words), scripted()
    (tmp_path / "password").write_text(secret + "\n")
    g = sharing(server, peer, ledger={"tls": True, "tls_name": "redis.example", "password": tmp_path / "password"})
    g.submit(word)
    g.until_event("delivered")
    wrong = sharing(server, peer, ledger={"tls": True, "tls_name": "another.example", "password": tmp_path / "password"})
    wrong.submit(word)
    assert wrong.until_event("limit", seconds=30)["limit"]["unreachable"] is True
    assert "cannot be asked" in wrong.said() and "certificate" in wrong.said()
    (tmp_path / "password").write_text("open\n")
    stranger = sharing(server, peer, ledger={"tls": True, "tls_name": "redis.example", "password": tmp_path / "password"})
    stranger.submit(word)
    assert stranger.until_event("limit", seconds=30)["limit"]["unreachable"] is True
    assert "does not let us in" in stranger.said()


def test_the_shared_cap_under_fire():
    """In small; see tests/torture/cap.py --gateways. Gateways and the Redis are killed; each kill strands what was in flight."""
    import cap
    most = ground.amount("CAP", 500, 100)
    cap.run(messages=most * 4, cap=most, least=most // 3, gateways=3)


def test_what_the_configuration_must_say(redis, gateway):
    g = gateway(start=False, ledger={"redis": "redis.example:6379", "password": "nowhere"})
    said = g.cli("check", check=False)
    assert said.returncode == 78 and "ledger.redis: 'redis.example:6379'" in said.stdout + said.stderr, said
