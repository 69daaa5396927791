# SPDX-License-Identifier: MIT
"""What an operator does with the queue: through the control socket, and through the command line."""
import json

import pytest
from lab import ground, mail, policies
from lab.gateway import ControlError

pytestmark = [pytest.mark.core, pytest.mark.threads]

POLICY = policies.PRELUDE + '''
local acme = identity.define{ name = "acme", helo = "acme.example" }
return {
    message = function(s, m) return answer.accept{ tags = { team = m.sender:find("^sales") and "sales" or "other" } } end,
    route = function(m, r)
        if r.domain == "hold.example" then return route.hold("by rule") end
        if r.domain == "lane.example" then return route.send{ via = route.relay{ host = "127.0.0.1", port = 9, tls = "none" }, identity = acme } end
        if r.domain == "now.example" then return route.send{ via = route.capture{ dir = "in" } } end
        return route.wait(86400, "not today")
    end,
}
'''


@pytest.fixture
def filled(gateway, word):
    g = gateway(policy=POLICY)
    g.submit(word + "a", to=["a1@wait.example", "a2@hold.example"], sender="sales@sender.example")
    g.submit(word + "b", to=["b1@wait.example"], sender="info@sender.example")
    g.submit(word + "c", to=["c1@hold.example", "c2@other.example"], sender="info@else.example")
    g.until_event("waiting", 3)
    g.until_event("held", 2)
    return g


def addresses(rows):
    return sorted(r["recipient"].split("@")[0] for r in rows)


FILTERS = [({}, "a1 a2 b1 c1 c2"), ({"sender": "sales@sender.example"}, "a1 a2"), ({"sender": "@sender.example"}, "a1 a2 b1"), ({"sender": "*@else.*"}, "c1 c2"),
           ({"sender": "SALES@Sender.Example"}, "a1 a2"), ({"recipient": "b1@wait.example"}, "b1"), ({"recipient": "@hold.example"}, "a2 c1"), ({"recipient": "?1@*"}, "a1 b1 c1"),
           ({"domain": "wait.example"}, "a1 b1"), ({"state": "held"}, "a2 c1"), ({"state": "due"}, "a1 b1 c2"), ({"tag": {"team": "sales"}}, "a1 a2"),
           ({"sender": "@sender.example", "domain": "wait.example"}, "a1 b1"), ({"older_than": 3600}, ""), ({"identity": "acme"}, "")]


def test_filters(filled):
    for filter, expected in FILTERS:
        assert addresses(filled.queue(**filter)) == expected.split(), filter
        assert filled.change("list", count_only=True, **filter) == len(expected.split())
    filled.advance_clock(7200)
    assert len(filled.queue(older_than=3600)) == 5
    a, = filled.queue(recipient="a1@wait.example")
    assert addresses(filled.queue(id=a["id"])) == ["a1", "a2"]
    assert len(filled.queue(limit=2)) == 2


@pytest.mark.parametrize("filter,words", [({"sendr": "x"}, "sender"), ({"state": "hold"}, "held"), ({"id": "zzz"}, "id"), ({"older_than": "x"}, "older_than"), ({"tag": 5}, "tag")])
def test_wrong_filters(filled, filter, words):
    with pytest.raises(ControlError) as refused:
        filled.control("queue", action="list", filter=filter)
    assert words in refused.value.text and refused.value.code == 64
    assert filled.status()["recipients"] == 5


@pytest.mark.parametrize("request_,words", [({"verb": "quue"}, "queue"), ({"verb": "queue", "action": "lst"}, "list"), ({"verb": "status", "x": 1}, "x"), ({}, "verb"), ({"verb": 5}, "verb")])
def test_wrong_requests(gateway, request_, words):
    g = gateway(policy=POLICY)
    verb = request_.pop("verb", None)
    with pytest.raises(ControlError) as refused:
        g.control(verb, **request_)
    assert words in refused.value.text and refused.value.code == 64


def test_nonsense_on_the_socket(gateway):
    g = gateway(policy=POLICY)
    g.status()
    s, reader = g.control_socket
    for line in (b"\xff\xfe\n", b"{\n", b"[]\n", b"null\n", b'{"verb":"status","verb":"stop"}\n', b'{"verb":"queue","action":"show"}\n', b'{"verb":"queue","action":"list","filter":[]}\n'):
        s.sendall(line)
        assert b'"error"' in reader.readline(), line
    s.sendall(b"{" + b" " * 100000 + b"\n")
    assert b'"error"' in reader.readline()
    g.disconnect()
    assert g.status()


def test_hold_release_retry(filled, word):
    assert filled.change("hold", domain="wait.example") == 2
    assert addresses(filled.queue(state="held")) == ["a1", "a2", "b1", "c1"]
    filled.restart()
    assert addresses(filled.queue(state="held")) == ["a1", "a2", "b1", "c1"], "a hold must be durable"
    filled.write_scripts({"policy.lua": policies.capture()})
    filled.reload()
    assert filled.change("retry", domain="other.example") == 1
    filled.captured.wait(word + "c")
    assert filled.change("release", sender="@sender.example") == 3
    filled.until_queue(1)
    assert len(filled.captured.all()) == 4
    assert filled.change("release") == 1
    filled.until_empty()


def test_what_is_so_already_is_not_counted(filled):
    sales = {"sender": "sales@sender.example"} # one waits, one is held
    assert filled.change("release", count_only=True, **sales) == 1
    assert filled.change("release", **sales) == 1
    assert filled.until_event("released")["id"] == filled.queue(**sales)[0]["id"] and len(filled.events("released")) == 1
    assert filled.change("hold", recipient="c?@*") == 2
    assert filled.change("retry", recipient="c?@*") == 0


def test_delete(filled):
    assert filled.change("delete", count_only=True, domain="wait.example") == 2
    assert len(filled.queue()) == 5
    assert filled.change("delete", domain="wait.example") == 2
    filled.restart()
    assert addresses(filled.queue()) == ["a2", "c1", "c2"]
    assert len(filled.until_event("deleted", 2)) == 2
    assert filled.status()["messages"] == 2
    assert filled.change("delete", domain="wait.example") == 0


def test_a_limit_is_kept_by_changes_too(filled):
    _, done = filled.control("queue", action="delete", filter={"domain": "wait.example"}, limit=1)
    assert done["count"] == 1 and len(filled.queue(domain="wait.example")) == 1
    _, done = filled.control("queue", action="release", limit=1)
    assert done["count"] == 1
    filled.until_event("released") # written at the end of a turn
    assert len(filled.events("released")) == 1


@pytest.mark.parametrize("options", [{"count_only": "yes"}, {"count_only": 1}, {"limit": "5"}, {"limit": -1}, {"progress": "often"}])
def test_a_wrong_option_changes_nothing(filled, options):
    with pytest.raises(ControlError) as refused:
        filled.control("queue", action="delete", **options)
    assert next(iter(options)) in str(refused.value)
    assert len(filled.queue()) == 5


def test_bounce(filled):
    before = filled.status()["messages"]
    assert filled.change("bounce", sender="sales@sender.example") == 2
    assert len(filled.until_event("bounced", 2)) == 2
    rows = filled.until_queue(4) if len(filled.queue()) == 4 else filled.until_queue(5)
    reports = [r for r in rows if r["sender"] == ""]
    assert reports and all(r["recipient"] == "sales@sender.example" for r in reports)
    assert before == 3


def test_show(filled, word):
    a, = filled.queue(recipient="a1@wait.example")
    rows = filled.queue("show", id=a["id"])
    message = rows[0]
    assert message["sender"] == "sales@sender.example" and message["recipient_count"] == 2 and word + "a" in message["head"] and message["tags"] == {"team": "sales"}
    one = next(r for r in rows if r.get("recipient") == "a1@wait.example")
    assert one["because"] == "not today" and one["decision"]["where"].startswith("policy.lua:") and one["decision"]["plan"]["do"] == "wait"
    with pytest.raises(ControlError):
        filled.queue("show", id="0000000000000001")


def test_show_remembers_what_is_gone(gateway, word):
    g = gateway(policy=POLICY)
    g.submit(word, to="x@now.example")
    event = g.until_event("delivered")
    g.until_empty()
    journal = [r["journal"] for r in g.queue("show", id=event["id"])]
    assert [e["type"] for e in journal] == ["delivered"] and journal[0]["recipient"] == "x@now.example" and journal[0]["where"].startswith("policy.lua:")


def test_lane_is_a_filter(gateway, word):
    g = gateway(policy=POLICY)
    g.submit(word, to="x@lane.example")
    g.until_event("deferred")
    row, = g.until_queue(1, identity="acme")
    assert row["lane"].startswith("acme|relay:127.0.0.1:9") and len(g.queue(lane=row["lane"])) == 1


def test_drain_and_resume(gateway, word):
    import smtplib
    g = gateway(policy=POLICY)
    g.control("drain")
    assert g.status()["draining"] is True
    with pytest.raises((smtplib.SMTPException, OSError)):
        g.submit(word)
    g.control("resume")
    g.submit(word, to="x@now.example")
    g.captured.wait(word)


def test_log(gateway, word):
    g = gateway(policy=POLICY)
    for i in range(5):
        g.submit(f"{word}{i}", to="x@now.example")
    g.until_event("delivered", 5)
    rows, done = g.control("log", n=3)
    assert len(rows) == 3 and done["count"] == 3 and rows == g.events()[-3:]
    id = g.events("received")[0]["id"]
    assert [e["type"] for e in g.control("log", id=id, n=100)[0]] == ["received", "routed", "delivered"]
    assert len(g.control("log", id=id.upper(), n=100)[0]) == 3
    with pytest.raises(ControlError) as refused:
        g.control("log", id="zzz", n=100)
    assert "16 hex digits" in str(refused.value)
    assert len(g.control("log", type="received", n=100)[0]) == 5


def test_stop_by_the_socket(gateway):
    g = gateway(policy=POLICY)
    g.control("stop")
    assert g.process.wait(10) == 0


# ---- the same from the command line

def test_cli_status_and_list(filled):
    assert "tidegate" in filled.cli("--help").stdout.lower()
    assert filled.cli("status").stdout
    status = json.loads(filled.cli("status", "--json").stdout)
    assert status["recipients"] == 5
    rows = [json.loads(line) for line in filled.cli("queue", "list", "--json").stdout.splitlines()]
    assert addresses(rows) == "a1 a2 b1 c1 c2".split()
    table = filled.cli("queue", "list", "--state", "held").stdout
    assert "a2@hold.example" in table and "by rule" in table and "b1@" not in table
    assert filled.cli("queue", "list", "--count", "--sender", "@sender.example").stdout.strip() == "3"
    assert [json.loads(line) for line in filled.cli("queue", "list", "--json", "--tag", "team=sales", "--domain", "wait.example").stdout.splitlines()][0]["recipient"] == "a1@wait.example"


def test_cli_metrics(filled):
    """What a monitoring system reads: the same figures as status has, each with its help and type; and 0 when nobody is there."""
    filled.advance_clock(90)
    text = filled.cli("status", "--prometheus").stdout
    status = filled.status()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    for name, n in (("up", 1), ("queue_messages", status["messages"]), ("accepted_messages_total", status["accepted"]), ('queue_recipients{state="held"}', status["held"]),
                    ("draining", 0), ("store_has_room", 1), ("disk_size_bytes", status["disk"]["whole_bytes"])):
        assert samples[f"tidegate_{name}"] == str(n), name
    assert 90 <= int(samples["tidegate_queue_oldest_seconds"]) <= status["oldest_s"] < 300
    assert "the oldest for 1m" in filled.cli("status").stdout
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(families) == len(set(families)) and {name.split("{")[0] for name in samples} == set(families)
    filled.cli("queue", "delete", "--all", "--yes")
    assert "tidegate_queue_oldest_seconds 0\n" in filled.cli("status", "--prometheus").stdout and "oldest_s" not in filled.status()
    filled.stop()
    gone = filled.cli("status", "--prometheus", check=False)
    assert gone.returncode == 69 and gone.stdout.endswith("tidegate_up 0\n")


def test_cli_changes(filled):
    asked = filled.cli("queue", "delete", "--domain", "wait.example", check=False)
    assert asked.returncode == 64 and len(filled.queue()) == 5, "without a yes nothing happens"
    everything = filled.cli("queue", "delete", "--yes", check=False)
    assert everything.returncode == 64 and len(filled.queue()) == 5, "no filter means nothing, not everything"
    assert "2" in filled.cli("queue", "hold", "--domain", "wait.example", "--yes").stdout
    assert addresses(filled.queue(state="held")) == ["a1", "a2", "b1", "c1"]
    filled.cli("queue", "release", "--recipient", "a1@*", "--yes")
    filled.cli("queue", "delete", "--yes", "--all")
    assert filled.queue() == []


def test_cli_show_and_log(filled, word):
    a, = filled.queue(recipient="a1@wait.example")
    shown = filled.cli("queue", "show", a["id"]).stdout
    assert "not today" in shown and word + "a" in shown and "policy.lua:" in shown
    assert filled.cli("queue", "show", "0000000000000001", check=False).returncode == 65
    lines = filled.cli("log", "--lines", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines] == [e["type"] for e in filled.events()[-2:]]

    def told(*filters):
        return [json.loads(line) for line in filled.cli("log", "-n", 1000, "--json", *filters).stdout.splitlines()]
    of_one = told("--address", "a1@wait.example")
    assert of_one == [e for e in filled.events() if "a1@wait.example" in (e.get("recipient"), *e.get("recipients", []))]
    of_domain = told("--address", "@wait.example", "--type", "routed")
    assert of_domain and of_domain == [e for e in filled.events("routed") if e["recipient"].endswith("@wait.example")]
    assert told("--address", "1@wait.example") == told("--address", "@ait.example") == told("--identity", "nobody") == []


def test_cli_reload_rollback_drain(gateway):
    g = gateway(policy=POLICY)
    first = g.status()["policy"]
    g.write_scripts({"policy.lua": policies.capture()})
    assert "policy.lua" in g.cli("reload").stdout
    assert g.status()["policy"] != first
    g.write_scripts({"policy.lua": "return {"})
    bad = g.cli("reload", check=False)
    assert bad.returncode == 78 and "policy.lua" in bad.stderr
    g.cli("rollback")
    assert g.status()["policy"] == first
    g.cli("drain")
    assert g.status()["draining"] is True


def test_cli_without_a_gateway(gateway):
    g = gateway(policy=POLICY)
    g.stop()
    gone = g.cli("status", check=False)
    assert gone.returncode == 69 and gone.stderr.strip()


@pytest.mark.parametrize("arguments,code,words", [(["statu"], 64, "status"), (["queue"], 64, "list"), (["queue", "list", "--sendr", "x"], 64, "sender"), (["queue", "list", "--limit", "x"], 64, "limit"),
                                                  (["queue", "list", "--state", "x"], 64, "held"), (["log", "--type", "bounce"], 64, "did you mean 'bounced'?"), (["version"], 0, "idegate"), ([], 64, "--help")])
def test_cli_usage(gateway, arguments, code, words):
    g = gateway(policy=POLICY, start=False)
    done = g.cli(*arguments, check=False)
    assert done.returncode == code and words.lower() in (done.stdout + done.stderr).lower(), done


def test_cli_send(gateway, word):
    g = gateway(policy=policies.capture())
    done = g.cli("send", "--server", f"{g.host}:{g.SUBMISSION}", "--insecure", "--user", g.USER, "--password", g.PASSWORD, "--from", "a@sender.example", "--to", "b@example.net",
                 "--subject", f"about {word}", "--body", "hello")
    assert done.returncode == 0
    assert g.captured.wait(word).field("Subject") == f"about {word}"
    wrong = g.cli("send", "--server", f"{g.host}:{g.SUBMISSION}", "--insecure", "--user", g.USER, "--password", "x", "--from", "a@sender.example", "--to", "b@example.net", check=False)
    assert wrong.returncode == 77


def test_cli_check(gateway, word):
    g = gateway(policy=policies.capture(), start=False)
    assert g.cli("check").returncode == 0
    g.configure(limits={"recipents": 5, "recipients": 99999999}, workers="many")
    g.write_scripts({"policy.lua": "return { rout = 5 }"})
    done = g.cli("check", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 78
    for words in ("limits.recipents", "did you mean 'recipients'", "limits.recipients", "workers", "tidegate.lua"):
        assert words in said, said
    g.start(wait=False)
    assert g.process.wait(10) == 78
    g.process = None
    assert "recipents" in g.said()


def test_cli_check_store(gateway, word):
    g = gateway(policy=policies.policy('route = function() return route.hold("x") end'))
    for i in range(20):
        g.submit(f"{word}{i}")
    g.stop()
    done = g.cli("check", "--store")
    assert done.returncode == 0, done


def test_how_far_a_long_walk_is(gateway, word):
    """Who asks for it is told now and then, at once for the first time; the verbs ask, and show it where there is a terminal."""
    g = gateway(policy=policies.policy('--\nroute = function() return route.hold("by rule") end'))
    g.submit(word, to=[f"r{i}@example.net" for i in range(40)])
    g.until_queue(40, limit=100)
    rows, done = g.control("queue", action="list", count_only=True, progress=True)
    assert rows == [{"progress": {"looked": 0, "count": 0}}] and done["count"] == 40
    rows, done = g.control("queue", action="delete", filter={}, progress=True)
    assert rows[0]["progress"] == {"looked": 0, "count": 0} and done["count"] == 40
    assert g.cli("queue", "list", "--count").stdout == "0\n"
