# SPDX-License-Identifier: MIT
"""Reload while mail flows: no connection dropped, one policy version for all hooks of a transaction, and every decision of one."""
import threading
import time

import pytest
from lab import ground, mail, policies
from lab.clients import Wire

pytestmark = [pytest.mark.core, pytest.mark.threads]
RELOADS = ground.amount("RELOADS", 200, 60)


def version(n, broken=False):
    """A policy whose every hook says which one it is. The marks must agree within a transaction, and with the version in the events."""
    if broken:
        return f"-- {n}\nreturn {{ route = function( }}"
    return policies.PRELUDE + f'''
local mark = "p{n}"
local seen = {{}}
return {{
    sender = function(s, a) seen[s.id] = mark return answer.accept{{}} end,
    recipient = function(s, a) if seen[s.id] ~= mark then return answer.reject("550 5.0.0 another version at RCPT") end return answer.accept{{}} end,
    message = function(s, m)
        if seen[s.id] ~= mark then return answer.reject("550 5.0.0 another version at the message") end
        return answer.accept{{ tags = {{ mark = mark }}, headers = {{ {{ add = "X-Mark", value = mark }} }} }}
    end,
    route = function(m, r) return route.send{{ via = route.capture{{ dir = "in" }}, because = mark }} end,
}}
'''


class Client(threading.Thread):
    """One connection for the whole time; each message in slow steps, so that reloads fall inside of transactions."""

    def __init__(self, g, name):
        super().__init__(daemon=True)
        self.g, self.name_, self.sent, self.fault, self.ended = g, name, [], None, False

    def run(self):
        try:
            with Wire(self.g.host, self.g.RELAY) as w:
                w.say("EHLO client.example", "250")
                while not self.ended:
                    word = mail.token()
                    w.say("MAIL FROM:<a@sender.example>", "250")
                    time.sleep(0.005)
                    w.say(f"RCPT TO:<{word}@example.net>", "250")
                    time.sleep(0.005)
                    w.say("DATA", "354")
                    w.send(mail.message(word))
                    time.sleep(0.005)
                    w.send(".\r\n")
                    w.expect("250")
                    self.sent.append(word)
                w.say("QUIT", "221")
        except Exception as e:
            self.fault = e


def test_reload_under_load(gateway):
    g = gateway(policy=version(0))
    clients = [Client(g, i) for i in range(6)]
    for c in clients:
        c.start()
    versions, marks, slowest = {g.status()["policy"]: "p0"}, 0, 0
    for n in range(1, RELOADS + 1):
        if n % 10 == 0:
            before = g.status()["policy"]
            g.write_scripts({"policy.lua": version(n, broken=True)})
            with pytest.raises(AssertionError) as refused:
                g.reload()
            assert "policy.lua:" in str(refused.value)
            assert g.status()["policy"] == before
            marks += 1
            continue
        g.write_scripts({"policy.lua": version(n)})
        done = g.reload()[1]
        slowest = max(slowest, done["took_ms"])
        versions[done["version"]] = f"p{n}"
    for c in clients:
        c.ended = True
    for c in clients:
        c.join(30)
        assert c.fault is None, f"a connection did not live through the reloads: {c.fault}"
    sent = [word for c in clients for word in c.sent]
    assert len(sent) > RELOADS / 2
    g.until_empty(30)
    received = {e["recipients"][0].split("@")[0]: e for e in g.events("received")}
    delivered = {e["recipient"].split("@")[0]: e for e in g.events("delivered")}
    assert set(sent) == set(received) == set(delivered)
    for word in sent:
        assert received[word]["tags"]["mark"] == versions[received[word]["policy"]], received[word]
        assert delivered[word]["because"] == versions[delivered[word]["policy"]], delivered[word]
    used = {e["policy"] for e in received.values()}
    assert len(used) > min(20, RELOADS / 4), "the reloads did not fall among the mail"
    assert len(g.events("reloaded")) == len(versions) - 1 and marks == RELOADS // 10
    print(f"{RELOADS} reloads, {len(sent)} messages over {len(clients)} connections, slowest reload {slowest} ms, {len(used)} versions received mail")


def test_queued_mail_follows(gateway):
    """What waits is routed by the policy of its next attempt."""
    g = gateway(policy=policies.policy('route = function() return route.wait(3600, "old") end'))
    words = [mail.token() for _ in range(50)]
    for word in words:
        g.submit(word, to=f"{word}@example.net")
    g.until_event("waiting", 50)
    g.write_scripts({"policy.lua": version(1)})
    new = g.reload()[1]["version"]
    g.advance_clock(3601)
    events = g.until_event("delivered", 50)
    assert {e["policy"] for e in events} == {new} and {e["because"] for e in events} == {"p1"}


def test_memory_does_not_grow_with_reloads(gateway):
    g = gateway(policy=version(0), workers=2)
    for n in range(30):
        g.write_scripts({"policy.lua": version(n)})
        g.reload()
    first = g.status()["memory_rss"]
    for n in range(120):
        g.write_scripts({"policy.lua": version(n + 100)})
        g.reload()
    grown = g.status()["memory_rss"] - first
    assert grown < 8 << 20 or ground.PATIENCE > 1, f"{grown >> 10} KiB more after 120 reloads"
