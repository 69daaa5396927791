# SPDX-License-Identifier: MIT
"""Delivering to peers that hang, close, answer garbage or never end: mail waits, nothing else suffers, nothing is lost."""
import pytest
from lab import ground, mail, policies
from lab.scripted import Close, Endless, Hang, Raw, Reset, Slow, SlowRead

pytestmark = pytest.mark.core

# stage, what the peer does there -> the stage the outcome names
TROUBLE = {
    "hangs at the greeting": (dict(greeting=Hang()), "greeting"),
    "closes at the greeting": (dict(greeting=Close()), "greeting"),
    "421 at the greeting": (dict(greeting="421 4.3.2 busy"), "greeting"),
    "554 at the greeting": (dict(greeting="554 5.7.1 no service"), "greeting"),
    "garbage at the greeting": (dict(greeting=Raw(b"\x00\xff\xfenonsense\r\n")), "greeting"),
    "an endless line at the greeting": (dict(greeting=Endless("line")), "greeting"),
    "endless lines at the greeting": (dict(greeting=Endless("lines")), "greeting"),
    "hangs at EHLO": (dict(ehlo=Hang()), "ehlo"),
    "endless lines at EHLO": (dict(ehlo=Endless("lines")), "ehlo"),
    "421 at EHLO": (dict(ehlo="421 4.3.2 busy"), "ehlo"),
    "hangs at MAIL": (dict(mail=Hang()), "mail"),
    "closes at MAIL": (dict(mail=Close()), "mail"),
    "421 at MAIL": (dict(mail="421 4.7.0 too much"), "mail"),
    "451 at MAIL": (dict(mail="451 4.7.1 not now"), "mail"),
    "resets at RCPT": (dict(rcpt=Reset()), "rcpt"),
    "421 at RCPT": (dict(rcpt=("421 4.7.0 bye", Close())), "rcpt"),
    "garbage at RCPT": (dict(rcpt=Raw(b"hello there\r\n")), "rcpt"),
    "a code from nowhere at RCPT": (dict(rcpt=Raw(b"999 what\r\n")), "rcpt"),
    "354 at RCPT": (dict(rcpt=Raw(b"354 already\r\n")), "rcpt"),
    "hangs at DATA": (dict(data=Hang()), "data"),
    "250 at DATA": (dict(data=Raw(b"250 what data\r\n")), "data"),
    "451 at DATA": (dict(data="451 4.3.0 no"), "data"),
    "closes after the content": (dict(dot=Close()), "content"),
    "hangs after the content": (dict(dot=Hang()), "content"),
    "451 after the content": (dict(dot="451 4.3.0 scanner away"), "content"),
    "421 after the content": (dict(dot=("421 4.3.2 shutting down", Close())), "content"),
    "an endless line after the content": (dict(dot=Endless("line")), "content"),
}


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_is_temporary(gateway, scripted, word, what, pipelining):
    stages, expected = TROUBLE[what]
    bad = scripted(extensions=["PIPELINING", "8BITMIME"] if pipelining else ["8BITMIME"], **stages)
    good = scripted()
    policy = policies.PRELUDE + f'''
local ways = {{ ["bad.example"] = "{bad.host}", ["good.example"] = "{good.host}" }}
return {{ route = function(m, r) return route.send{{ via = route.relay{{ host = ways[r.domain], port = {bad.port}, tls = "none" }} }} end }}
'''
    g = gateway(policy=policy, delivery={"timeout": "2s"}, workers=1)
    g.submit(word, to="bob@bad.example")
    g.submit(word + "good", to="bob@good.example")
    good.wait(word + "good")
    event = g.until_event("deferred", recipient="bob@bad.example", seconds=15)
    assert event["stage"] in ((expected, "rcpt", "mail", "data") if pipelining and expected in ("mail", "rcpt", "data") else (expected,)), event
    assert not g.events("bounced")
    row, = g.until_queue(1)
    assert row["recipient"] == "bob@bad.example"
    bad.set(greeting=None, ehlo=None, mail=None, rcpt=None, data=None, dot=None)
    g.advance_clock(3 * 3600)
    bad.wait(word)
    g.until_empty()


@pytest.mark.parametrize("stage,reply", [("mail", "550 5.1.8 bad sender"), ("rcpt", "553 5.1.3 bad address"), ("data", "554 5.5.1 no"), ("dot", "554 5.7.1 spam")])
def test_permanent_refusals(gateway, scripted, word, stage, reply):
    peer = scripted(**{stage: reply})
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word, sender="")
    event = g.until_event("bounced")
    assert event["reply"]["code"] == int(reply[:3]) and event["reply"]["status"] == reply[4:9] and event["local"] is False
    assert event["stage"] == {"dot": "content"}.get(stage, stage)
    g.until_empty()


@pytest.mark.parametrize("reply", ["552 too many recipients", "452 too many recipients", "550 5.5.3 too many"])
def test_one_recipient_too_many_goes_next(gateway, scripted, word, reply):
    """RFC 5321 4.5.3.1.10, and how it was said before: the transaction goes with those it took, and the others with another one, at once."""
    peer = scripted(rcpt=["250 ok", "250 ok", reply, "250 ok"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), workers=1)
    g.submit(word, to=[f"u{i}@example.net" for i in range(3)])
    assert [d["attempt"] for d in g.until_event("delivered", 3)] == [1, 1, 1]
    told = g.until_event("attempted")
    assert (told["stage"], told["left"], told["reply"]["code"], told["reply"]["text"].startswith("too many")) == ("rcpt", 1, 452, True), told
    g.until_empty()
    assert [a.recipients for a in peer.accepted] == [["u0@example.net", "u1@example.net"], ["u2@example.net"]] and len(peer.sessions) == 1
    assert not g.events("deferred") and not g.events("bounced")


def test_452_to_the_first_or_with_nothing_taken_is_a_deferral(gateway, scripted, word):
    """Who takes nobody, or refuses what it took, may say the same for ever: nothing is asked again at once."""
    peer = scripted(rcpt={"u": "250 ok", "full": "452 4.5.3 too many"}, dot=["451 4.3.0 not now", "250 ok"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), workers=1)
    g.submit(word, to=["u0@example.net", "full0@example.net"])
    g.until_event("deferred", 2)
    assert not g.events("attempted") and len(peer.until_line("MAIL")) == 1
    g.submit(word + "x", to=["full1@example.net", "u0@example.net", "full2@example.net"])
    assert [d["recipient"] for d in g.until_event("deferred", 4)[2:]] == ["full1@example.net", "full2@example.net"]
    assert len(g.events("attempted")) == 1 and len(peer.until_line("MAIL", 3)) == 3


def test_ehlo_refused_helo_taken(gateway, scripted, word):
    peer = scripted(ehlo="502 5.5.1 what?")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word)
    assert peer.wait(word).mail_line == "MAIL FROM:<alice@sender.example>"
    assert "HELO gateway.example" in peer.lines


def test_long_replies_are_bounded(gateway, scripted, word):
    peer = scripted(dot="250 " + "y" * 1500 + "\n" + "\n".join(["z" * 500] * 20))
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word)
    event = g.until_event("delivered")
    assert len(event["reply"]["text"]) <= 1000


def test_replies_cannot_break_a_line(gateway, scripted, word):
    peer = scripted(rcpt=Raw(b'550 5.1.1 "quoted" \x1b[31mred\x07 \xff\xfe caf\xc3\xa9 \\ {"type":"delivered"}\r\n'))
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word, sender="")
    event = g.until_event("bounced")
    assert "\x1b" not in event["reply"]["text"] and "\x07" not in event["reply"]["text"]
    assert not g.events("delivered")


def test_slow_peers(gateway, scripted, word):
    peer = scripted(greeting=Slow("220 slow ESMTP", 0.03), mail=Slow("250 ok", 0.03), data=("354 go", SlowRead(0.5)))
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word, text=mail.message(word, body=("x" * 70 + "\r\n") * 30000))
    assert len(peer.wait(word, seconds=30).raw) > 2000000


def test_lane_rests_and_works_again(gateway, scripted, word):
    """A dead way out is not knocked at for every message, and comes back by itself."""
    peer = scripted(greeting="421 4.3.2 busy")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), workers=1)
    for i in range(20):
        g.submit(f"{word}n{i}")
    g.until_event("deferred")
    ground.until("the lane rests", lambda: [r for r in g.control("lane")[0] if r["state"] == "resting"], log=g.log)
    assert len(peer.sessions) <= 8
    peer.set(greeting=None)
    g.advance_clock(3600)
    ground.until("all 20 arrive", lambda: len(peer.accepted) == 20, log=g.log)
    g.until_empty()


def test_one_dead_destination_does_not_hold_up_others(gateway, scripted, word):
    dead, good = scripted(greeting=Hang()), scripted()
    policy = policies.PRELUDE + f'''
return {{ route = function(m, r)
    return route.send{{ via = route.relay{{ host = r.domain == "dead.example" and "{dead.host}" or "{good.host}", port = {good.port}, tls = "none" }} }}
end }}
'''
    g = gateway(policy=policy, delivery={"timeout": "15s", "in_memory": 100}, workers=1)
    for i in range(300):
        g.submit(f"{word}d{i}", to="x@dead.example")
    for i in range(60):
        g.submit(f"{word}g{i}", to="x@good.example")
    ground.until("what can be delivered is", lambda: len(good.accepted) == 60, 10, log=g.log)


def test_kept_connection_that_the_peer_closed(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", extra="lane = { connections = 1 }"), delivery={"idle": "60s"})
    g.submit(word + "a")
    peer.wait(word + "a")
    for s in list(peer.sessions):
        s.drop()
    g.submit(word + "b")
    peer.wait(word + "b")
    assert not g.events("deferred")
