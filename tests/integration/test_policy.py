# SPDX-License-Identifier: MIT
"""The wall: what each hook may say and what comes of it, faults, budgets, and which version decided."""
import signal

import pytest
from lab import ground, mail, policies
from lab.clients import Wire
from lab.gateway import ControlError

pytestmark = pytest.mark.core
CAPTURE = 'route = function() return route.send{ via = route.capture{ dir = "in" } } end,\n'


def wall(gateway, hooks, before="", **options):
    return gateway(policy=f"{policies.PRELUDE}{before}\nreturn {{\n{CAPTURE}{hooks}\n}}\n", **options)


def hello(g, port=None):
    w = Wire(g.host, port or g.RELAY)
    w.say("EHLO client.example", "250")
    return w


# ---- session hooks

def test_refusals_are_told(gateway, word):
    """Who was refused, at what, in which words, and why: one event each, for people, for settle and for whoever bans by log."""
    g = wall(gateway, '''connect = function(s) return s.client_ip == "127.0.0.66" and answer.reject("554 5.7.1 not you", "on our list") or answer.accept{} end,
    sender = function(s, a) return a.address == "" and answer.defer("451 4.7.1 no bounces now") or answer.accept{} end,
    recipient = function(s, a) return a.local_part == "no" and answer.reject("550 5.1.1 no", "left in May") or answer.accept{} end,
    message = function(s, m) return m:header("Subject") == "sell" and answer.reject("550 5.7.1 no selling") or answer.accept{} end,''')
    with Wire(g.host, g.RELAY, source="127.0.0.66", banner=False) as w:
        w.expect("554 5.7.1", "554")
    with hello(g) as w:
        w.say("MAIL FROM:<>", "451 4.7.1")
        w.say("MAIL FROM:<a@good.example>", "250")
        w.say("RCPT TO:<no@example.net>", "550 5.1.1")
        w.say("RCPT TO:<b@example.net>", "250")
        w.say("DATA", "354")
        w.send("Subject: sell\r\n\r\nnow\r\n.\r\n")
        w.expect("550 5.7.1")
    with pytest.raises(Exception):
        g.smtp(g.SUBMISSION).login("nobody", "wrong")  # not in the clear
    s = g.smtp(g.SUBMISSION)
    s.starttls(context=g.client_context())
    with pytest.raises(Exception, match="535"):
        s.login("nobody", "wrong")
    s.close()
    told = g.until_event("refused", count=5)
    told = told[:5]  # smtplib tries another mechanism
    assert [e["stage"] for e in told] == ["connect", "mail", "rcpt", "content", "auth"]
    connect, sender, recipient, content, auth = told
    assert connect["client_ip"] == "127.0.0.66" and connect["because"] == "on our list" and "sender" not in connect
    assert sender["sender"] == "" and sender["reply"] == {"code": 451, "status": "4.7.1", "text": "no bounces now"}
    assert (recipient["sender"], recipient["recipient"], recipient["because"]) == ("a@good.example", "no@example.net", "left in May")
    assert recipient["where"].startswith("policy.lua:") and recipient["policy"] and recipient["helo"] == "client.example"
    assert content["recipient"] == "b@example.net" and content["reply"]["text"] == "no selling"
    assert auth["login"] == "nobody" and auth["reply"]["code"] == 535 and "sender" not in auth and auth["listener"] == "submission"
    shown = g.cli("log", "--type", "refused").stdout
    assert "refused at rcpt, client 127.0.0.1 from a@good.example to no@example.net: 550 5.1.1 no - left in May at policy.lua:" in shown.replace(g.host, "127.0.0.1")
    assert "at auth, client" in shown and "logging in as nobody" in shown


def test_connect(gateway):
    g = wall(gateway, '''connect = function(s)
        if s.client_ip == "127.0.0.66" then return answer.reject("554 5.7.1 not you") end
        if s.client_ip == "127.0.0.67" then return answer.defer("421 4.7.0 not now") end
        return answer.accept{} end''')
    hello(g).say("NOOP", "250")
    with Wire(g.host, g.RELAY, source="127.0.0.66", banner=False) as w:
        w.expect("554 5.7.1", "554")
    with Wire(g.host, g.RELAY, source="127.0.0.67", banner=False) as w:
        w.expect("421 4.7.0")
        w.until_closed()


def test_sender_and_recipient(gateway, word):
    g = wall(gateway, '''sender = function(s, a)
        if a.domain == "bad.example" then return answer.reject("550 5.7.1 bad sender", "listed") end
        if a.address == "" then return answer.defer("451 4.7.1 no bounces now") end
        return answer.accept{} end,
    recipient = function(s, a)
        if a.local_part == "no" then return answer.reject("550 5.1.1 no") end
        if a.domain == "later.example" then return answer.defer("450 4.2.0 later") end
        return answer.accept{} end,''')
    with hello(g) as w:
        w.say("MAIL FROM:<a@BAD.example>", "550 5.7.1 bad sender")
        w.say("MAIL FROM:<>", "451 4.7.1")
        w.say("MAIL FROM:<a@good.example>", "250")
        w.say("RCPT TO:<no@example.net>", "550 5.1.1")
        w.say("RCPT TO:<b@later.example>", "450 4.2.0")
        w.say("RCPT TO:<b@example.net>", "250")
        w.say("DATA", "354")
        w.send(mail.message(word) + ".\r\n")
        w.expect("250")
    assert g.captured.wait(word).field("Delivered-To") == "b@example.net"


def test_message(gateway, word):
    g = wall(gateway, '''message = function(s, m)
        local what = m:header("X-Do")
        if what == "reject" then return answer.reject("554 5.7.1 content") end
        if what == "defer" then return answer.defer("451 4.7.1 content") end
        if what == "discard" then return answer.discard("thrown away") end
        if what == "hold" then return answer.hold("look at it") end
        return answer.accept{ tags = { team = "sales", n = 3 }, headers = { { add = "X-Seen", value = m.sender .. " " .. #m.recipients } } } end,''')
    with hello(g) as w:
        for do, reply in (("reject", "554 5.7.1 content"), ("defer", "451 4.7.1"), ("discard", "250"), ("hold", "250"), ("accept", "250")):
            w.say("MAIL FROM:<a@sender.example>", "250")
            w.say("RCPT TO:<b@example.net>", "250")
            w.say("DATA", "354")
            w.send(mail.message(word + do, extra=f"X-Do: {do}\r\n") + ".\r\n")
            w.expect(reply)
    assert g.captured.wait(word + "accept").field("X-Seen") == "a@sender.example 1"
    assert g.until_event("received", tags={"team": "sales", "n": 3})
    row, = g.until_queue(1)
    assert row["state"] == "held"
    assert g.until_event("discarded")["because"] == "thrown away"
    assert not g.captured.find(word + "reject") + g.captured.find(word + "defer") + g.captured.find(word + "discard")
    assert g.change("release") == 1
    g.captured.wait(word + "hold")


def test_authenticate(gateway, authority):
    g = wall(gateway, '''authenticate = function(s, login)
        if login.user == "token" and login.password == "let me in" then return answer.accept{ facts = { role = "robot" } } end
        if login.password_matches then return answer.accept{ facts = { role = login.known.team } } end
        return answer.reject("535 5.7.8 go away") end,
    sender = function(s, a) if s.user_facts.role == "robot" then return answer.accept{} end return answer.reject("550 5.7.1 only robots, not " .. s.user_facts.role) end,''')
    for user, password, login, sender in (("token", "let me in", 235, 250), (g.USER, g.PASSWORD, 235, 550), ("token", "x", 535, 530)):
        with g.smtp(g.SUBMISSION) as s:
            s.starttls(context=g.client_context())
            s.ehlo()
            s.user, s.password = user, password
            try:
                assert s.auth("PLAIN", s.auth_plain)[0] == login
            except Exception as e:
                assert getattr(e, "smtp_code", None) == login, e
            code, text = s.mail("a@sender.example")
            assert code == sender, text


def test_facts_of_the_session(gateway, word):
    g = wall(gateway, '''message = function(s, m)
        return answer.accept{ tags = { id = s.id, listener = s.listener, kind = s.kind, ip = s.client_ip, helo = s.helo, tls = s.tls_version, user = s.user, trusted = s.trusted_network,
            size = m.size, sender = m.sender, to = table.concat(m.recipients, ",") } } end,''')
    with g.login() as s:
        s.sendmail("a@sender.example", ["b@example.net", "c@example.net"], mail.message(word).encode())
    tags = g.until_event("received")["tags"]
    assert tags["listener"] == "submission" and tags["kind"] == "submission" and tags["ip"] == "127.0.0.1" and tags["helo"] == "client.example"
    assert tags["tls"].startswith("TLSv1") and tags["user"] == g.USER and tags["trusted"] is False and tags["to"] == "b@example.net,c@example.net" and tags["size"] > 300


# ---- route

PLANS = {
    "hold": ('route.hold("until Monday")', "held", "held"),
    "wait": ('route.wait(600, "quota is used up")', "waiting", "due"),
    "discard": ('route.discard("test mail")', "discarded", None),
    "fail": ('route.fail("550 5.7.1 not to them", "competitor")', "bounced", None),
    "suppress": ('route.suppress("unsubscribed")', "suppressed", None),
}


@pytest.mark.parametrize("plan", PLANS)
def test_plans_that_send_nothing(gateway, word, plan):
    script, type, state = PLANS[plan]
    g = gateway(policy=policies.policy(f"route = function() return {script} end"))
    g.submit(word, sender="")
    event = g.until_event(type)
    assert event["because"] == {"hold": "until Monday", "wait": "quota is used up", "discard": "test mail", "fail": "competitor", "suppress": "unsubscribed"}[plan]
    assert event["where"].startswith("policy.lua:") and len(event["policy"]) == 12
    rows = g.until_queue(1 if state else 0)
    if state:
        assert rows[0]["state"] == state and rows[0]["attempts"] == 0 and rows[0]["because"] == event["because"]


def test_waiting_is_no_attempt_and_ends(gateway, word):
    g = gateway(policy=policies.PRELUDE + '''
local count = 0
return { route = function(m, r)
    count = count + 1
    if count < 4 then return route.wait(600, "round " .. count) end
    return route.send{ via = route.capture{ dir = "in" } } end }
''', workers=1)
    g.submit(word)
    for n in range(1, 4):
        ground.until(f"round {n}", lambda: [e for e in g.events("waiting") if e["because"] == f"round {n}"], log=g.log)
        g.advance_clock(601)
    g.captured.wait(word)
    assert g.until_event("delivered")["attempt"] == 1


def test_fresh_install_sends_nothing(gateway, word):
    """No route hook: everything is held (design.md section 6)."""
    g = gateway(policy="return {}\n")
    g.submit(word)
    row, = g.until_queue(1, state="held")
    assert row["attempts"] == 0


def test_each_recipient_has_its_own_plan(gateway, scripted, word):
    one, two = scripted(), scripted()
    g = gateway(policy=policies.policy(f'''route = function(m, r)
        local host = r.domain == "one.example" and "{one.host}" or "{two.host}"
        return route.send{{ via = route.relay{{ host = host, port = {one.port}, tls = "none" }} }} end'''))
    g.submit(word, to=["a@one.example", "b@two.example", "c@one.example"])
    assert one.wait(word).recipients == ["a@one.example", "c@one.example"]
    assert two.wait(word).recipients == ["b@two.example"]


def test_route_waits_for_dns(gateway, knot, word, domain):
    knot.add(f"{domain} MX 10 aspmx.{domain}", f"aspmx.{domain} A 127.0.0.1")
    g = gateway(policy='local dns = require "dns"\n' + policies.PRELUDE + '''return { route = function(m, r)
        local mx, why = dns.mx(r.domain)
        if not mx then return route.hold("no mx: " .. tostring(why)) end
        return route.send{ via = route.capture{ dir = "in" }, because = mx[1].host } end }''', dns=knot)
    g.submit(word, to=f"bob@{domain}")
    assert g.until_event("delivered")["because"] == f"aspmx.{domain}"


def test_settle_is_told(gateway, word):
    g = wall(gateway, 'settle = function(event) log.info("settled " .. event.type .. " " .. (event.recipient or "")) end,')
    g.submit(word)
    ground.until("settle has logged it", lambda: "settled delivered bob@example.net" in g.said(), log=g.log)


# ---- faults

FAULTS = {
    "raises": "error('oh no')",
    "loops": "while true do end",
    "loops inside pcall": "while true do pcall(function() while true do end end) end",
    "takes memory": "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    "makes one huge text": "local s = ('x'):rep(1e9)",
    "answers nonsense": "return 'yes'",
    "answers nothing": "return nil",
    "answers with an unknown field": "return answer.accept{ tag = { a = 1 } }",
    "indexes nil": "return s.no.such",
    "matches for ever": "return (('a'):rep(300)):find(('.-'):rep(6) .. 'b') and nil",
    "recurses": "local function f() return 1 + f() end return f()",
}


@pytest.mark.parametrize("hook", ["connect", "sender", "recipient", "message"])
@pytest.mark.parametrize("fault", ["raises", "loops", "answers nonsense"])
def test_fault_in_a_session_hook_is_451(gateway, word, hook, fault):
    g = wall(gateway, f"{hook} = function(s, a) {FAULTS[fault]} end,", workers=1)
    with Wire(g.host, g.RELAY, banner=False) as w:
        if hook == "connect":
            w.expect("451 4.3.0", "421 4.3.0", "451")
        else:
            w.expect("220")
            w.say("EHLO client.example", "250")
            code = w.say("MAIL FROM:<a@sender.example>")
            if hook != "sender":
                code = w.say("RCPT TO:<b@example.net>")
            if hook == "message":
                w.say("DATA", "354")
                w.send(mail.message(word) + ".\r\n")
                code = w.reply()
            assert code.startswith("451 4.3.0"), code
    event = g.until_event("fault")
    assert "policy.lua:" in event["where"] + event["because"] or "returned" in event["because"]
    assert g.status()["faults"] >= 1


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_route_waits_and_counts_nothing(gateway, word, fault):
    g = gateway(policy=policies.PRELUDE + f'''return {{ route = function(m, r)
        if r.domain == "good.example" then return route.send{{ via = route.capture{{ dir = "in" }} }} end
        local s = {{}}
        {FAULTS[fault]}
    end }}''', workers=1, hooks={"memory": "16MiB", "time": "5s"})
    g.submit(word, to="bob@bad.example")
    event = g.until_event("fault", recipient="bob@bad.example", seconds=30)
    assert "policy.lua" in event["because"] + event["where"] or "budget" in event["because"] or "memory" in event["because"] or "returned" in event["because"], event
    row, = g.until_queue(1)
    assert row["attempts"] == 0 and row["state"] == "due"
    g.submit(word + "good", to="bob@good.example")
    g.captured.wait(word + "good", seconds=10)
    assert not g.events("bounced")


def test_fault_in_retry_waits(gateway, scripted, word):
    peer = scripted(rcpt=["450 4.2.0 no", "250 ok"])
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", retry="error('retry broke')"))
    g.submit(word)
    g.until_event("deferred")
    row, = g.until_queue(1)
    assert row["attempts"] == 0
    g.advance_clock(3600)
    peer.wait(word)


def test_scripts_cannot_reach_out(gateway, word):
    """Nothing of the machine is within a script's reach."""
    probes = ["io", "debug", "os and os.execute", "os and os.remove", "os and os.getenv", "os and os.exit", "dofile", "loadfile", "package and package.loadlib", "collectgarbage",
              "string.dump", "rawget(_G or {}, 'io')", "load and load('\\27Lua')"]
    # Asking for a global that is not there raises; that is as good as nil.
    found = " ".join(f"do local there, value = pcall(function() return {p} end) if there and value then t[#t + 1] = [[{p}]] end end" for p in probes)
    g = wall(gateway, f"message = function(s, m) local t = {{}} {found} return answer.accept{{ tags = {{ found = table.concat(t, ',') }} }} end,")
    g.submit(word)
    tags = g.until_event("received").get("tags", {})
    assert tags.get("found", "") == "", tags


def test_scripts_keep_no_secrets_from_each_other(gateway, word):
    """Facts are read-only, and a handle goes stale with its transaction."""
    g = wall(gateway, '''message = function(s, m)
        local written = pcall(function() s.client_ip = "1.2.3.4" end)
        local first = kept and pcall(function() return kept:header("Subject") end)
        return answer.accept{ tags = { written = written } } end,'''.replace("kept and pcall(function() return kept:header(\"Subject\") end)", "nil"))
    g.submit(word)
    assert g.until_event("received")["tags"] == {"written": False}


# ---- reload, rollback, versions

def test_queued_mail_follows_the_new_policy(gateway, word):
    g = gateway(policy=policies.policy('route = function() return route.wait(86400, "old") end'))
    g.submit(word)
    old = g.until_event("waiting")["policy"]
    g.write_scripts({"policy.lua": policies.capture()})
    _, done = g.reload()
    assert done["was"] == old and done["version"] != old and done["changed"] == ["changed policy.lua"] and done["took_ms"] < 2000
    assert g.status()["policy"] == done["version"]
    g.change("retry")
    g.captured.wait(word)
    assert g.until_event("delivered")["policy"] == done["version"]
    assert g.until_event("reloaded")["was"] == old
    assert f"reloaded policy {done['version']}, was {old}" in g.cli("log", "--type", "reloaded").stdout


@pytest.mark.parametrize("broken,words", [("return {", "policy.lua:"), ("error('at load')", "at load"), ("return 5", "policy.lua"), ("return { rout = function() end }", "rout"),
                                          ("local x = require 'nowhere'\nreturn {}", "nowhere"),
                                          ("identity = nil\nundefined_global.x = 1\nreturn {}", "policy.lua:"), (None, "policy.lua")])
def test_broken_scripts_change_nothing(gateway, word, broken, words):
    g = gateway(policy=policies.capture())
    version = g.status()["policy"]
    if broken is None:
        (g.folder / "scripts/policy.lua").unlink()
    else:
        g.write_scripts({"policy.lua": broken})
    with pytest.raises(ControlError) as refused:
        g.reload()
    assert words in refused.value.text and refused.value.code == 78
    assert g.status()["policy"] == version
    g.submit(word)
    g.captured.wait(word)


def test_a_script_that_loops_at_load_holds_up_nobody(gateway, word):
    """It is refused when its budget is used up; until then the gateway answers and takes mail, and may even be stopped."""
    g = gateway(policy=policies.capture())
    g.write_scripts({"policy.lua": "while true do end\n"})
    g.process.signal(signal.SIGHUP)
    answers = 0
    while "reload refused" not in g.said():
        g.submit(f"{word}n{answers}")
        assert g.status()["policy"]
        answers += 1
    assert answers >= 3
    assert "steps" in g.said()
    g.process.signal(signal.SIGHUP)
    g.stop()


def test_rollback(gateway, word):
    g = gateway(policy=policies.capture())
    first = g.status()["policy"]
    g.write_scripts({"policy.lua": policies.policy('route = function() return route.hold("new") end')})
    second = g.reload()[1]["version"]
    assert g.reload()[1]["version"] == second and g.status()["previous_policy"] == first  # the same again is no other
    g.restart()
    assert g.control("rollback")[1]["version"] == first
    g.submit(word)
    g.captured.wait(word)
    assert g.status()["policy"] == first and g.status()["previous_policy"] == second


def test_restart_with_broken_scripts_runs_the_last_good_ones(gateway, word):
    g = gateway(policy=policies.capture())
    version = g.status()["policy"]
    g.stop()
    g.write_scripts({"policy.lua": "return {"})
    g.start()
    assert g.status()["policy"] == version
    assert "policy.lua" in g.said()
    g.submit(word)
    g.captured.wait(word)


def test_modules_of_the_scripts_folder(gateway, word):
    g = gateway(policy=policies.PRELUDE + 'local ways = require "ways.mine"\nreturn { route = function() return route.send{ via = route.capture{ dir = ways.dir } } end }',
                scripts={"ways/mine.lua": "return { dir = 'in' }\n"})
    g.submit(word)
    g.captured.wait(word)
    g.write_scripts({"ways/mine.lua": "return { dir = 'elsewhere' }\n"})
    assert g.reload()[1]["changed"] == ["changed ways/mine.lua"]
    g.submit(word + "b")
    mail.Maildir(g.folder / "var/capture/elsewhere").wait(word + "b")


def test_hup_reloads(gateway, word):
    g = gateway(policy=policies.capture())
    before = g.status()["policy"]
    g.write_scripts({"policy.lua": policies.capture() + "-- changed\n"})
    g.process.signal(signal.SIGHUP)
    ground.until("SIGHUP has reloaded", lambda: g.status()["policy"] != before, log=g.log)


def test_reload_of_the_configuration(gateway, word):
    g = gateway(policy=policies.capture())
    g.configure(limits={"message_size": "512KiB"})
    g.reload()
    with hello(g) as w:
        w.say("MAIL FROM:<a@sender.example> SIZE=600000", "552")
    g.configure(limits={"mesage_size": "512KiB"})
    with pytest.raises(ControlError) as refused:
        g.reload()
    assert "mesage_size" in refused.value.text and "message_size" in refused.value.text
    g.configure(limits={"mesage_size": None}, workers=7)
    _, done = g.reload()
    assert any("workers" in w for w in done["warnings"])
    assert g.status()["workers"] == 2
