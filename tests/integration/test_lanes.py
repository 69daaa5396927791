# SPDX-License-Identifier: MIT
"""Lanes: who may connect, whose turn it is, what slows them and what stops them."""
import fcntl
import os
import select
import struct
import subprocess
import termios
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


# ---- classes and turns

ONE_AT_A_TIME = " lane = { connections = 1 }, priority = class(message), because = 'lanes'"
CLASS = """
local function class(message)
  local subject = message:header("Subject") or ""
  return subject:match("class (%a+)") or "normal"
end"""


def queue_up(g, word, count, subject, sender):
    """So many messages that wait for one lane."""
    with g.smtp() as s:
        for i in range(count):
            s.sendmail(sender, ["a@p0.example"], letter(f"{word}n{i}", subject, sender))


def letter(word, subject, sender):
    return f"From: {sender}\r\nTo: a@p0.example\r\nSubject: {subject}\r\n\r\n{word}\r\n"


def arrived(peer, sender):
    """Places in the order of arrival that this sender's messages have."""
    return [i for i, m in enumerate(list(peer.accepted)) if m.sender == f"<{sender}>" or m.sender == sender]


@pytest.mark.parametrize("subject", ["class urgent", "class normal"])
def test_a_password_reset_does_not_wait_behind_a_newsletter(gateway, scripted, word, subject):
    """Six hundred wait for a slow peer, most of them parked in the store: one of another class, or of another sender only, is among the next."""
    peer = scripted(dot=Hang())
    g = gateway(policy=by_domain([peer], ONE_AT_A_TIME, CLASS), delivery={"in_memory": 40})
    queue_up(g, word, 600, "class bulk" if "urgent" in subject else "class normal", "news@list.example")
    peer.until_line("DATA")
    ground.until("most of them are parked", lambda: g.status()["parked"] > 500, log=g.log)
    g.submit(word + "reset", to=["a@p0.example"], sender="app@shop.example", text=letter(word + "reset", subject, "app@shop.example"))
    g.until_event("routed", 1, recipient="a@p0.example", id=g.events("received")[-1]["id"])
    peer.set(dot="250 ok")
    for session in list(peer.sessions):
        session.drop()
    g.advance_clock(40)  # the lane rests after that, and all that was in line is parked too
    peer.wait(word + "reset")
    assert arrived(peer, "app@shop.example")[0] <= 8
    g.until_queue(1, 60)  # the one that was under way when the peer hung up
    g.advance_clock(600)
    g.until_empty()
    assert g.status()["parked"] == 0


def test_it_also_comes_out_of_the_store(gateway, scripted, word):
    """All of them are parked while the way is closed, by the gateway before this one; then each sender has its turn."""
    peer = scripted(greeting="421 4.3.2 not now")
    g = gateway(policy=by_domain([peer], ONE_AT_A_TIME, CLASS), delivery={"in_memory": 40})
    queue_up(g, word, 300, "class bulk", "news@list.example")
    for i in range(5):
        queue_up(g, f"{word}s{i}", 4, "class bulk", f"app@shop{i}.example")
        queue_up(g, f"{word}u{i}", 1, "class urgent", f"app@shop{i}.example")
    ground.until("all of them are parked or wait", lambda: g.status()["parked"] >= 320, log=g.log)
    g.stop()
    peer.set(greeting="220 welcome")
    g.start()
    g.advance_clock(1000)
    ground.until("all arrive", lambda: len(peer.accepted) == 325, 60, log=g.log)
    urgent = [i for i, m in enumerate(peer.accepted) if b"class urgent" in m.raw]
    assert max(urgent) < 40, urgent
    for i in range(5):
        assert max(arrived(peer, f"app@shop{i}.example")) < 160
    g.until_empty()


# ---- what the policy asks of a lane

def lane_of(g):
    rows = g.control("lane")[0]
    assert len(rows) == 1, rows
    return rows[0]


def reacting(peer, lane):
    return policies.relay(peer.host, peer.port, tls="none",
                          retry=f"return retry.wait{{ seconds = 60, because = 'they said so', lane = {lane} }}")


def test_a_lane_rests_when_the_policy_says_so(gateway, scripted, word):
    peer = scripted(mail=["421 4.7.0 [TSS04] try again later", "250 ok"])
    g = gateway(policy=reacting(peer, '{ rest = "2h" }'))
    g.submit(word + "one")
    event = g.until_event("lane", state="resting")
    assert event["because"] == "they said so" and "[TSS04]" in event["reply"]["text"] and event["lane"] == lane_of(g)["lane"]
    assert lane_of(g)["state"] == "resting" and lane_of(g)["because"] == "they said so" and "TSS04" in lane_of(g)["why"]
    g.submit(word + "two")
    g.until_queue(1, state="parked")
    g.reload()  # ends rests that came of failures, and not this one
    g.change("retry")
    g.advance_clock(7000)
    time.sleep(0.3)
    assert not peer.accepted and all(r["attempts"] <= 1 for r in g.queue())
    g.advance_clock(400)
    ground.until("both arrive", lambda: len(peer.accepted) == 2, log=g.log)
    g.until_event("lane", state="open")


def test_a_lane_slows_down_when_the_policy_says_so(gateway, scripted, word):
    peer = scripted(rcpt=["450 4.7.28 unusual rate", "250 ok"])
    g = gateway(policy=reacting(peer, '{ connections = 1, rate = "10/hour", lasts = "1h" }'))
    g.submit(word + "one")
    g.until_event("lane", state="slow", rate="10/hour", connections=1)
    for i in range(20):
        g.submit(f"{word}n{i}")
    time.sleep(0.5)
    assert len(peer.accepted) == 0
    for step in range(1, 4):
        g.advance_clock(361)
        ground.until("one more", lambda: len(peer.accepted) == step, log=g.log)
        assert lane_of(g)["rate"] == "10/hour" and lane_of(g)["connections_allowed"] == 1
    g.advance_clock(3600)
    ground.until("all arrive", lambda: len(peer.accepted) == 21, log=g.log)


@pytest.mark.parametrize("lane, words", [
    ("{}", "either rest, or connections and rate"), ('{ rest = "1h", connections = 1 }', "either rest, or connections"),
    ("{ connections = 1 }", "how long?"), ('{ rate = "often", lasts = 5 }', "'10/minute'"), ('{ rest = "1h", lasts = 5 }', "lasts is for"),
    ("{ conections = 1 }", "did you mean 'connections'?")])
def test_what_is_no_reaction_is_a_fault(gateway, scripted, word, lane, words):
    g = gateway(policy=reacting(scripted(mail="450 4.2.0 later"), lane))
    g.submit(word)
    g.until_event("deferred")
    assert words in g.said()


# ---- lanes that only wait

def many_ways(peer, count):
    """As many lanes to one host: an identity for each domain w0.example, w1.example, ..."""
    before = f"local names = {{}}\nfor i = 0, {count - 1} do names['w' .. i .. '.example'] = identity.define{{ name = 'w' .. i }} end"
    return policies.routed(f'via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, identity = names[recipient.domain]', before=before)


@pytest.mark.parametrize("how", ["retry", "killed", "time"])
def test_many_that_wait_are_all_woken(gateway, scripted, word, how):
    """150 lanes rest, with one that has been tried and one parked for each: put away, found and emptied."""
    count = 150
    peer = scripted(greeting="421 4.3.2 not now")
    g = gateway(policy=many_ways(peer, count), delivery={"connections": 20})
    g.submit(word + "first", to=[f"a@w{i}.example" for i in range(count)])
    g.until_event("lane", count, state="resting")
    g.submit(word + "second", to=[f"b@w{i}.example" for i in range(count)])
    g.until_queue(count, state="parked", limit=1000)
    rows = g.control("lane")[0]
    assert len(rows) == count and all(r["state"] == "resting" and r["parked"] and r["why"] and r["classes"] for r in rows)
    assert g.status()["lanes"] == count
    peer.set(greeting="220 ready")
    if how == "killed":
        g.kill9()
        g.start()
    elif how == "time":
        g.advance_clock(60)
    else:
        g.change("retry")
    g.until_event("delivered", 2 * count if how == "retry" else count)
    # Those that were tried are due by the clock.
    assert not [r for r in g.queue(limit=1000) if r["recipient"].startswith("b@")]


# ---- what an operator asks of lanes

def test_pause_and_resume(gateway, scripted, word):
    peers = [scripted(), scripted()]
    g = gateway(policy=by_domain(peers), delivery={"idle": "1m"})
    g.submit(word + "before", to=["a@p0.example"])
    peers[0].wait(word + "before")
    lane = g.control("lane")[0][0]["lane"]
    g.cli("lane", "pause", lane, "--because", "their server moves")
    g.until_event("lane", state="paused", lane=lane, because="their server moves")
    g.submit(word + "later", to=["a@p0.example"])
    g.submit(word + "other", to=["a@p1.example"])
    peers[1].wait(word + "other")
    row = g.until_queue(1, state="parked")[0]
    assert row["attempts"] == 0
    assert "their server moves" in g.cli("lane", "list").stdout
    shown = g.cli("lane", "show", lane).stdout
    assert "paused" in shown and "sender.example" in shown, shown
    g.restart()  # it is kept
    g.change("retry")
    g.advance_clock(1000)
    time.sleep(0.5)
    assert not peers[0].find(word + "later") and g.queue()[0]["attempts"] == 0 and g.status()["pauses"] == 1
    g.cli("lane", "resume", lane)
    peers[0].wait(word + "later")
    g.until_event("lane", state="resumed", lane=lane)
    assert g.cli("lane", "resume", lane).stdout.startswith("nothing of that name")
    assert g.status()["pauses"] == 0


def test_pauses_by_identity_and_domain_end_by_themselves(gateway, scripted, word):
    peers = [scripted(), scripted()]
    g = gateway(policy=by_domain(peers, " identity = acme", "local acme = identity.define{ name = 'acme' }"))
    g.cli("lane", "pause", "--domain", peers[0].host, "--for", "1h")
    g.submit(word + "one", to=["a@p0.example"])
    g.submit(word + "two", to=["a@p1.example"])
    peers[1].wait(word + "two")
    g.cli("lane", "pause", "--identity", "acme", "--for", "2h")
    g.submit(word + "three", to=["a@p1.example"])
    g.until_queue(2, state="parked")
    g.advance_clock(3700)
    time.sleep(0.3)
    assert not peers[0].accepted and len(peers[1].accepted) == 1
    g.advance_clock(3600)
    peers[0].wait(word + "one")
    peers[1].wait(word + "three")
    assert g.control("lane", action="pauses")[0] == []


def test_what_waits_in_a_paused_lane_expires(gateway, scripted, word):
    g = gateway(policy=by_domain([scripted()]), delivery={"expire": "1h"})
    g.control("lane", action="pause", domain="nowhere.example")
    g.control("lane", action="pause", identity="-")
    g.submit(word, to=["a@p0.example"], sender="")
    g.until_queue(1, state="parked")
    g.advance_clock(3700)
    g.until_event("expired")
    g.until_empty()


def test_a_paused_lane_is_passed_over(gateway, scripted, word):
    peers = [scripted(), scripted()]
    first, second = (f'route.send {{ via = route.relay{{ host = "{p.host}", port = {p.port}, tls = "none" }} }}' for p in peers)
    g = gateway(policy=policies.policy(f"--\nroute = function() return route.first {{ {first}, {second} }} end,"))
    g.control("lane", action="pause", domain=peers[0].host)
    g.submit(word)
    peers[1].wait(word)


def test_what_waits_in_a_paused_lane_costs_nothing(gateway, scripted, word):
    peers = [scripted()]
    g = gateway(policy=by_domain(peers))
    g.control("lane", action="pause", domain=peers[0].host)
    for i in range(30):
        g.submit(f"{word}n{i}", to=["a@p0.example"])
    ground.until("all of them are parked", lambda: g.status()["parked"] == 30, log=g.log)
    time.sleep(0.5)
    asked = len(g.events("routed"))
    for _ in range(24):
        g.advance_clock(900)
    time.sleep(0.5)
    assert len(g.events("routed")) - asked <= 20, "not all of them every quarter of an hour"
    g.cli("lane", "resume", "--domain", peers[0].host)
    ground.until("all arrive", lambda: len(peers[0].accepted) == 30, log=g.log)


def test_a_reload_reaches_what_waits_in_a_paused_lane(gateway, scripted, word):
    """The policy names another way: all take it, though nothing frees the lane they wait for. Over a restart likewise."""
    peers = [scripted() for _ in range(3)]

    def way(i):
        return policies.relay(peers[i].host, peers[i].port, tls="none")
    g = gateway(policy=way(0), workers=2)
    for i in (0, 1):
        g.control("lane", action="pause", domain=peers[i].host)
    for i in range(40):
        g.submit(f"{word}n{i}", to=[f"a{i}@b.example"])
    ground.until("all of them are parked", lambda: g.status()["parked"] == 40, log=g.log)
    g.write_scripts({"policy.lua": way(1)})
    g.reload()
    ground.until("they wait for the other lane", lambda: all(peers[1].host in r["lane"] for r in g.queue()), log=g.log)
    g.stop()
    g.write_scripts({"policy.lua": way(2)})
    g.start()
    ground.until("all arrive", lambda: len(peers[2].accepted) == 40, log=g.log)
    g.until_empty()


def test_what_is_no_pause_is_refused(gateway, scripted):
    g = gateway()
    assert g.cli("lane", "pause", check=False).returncode == 64
    assert g.cli("lane", "pause", "x", "--identity", "acme", check=False).returncode == 64
    assert g.cli("lane", "show", "nothing", check=False).returncode == 1
    for wrong in ({"action": "pause"}, {"action": "stop"}, {"action": "pause", "lane": "x", "for_s": 0}):
        with pytest.raises(Exception, match="lane"):
            g.control("lane", **wrong)


# ---- top

def test_top_once(gateway, scripted, word):
    peer = scripted(dot=Hang())
    g = gateway(policy=by_domain([peer], ' spend = { limit.per_day("acme", 2) }'))
    for i in range(3):
        g.submit(f"{word}{i}", to=["a@p0.example"])
    peer.until_line("DATA", 2)
    said = g.cli("top", "--once").stdout
    for expected in ("tidegate gateway.example", "in 0/s", "queue 3: ", peer.host, "acme", "100"):
        assert expected in said, said
    assert "\x1b" not in said
    assert g.cli("top").stdout.startswith("tidegate gateway.example")  # no terminal: once


class Terminal:
    """`tidegate top` on a terminal of its own."""

    def __init__(self, g, rows, columns):
        self.master, slave = os.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen([ground.BINARY, "top"], stdin=slave, stdout=slave, stderr=slave, env=g.environ(), start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.was, self.slave, self.seen = termios.tcgetattr(slave), slave, b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, what, check):
        def look():
            while select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)
            return check(self.seen)
        return ground.until(f"{what} on the terminal; seen: {self.seen[-300:]}", look)

    def leave(self, key):
        os.write(self.master, key)
        self.until("the first screen again", lambda seen: b"\x1b[?1049l" in seen)
        assert self.process.wait(10) == 0
        assert termios.tcgetattr(self.slave)[3] & termios.ECHO
        os.close(self.master)
        os.close(self.slave)


def fits(picture, rows, columns):
    lines = picture.decode(errors="replace").replace("\x1b[K", "").replace("\x1b[J", "").rstrip().split("\r\n")
    return len(lines) < rows and all(len(line) <= columns for line in lines)


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_top_on_a_terminal(gateway, word, key):
    g = gateway()
    t = Terminal(g, 24, 100)
    t.until("the head", lambda seen: b"tidegate gateway.example" in seen and b"queue 0" in seen)
    g.submit(word)  # held: there is no policy that sends
    t.until("what has come since", lambda seen: b"queue 1" in seen)
    t.resize(10, 41)
    size = len(t.seen)
    t.until("a picture that fits", lambda seen: any(b"tidegate gateway.example" in p and p.endswith(b"\x1b[J") and fits(p, 10, 41)
                                                    for p in seen[size:].split(b"\x1b[H")))
    t.leave(key)


def test_top_without_a_gateway(gateway):
    g = gateway()
    g.stop()
    assert g.cli("top", "--once", check=False).returncode == 69
