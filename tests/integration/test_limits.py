# SPDX-License-Identifier: MIT
"""Limits: what the peers count, what waits, and until when."""
import pathlib
import smtplib
import sys
import time

import pytest
from lab import clients, ground, mail, policies

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "torture"))

pytestmark = pytest.mark.core


def limited(peer, spend, more="", retry=None, before=""):
    return policies.routed(f'via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, spend = {{ {spend} }},{more}', retry, before)


def submit(g, word, count, **fields):
    for i in range(count):
        g.submit(f"{word}n{i}", **fields)


def row_of(g, key):
    rows = [r for r in g.control("limit")[0] if r["key"] == key]
    assert len(rows) == 1, rows
    return rows[0]


def test_a_day(gateway, scripted, word):
    """Twenty for a cap of seven: seven go, thirteen wait uncounted, and go when the window lets them."""
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_day("acme", 7)'))
    submit(g, word, 20)
    g.until_event("limit", 13)
    ground.until("seven arrive", lambda: len(peer.accepted) == 7, log=g.log)
    assert row_of(g, "acme")["used"] == 7
    rows = g.queue()
    assert len(rows) == 13 and all(r["state"] == "parked" and r["attempts"] == 0 for r in rows)
    event = g.events("limit")[0]
    assert event["limit"]["key"] == "acme" and event["limit"]["cap"] == 7 and event["limit"]["used"] == 7 and event["limit"]["window_s"] == 86400
    g.advance_clock(80000)
    time.sleep(0.5)
    assert len(peer.accepted) == 7
    g.advance_clock(9000)
    ground.until("seven more", lambda: len(peer.accepted) == 14, log=g.log)
    g.advance_clock(89000)
    ground.until("the last", lambda: len(peer.accepted) == 20, log=g.log)
    g.until_empty()
    assert g.status()["deferred"] == 0 and row_of(g, "acme")["used"] == 6
    # Those that waited were called when there was room, and not again and again.
    assert len(g.events("limit")) <= 13 + 6 + 2


def test_what_the_peer_refuses_is_not_spent(gateway, scripted, word):
    peer = scripted(rcpt={"good": "250 ok", "*": "550 5.1.1 no"})
    g = gateway(policy=limited(peer, 'limit.per_day("acme", 2), limit.per_day("tries", 100, { count = "attempts" })'))
    submit(g, word, 10, to=["bad@b.example"], sender="")
    g.until_event("bounced", 10)
    submit(g, word + "g", 3, to=["good@b.example"], sender="")
    g.until_event("delivered", 2, recipient="good@b.example")
    g.until_event("limit", 1)
    assert row_of(g, "acme")["used"] == 2 and row_of(g, "tries")["used"] == 12


def test_recipients(gateway, scripted, word):
    """A message for six, where four more may go: four go now."""
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_day("people", 10, { per = "recipient" })'))
    g.submit(word + "a", to=[f"r{i}@b.example" for i in range(6)])
    ground.until("six arrive", lambda: len(peer.accepted) == 1, log=g.log)
    g.submit(word + "b", to=[f"r{i}@b.example" for i in range(6)])
    g.until_event("limit", 2)
    ground.until("ten arrive", lambda: sum(len(m.recipients) for m in peer.accepted) == 10, log=g.log)
    g.until_queue(2)
    assert row_of(g, "people")["used"] == 10


def test_recipients_of_one_message_stay_together(gateway, scripted, word):
    """What waited for a limit of messages goes as one message still, and is charged as one."""
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_day("acme", 2)'))
    submit(g, word, 2)
    ground.until("two arrive", lambda: len(peer.accepted) == 2, log=g.log)
    for i in range(3):
        g.submit(f"{word}m{i}", to=[f"r{n}@b.example" for n in range(5)])
    g.until_event("limit", 15)
    g.advance_clock(90000)
    ground.until("two more arrive", lambda: len(peer.accepted) == 4, log=g.log)
    assert [len(m.recipients) for m in peer.accepted[2:]] == [5, 5]
    assert row_of(g, "acme")["used"] == 2 and len(g.until_queue(5)) == 5
    assert g.queue(lane="limit:acme/86400/2") == g.queue()


def test_a_rate_is_paced(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_second("acme", 5)'), virtual_clock=False)
    submit(g, word, 25)
    ground.until("all arrive", lambda: len(peer.accepted) == 25, 30, log=g.log)
    times = sorted(m.at for m in peer.accepted)
    for i in range(5, 25):
        assert times[i] - times[i - 5] > 0.99, times
    assert times[-1] - times[0] < 12
    g.until_empty()


def test_all_or_none(gateway, scripted, word):
    """The day has room, the hour has none: the day is not charged."""
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_day("acme", 10), limit.per_hour("acme", 3)'))
    submit(g, word, 9)
    g.until_event("limit", 6)
    used = {r["window_s"]: r["used"] for r in g.control("limit")[0]}
    assert used == {3600: 3, 86400: 3}
    for expected in (6, 9):
        g.advance_clock(3700)
        ground.until(f"{expected} arrive", lambda: len(peer.accepted) == expected, log=g.log)
    assert {r["window_s"]: r["used"] for r in g.control("limit")[0]} == {3600: 3, 86400: 9}


def test_restart_and_kill_forget_nothing(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_day("acme", 6)'))
    submit(g, word, 3)
    ground.until("three arrive", lambda: len(peer.accepted) == 3, log=g.log)
    g.until_empty()
    g.restart()
    assert row_of(g, "acme")["used"] == 3
    submit(g, word + "b", 1)
    ground.until("four arrive", lambda: len(peer.accepted) == 4, log=g.log)
    g.until_empty()
    g.kill9()
    g.start()
    assert row_of(g, "acme")["used"] == 4
    submit(g, word + "c", 5)
    g.until_event("limit", 3)
    assert len(peer.accepted) == 6
    g.kill9()
    g.start()
    g.advance_clock(90000)  # they waited in the store, and are found again
    ground.until("all nine arrive", lambda: len(peer.accepted) == 9, log=g.log)
    g.until_empty()


def test_a_higher_cap_after_a_reload(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.per_day("acme", 2)'))
    submit(g, word, 12)
    g.until_event("limit", 10)
    g.write_scripts({"policy.lua": limited(peer, 'limit.per_day("acme", 8)')})
    g.reload()
    ground.until("eight arrive", lambda: len(peer.accepted) == 8, log=g.log)
    g.write_scripts({"policy.lua": limited(peer, "")})
    g.reload()
    ground.until("all arrive", lambda: len(peer.accepted) == 12, 40, log=g.log)
    g.until_empty()


def test_two_caps_on_one_account(gateway, scripted, word):
    """Newsletters may use four of six: a password reset never waits behind them."""
    peer = scripted()
    g = gateway(policy=f'''{policies.PRELUDE}
return {{ route = function(m, r)
    local cap = m.sender:find("^news") and 4 or 6
    return route.send{{ via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, spend = {{ limit.per_day("acme", cap) }} }}
end }}
''')
    submit(g, word, 10, sender="news@sender.example")
    g.until_event("limit", 6)
    submit(g, word + "r", 3, sender="reset@sender.example")
    g.until_event("limit", 1, sender="reset@sender.example")
    ground.until("six arrive", lambda: len(peer.accepted) == 6, log=g.log)
    g.advance_clock(90000)
    ground.until("the last reset arrives", lambda: sum(m.sender.startswith("reset") for m in peer.accepted) == 3, log=g.log)
    ground.until("and some news", lambda: len(peer.accepted) >= 10, log=g.log)
    g.advance_clock(90000)
    ground.until("all arrive", lambda: len(peer.accepted) == 13, log=g.log)


def test_who_waits_for_a_limit_goes_by_class_and_turn(gateway, scripted, word):
    """A backlog of newsletters waits for ten a day: resets pass it, and other senders stand between, over a kill too."""
    peer = scripted()
    g = gateway(policy=f'''{policies.PRELUDE}
return {{ route = function(m, r)
    return route.send{{ via = route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, spend = {{ limit.per_day("acme", 10) }},
                       priority = m.sender:find("^reset") and "urgent" or "bulk" }}
end }}
''')
    submit(g, word, 110, sender="news@list.example")
    g.until_event("limit", 100)
    for i in range(2):
        submit(g, f"{word}s{i}", 2, sender=f"app@shop{i}.example")
    submit(g, word + "r", 3, sender="reset@sender.example")
    g.until_event("limit", 107)
    ground.until("all wait", lambda: g.status()["parked"] == 107, log=g.log)
    g.kill9()
    g.start()
    g.advance_clock(90000)
    ground.until("ten more arrive", lambda: len(peer.accepted) == 20, log=g.log)
    senders = [m.sender.strip("<>") for m in peer.accepted[10:]]
    assert senders.count("reset@sender.example") == 3, senders
    assert senders.count("app@shop0.example") == senders.count("app@shop1.example") == 2, senders
    assert senders.count("news@list.example") == 3, senders


def test_waiting_costs_nothing(gateway, scripted, word):
    """Two days without room: nobody is asked about those who wait but a few, now and then, and nothing is written."""
    peer = scripted()
    g = gateway(policy=limited(peer, 'limit.rolling("acme", 60, "30d")'))
    submit(g, word, 100)
    ground.until("forty wait", lambda: g.status()["parked"] == 40, log=g.log)
    time.sleep(0.5)
    asked, told = len(g.events("routed")), len(g.events("limit"))
    for _ in range(48):
        g.advance_clock(3600)
    time.sleep(0.5)
    assert len(g.events("routed")) - asked <= 60, "one an hour, and a few more as the clock leaps"
    assert len(g.events("limit")) - told <= 2
    assert g.status()["parked"] == 40


def test_first_with_room(gateway, scripted, word):
    """The identity that has room takes it; where none has, the earliest is waited for. No attempt is counted."""
    one, two = scripted(), scripted()
    g = gateway(policy=f'''{policies.PRELUDE}
local function by(name, host, port, n)
    return route.send{{ via = route.relay{{ host = host, port = port, tls = "none" }}, spend = {{ limit.per_day(name, n) }}, because = name }}
end
return {{ route = function(m, r)
    return route.first{{ by("one", "{one.host}", {one.port}, 3), by("two", "{two.host}", {two.port}, 4) }}
end }}
''')
    submit(g, word, 10)
    g.until_event("limit", 3)
    ground.until("three and four", lambda: (len(one.accepted), len(two.accepted)) == (3, 4), log=g.log)
    rows = g.queue()
    assert len(rows) == 3 and all(r["attempts"] == 0 for r in rows)
    g.advance_clock(90000)
    ground.until("all arrive", lambda: len(one.accepted) + len(two.accepted) == 10, log=g.log)
    g.until_empty()


def test_first_that_answers(gateway, scripted, word):
    """A way out that rests is passed over, and the last alternative says what to do when none is left."""
    dead, alive = scripted(), scripted()
    dead.stop()
    g = gateway(policy=f'''{policies.PRELUDE}
local function by(host, port, n) return route.send{{ via = route.relay{{ host = host, port = port, tls = "none" }}, spend = {{ limit.per_day(host, n) }} }} end
return {{
    route = function(m, r) return route.first{{ by("{dead.host}", {dead.port}, 50), by("{alive.host}", {alive.port}, 4), route.hold("none left") }} end,
    retry = function() return retry.wait(1, "again") end,
}}
''')
    submit(g, word, 6)
    g.advance_clock(2)
    ground.until("four arrive", lambda: len(alive.accepted) == 4, log=g.log)
    g.until_event("held", 2)
    assert all(r["used"] == (4 if r["key"] == alive.host else 0) for r in g.control("limit")[0])


def test_left(gateway, word):
    """limit.left tells what the ledger has, whichever worker that is on."""
    g = gateway(workers=4, policy=policies.PRELUDE + '''
return { route = function(m, r)
    local l = limit.per_day("acme/" .. r.local_part, 5)
    return route.send{ via = route.capture{ dir = "in" }, spend = { l }, because = "left " .. limit.left(l) }
end }
''')
    for i in range(3):
        for box in ("a", "b", "c", "d"):
            g.submit(f"{word}{i}{box}", to=[f"{box}@b.example"])
            g.until_event("delivered", i + 1, recipient=f"{box}@b.example")
    for box in ("a", "b", "c", "d"):
        assert [e["because"] for e in g.events("delivered", recipient=f"{box}@b.example")] == ["left 5", "left 4", "left 3"]
    listed = g.cli("limit").stdout
    assert listed.count("acme/") == 4 and "1d" in listed
    assert g.cli("limit", "acme/a", "--json").stdout.count("\n") == 1
    unknown = g.cli("limit", "acme/aa", check=False)
    assert unknown.returncode == 1 and "a limit 'acme/aa' yet" in unknown.stderr


def test_the_cap_under_fire(gateway):
    """In small; see tests/torture/cap.py. So small a cap may lose more than two in a hundred to what was in flight at each kill."""
    import cap
    most = ground.amount("CAP", 500, 100)
    cap.run(messages=most * 4, cap=most, least=most // 2)


def limited_in(spend, more=""):
    """A policy that takes what `spend` has room for, and captures it."""
    return policies.capture(f"message = function(session, message) return answer.accept{{ spend = {{ {spend} }} }} end,{more}")


def refused_for(g, word, to):
    with pytest.raises(smtplib.SMTPResponseException) as caught:
        g.submit(word, to=to)
    return caught.value.smtp_code, caught.value.smtp_error.decode()


def test_what_is_over_is_refused_as_it_comes_in(gateway, word):
    """452 with the time to come back; nothing of it is queued; in time there is room again."""
    g = gateway(policy=limited_in('limit.per_hour("user/ann", 3)'))
    for i in range(3):
        g.submit(f"{word}n{i}")
    code, text = refused_for(g, f"{word}over", "bob@example.net")
    assert code == 452 and text.startswith("4.7.1 Over the limit of 3 messages in 1h, try again in "), text
    g.until_event("limit", 1)
    event = g.events("limit")[0]
    assert event["limit"]["used"] == 3 and event["session"] and "id" not in event, event
    assert row_of(g, "user/ann")["used"] == 3
    g.until_event("delivered", 3)
    g.advance_clock(3700)
    g.submit(f"{word}later")
    g.until_event("delivered", 4)
    assert g.status()["accepted"] == 4


def test_recipients_are_counted_as_they_come_in(gateway, word):
    g = gateway(policy=limited_in('limit.per_day("people", 5, { per = "recipient" })'))
    g.submit(f"{word}a", to=["a@b.example", "c@b.example", "d@b.example"])
    assert refused_for(g, f"{word}b", ["e@b.example", "f@b.example", "g@b.example"])[0] == 452
    g.submit(f"{word}c", to=["e@b.example", "f@b.example"])
    code, text = refused_for(g, f"{word}d", [f"x{i}@b.example" for i in range(6)])
    assert code == 550 and "6 recipients are more than the limit of 5" in text, "no waiting makes room for these"
    assert row_of(g, "people")["used"] == 5


def test_what_came_in_stays_spent_after_a_kill(gateway, word):
    g = gateway(policy=limited_in('limit.per_day("user/ann", 3)'), workers=2)
    g.submit(f"{word}a")
    g.submit(f"{word}b")
    g.kill9()
    g.start()
    g.submit(f"{word}c")
    assert refused_for(g, f"{word}d", "bob@example.net")[0] == 452


def test_a_client_that_vanishes_while_the_ledger_is_asked(gateway, word):
    """The message is whole when it goes: it is taken or not, and the account says which."""
    g = gateway(policy=limited_in('limit.per_day("user/ann", 1000)'), workers=2)
    for i in range(40):
        wire = clients.Wire(g.host, g.RELAY)
        wire.say("EHLO client.example", "250")
        wire.say("MAIL FROM:<alice@sender.example>", "250")
        wire.say("RCPT TO:<bob@example.net>", "250")
        wire.say("DATA", "354")
        wire.send(mail.message(f"{word}n{i}").encode() + b".\r\n")
        wire.close()
    ground.until("all sessions are over", lambda: g.status()["connections"] == 0, log=g.log)
    g.until_empty()
    assert row_of(g, "user/ann")["used"] == g.status()["accepted"]


def test_a_user_by_the_users_file(gateway, word):
    """As shipped: per_hour= on the line of the users file."""
    before = 'local users = require "users"\n--\n'
    table = """message = function(session, message) return answer.accept{ spend = users.limits(session) } end,
        route = function() return route.send{ via = route.capture{} } end,"""
    g = gateway(policy=policies.policy(before + table), users={"demo": ("demo secret", "per_hour=2")})
    with g.login() as s:
        def send(i):
            return s.sendmail("a@sender.example", "bob@example.net", mail.message(f"{word}n{i}"))
        send(0), send(1)
        with pytest.raises(smtplib.SMTPResponseException) as caught:
            send(2)
    assert caught.value.smtp_code == 452 and b"2 recipients in 1h" in caught.value.smtp_error


def test_bounces_close_a_gate(gateway, scripted, word):
    """A warmup with gates: what bounces is counted beside what was sent, and a bad day takes the ladder back; complaints likewise."""
    peer = scripted(rcpt={"gone": "550 5.1.1 no such user", "*": "250 ok"})
    policy = policies.PRELUDE + f'''
local reply, warmup = require "reply", require "warmup"
local warm = warmup.new {{ name = "acme", ladder = {{ 20, 1000 }}, start = "2020-01-01", floor = 2, demote = 1, gates = {{ bounce = 0.1, complaint = 0.01, sample = 10 }} }}
local acme = identity.define {{ name = "acme" }}
return {{
  route = function(m, r)
    local spend, why = warm:limits("other")
    if not spend then return route.wait(3600, why) end
    return route.send {{ via = route.relay {{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, identity = acme, spend = spend, because = why }}
  end,
  retry = reply.hook {{ tally = warmup.bounces {{ warm }} }},
}}
'''
    g = gateway(policy=policy)
    def send(name, count):
        for i in range(count):
            g.submit(f"{word}{name}{i}", to=[f"{name}{i}@b.example"], sender="")  # no reports, which would be sent too
    send("good", 18)
    g.until_event("delivered", 18)
    assert g.events("routed")[-1]["because"].startswith("day "), "no gate is closed"
    send("gone", 3)
    g.until_event("bounced", 3)
    ground.until("the bounces are counted", lambda: [r["used"] for r in g.control("limit")[0] if r["key"] == "bounces/acme/other"] == [3], log=g.log)
    assert row_of(g, "sent/acme/other")["used"] == 18, "what bounced was not sent"
    send("after", 1)  # 3 of 18 is over a tenth: one step back, to 20 a day
    g.until_event("delivered", 19)
    assert "1 steps back" in g.events("routed")[-1]["because"]
    assert row_of(g, "warmup/acme/other")["cap"] == 20
    g.cli("limit", "complaints/acme/other", "--count", "5")
    g.restart()
    send("late", 1)  # 5 complaints of 19 are far over twice the gate: the floor, which is used up
    g.until_event("limit", 1)
    assert row_of(g, "warmup/acme/other")["cap"] == 2
    assert g.cli("limit", "--count", "1", check=False).returncode == 64


def test_a_domain_that_does_not_prove_itself_is_paused(gateway, scripted, word):
    """A DMARC refusal stops all mail of that identity for an hour, with a warning; other mail goes on; no attempt is counted."""
    bad, good = scripted(dot="550 5.7.26 Unauthenticated email from acme.example is not accepted due to domain's DMARC policy"), scripted()
    g = gateway(policy=policies.PRELUDE + f'''
local reply = require "reply"
local who = {{ acme = identity.define {{ name = "acme" }}, other = identity.define {{ name = "other" }} }}
return {{
  route = function(m, r)
    local host = r.domain == "bad.example" and "{bad.host}" or "{good.host}"
    return route.send {{ via = route.relay {{ host = host, port = {good.port}, tls = "none" }}, identity = who[m.sender:match("@(%a+)")] }}
  end,
  retry = reply.hook {{}},
}}
''')
    g.submit(f"{word}a", to="x@bad.example", sender="a@acme.example")
    g.until_event("lane", 1, state="paused", identity="acme")
    g.submit(f"{word}b", to="y@good.example", sender="a@acme.example")
    g.submit(f"{word}c", to="y@good.example", sender="a@other.example")
    good.wait(f"{word}c")
    g.until_queue(2)
    assert all(r["attempts"] == 0 for r in g.queue()) and not good.find(f"{word}b")
    listed = g.cli("identity").stdout
    assert "paused" in listed and "dmarc" in listed, listed
    assert "identity acme is paused for 3600 s" in g.said()
    bad.set(dot="250 ok")
    g.restart()
    assert len(g.queue()) == 2, "a pause outlives a restart"
    g.advance_clock(3700)
    good.wait(f"{word}b")
    assert g.status()["suppressed"] == 0
