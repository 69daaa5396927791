# SPDX-License-Identifier: MIT
"""Who must not be written to: the list, from every side: policy, bounces, operators, whole files."""
import csv
import io
import json
import os
import resource
import socket
import time

import pytest
from lab import ground, mail, policies
from lab.gateway import ControlError

core = pytest.mark.core
PRELUDE = policies.PRELUDE + 'local suppression = require "suppression"\n'


def guarded(via, more="", where="", retry="retry.default"):
    """Reports to sender.example are captured, all else goes by `via`; the list is asked first."""
    return PRELUDE + f'''
local acme = identity.define{{ name = "acme" }}
local function way(m, r)
    if r.domain == "sender.example" then return route.send{{ via = route.capture{{ dir = "in" }} }} end
    return route.send{{ via = {via}, identity = acme }}
end
return {{ route = suppression.guard(way, {where or "nil"}), retry = {retry}, {more} }}
'''


def relay(peer):
    return f'route.relay{{ host = "{peer.host}", port = {peer.port}, tls = "none" }}'


def entries(g, **filter):
    return g.control("suppression", action="list", filter=filter, limit=0)[0]


def addresses(rows):
    return [r["address"] for r in rows]


def add(g, address, **fields):
    assert g.control("suppression", action="add", address=address, **fields)[1]["count"] == 1


# ---- mail

@core
def test_an_entry_added_now_stops_mail_queued_yesterday(gateway, scripted, word):
    peer = scripted(rcpt="450 4.2.1 not today")
    g = gateway(policy=guarded(relay(peer)))
    g.submit(word, to=["bob@example.net", "ann@example.net"])
    g.until_event("deferred", 2)
    g.cli("suppression", "add", "Bob@Example.NET", "--reason", "asked by phone")
    tried = len([line for line in peer.lines if line.startswith("RCPT")])
    g.advance_clock(86400)
    event = g.until_event("suppressed")
    assert event["recipient"] == "bob@example.net" and event["because"] == "on the suppression list: asked by phone"
    assert event["reply"] == {"code": 550, "status": "5.7.1", "text": "the recipient is on the suppression list"}
    assert "peer" not in event and event["policy"]
    g.until_event("deferred", 3)  # ann was tried again, and bob was not
    assert not any("bob@" in line for line in [l for l in peer.lines if l.startswith("RCPT")][tried:])
    report = g.captured.wait("bob@example.net")  # never a silent drop
    assert b"5.7.1" in report.raw and b"suppression list" in report.raw
    assert [r["recipient"] for r in g.queue()] == ["ann@example.net"]


@core
def test_a_whole_domain_and_the_callers_own_reply(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=guarded(relay(peer), where='{ reply = "554 5.7.0 we do not write to you" }'))
    add(g, "@bad.example", reason="left us")
    g.submit(word, to=["bob@Bad.Example", "ann@sub.bad.example"])
    event = g.until_event("suppressed")
    assert event["reply"]["code"] == 554 and event["because"] == "on the suppression list with all of @bad.example: left us"
    peer.wait(word)
    g.until_event("delivered", recipient="ann@sub.bad.example")


@core
def test_scopes(gateway, scripted, word):
    """An entry for a stream stops that stream, one for an identity what it sends."""
    peer = scripted()
    more = 'message = function(s, m) return answer.accept{ tags = { stream = m.sender:match("^(.-)@") } } end'
    g = gateway(policy=guarded(relay(peer), more=more, where='{ identity = acme }'))
    add(g, "a@example.net", scope="stream:news")
    add(g, "b@example.net", scope="identity:acme")
    add(g, "c@example.net", scope="identity:other")
    for sender in ("news@sender.example", "shop@sender.example"):
        g.submit(word, to=["a@example.net", "b@example.net", "c@example.net"], sender=sender)
    g.until_event("delivered", 3)
    stopped = g.until_event("suppressed", 3)
    assert sorted((e["sender"].split("@")[0], e["recipient"][0]) for e in stopped) == [("news", "a"), ("news", "b"), ("shop", "b")]


@core
def test_an_entry_ends(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=guarded(relay(peer)))
    g.cli("suppression", "add", "bob@example.net", "--expires", "2d")
    g.submit(word)
    g.until_event("suppressed")
    g.advance_clock(2 * 86400 + 1)
    assert entries(g) == [] and g.cli("suppression", "has", "bob@example.net", check=False).returncode == 1
    g.submit(word)
    peer.wait(word)


# ---- bounces

BOUNCES = "retry.ladder{ 300, suppress = suppression.bounces{ %s } }"


@core
def test_a_hard_bounce_adds(gateway, knot, scripted, word, domain):
    peer = scripted(rcpt=["550 5.1.1 no such user, sorry", "250 ok"])
    knot.mail(domain, peer.host)
    g = gateway(policy=guarded("route.direct{}", retry=BOUNCES % 'expires = "30d"'), dns=knot)
    g.submit(word, to=f"Bob@{domain}", sender="")
    event = g.until_event("bounced")
    assert event["suppress"]["address"] == f"bob@{domain}" and event["suppress"]["scope"] == "all" and event["suppress"]["until"]
    g.kill9()  # what an event tells is on disk: bounce and entry are one commit
    g.start()
    row, = entries(g)
    assert row["address"] == f"bob@{domain}" and row["reason"] == "bounced: 550 5.1.1 no such user, sorry"
    assert row["source"].startswith(event["id"]) and row["until"] == event["suppress"]["until"]
    g.submit(word, to=f"bob@{domain}", sender="")
    g.until_event("suppressed")
    assert len(peer.sessions) == 1 and not peer.accepted
    g.cli("suppression", "remove", f"bob@{domain}")
    g.submit(word, to=f"bob@{domain}", sender="")
    peer.wait(word)


@core
@pytest.mark.parametrize("stage,reply", [("rcpt", "552 5.2.2 mailbox full"), ("rcpt", "550 5.7.1 not from you"), ("rcpt", "550 5.7.26 unauthenticated"),
                                         ("rcpt", "550 5.4.5 daily quota exceeded"), ("rcpt", "554 no words"), ("rcpt", "550 5.1.2 no such domain"),
                                         ("dot", "550 5.1.1 said too late to be about one"), ("mail", "550 5.1.8 bad sender")])
def test_what_is_not_the_recipients_fault_does_not_add(gateway, knot, scripted, word, domain, stage, reply):
    peer = scripted(**{stage: reply})
    knot.mail(domain, peer.host)
    g = gateway(policy=guarded("route.direct{}", retry=BOUNCES % ""), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="")
    event = g.until_event("bounced")
    assert "suppress" not in event and entries(g) == []


@core
def test_a_relays_refusal_does_not_add(gateway, scripted, word):
    peer = scripted(rcpt="550 5.1.1 no such user")
    g = gateway(policy=guarded(relay(peer), retry=BOUNCES % ""))
    g.submit(word, sender="")
    assert "suppress" not in g.until_event("bounced") and entries(g) == []


@core
def test_nothing_is_added_unless_the_policy_opts_in(gateway, knot, scripted, word, domain):
    peer = scripted(rcpt="550 5.1.1 no such user")
    knot.mail(domain, peer.host)
    g = gateway(policy=guarded("route.direct{}"), dns=knot)
    g.submit(word, to=f"bob@{domain}", sender="")
    assert "suppress" not in g.until_event("bounced") and entries(g) == []


@core
def test_answers_of_route_add(gateway, word):
    g = gateway(policy=PRELUDE + '''
return { route = function(m, r)
    if suppression.has(r.address) then return route.suppress("again") end
    return route.fail("550 5.1.6 moved", "moved away", { scope = "all", expires = "1h" })
end }''')
    g.submit(word, sender="")
    assert g.until_event("bounced")["suppress"]["reason"] == "moved away"
    g.submit(word, sender="")
    assert g.until_event("suppressed")["because"] == "again"
    g.advance_clock(3601)
    g.submit(word, sender="")
    g.until_event("bounced", 2)


# ---- an operator's hand

@core
def test_add_remove_has_list(gateway):
    g = gateway(policy=policies.capture())
    done = g.cli("suppression", "add", "Bob@Example.NET", "ann@b\u00fccher.example", "@whole.example", "--reason", "one, \"two\"")
    assert done.stdout == "add: 3\n"
    g.cli("suppression", "add", "bob@example.net", "--scope", "stream:news", "--expires", "12h")
    g.cli("suppression", "add", "bob@example.net", "--scope", "all", "--reason", "replaced")
    g.restart()  # and all of it is durable
    assert [(r["address"], r["scope"]) for r in entries(g)] == [("@whole.example", "all"), ("ann@xn--bcher-kva.example", "all"),
                                                               ("bob@example.net", "all"), ("bob@example.net", "stream:news")]
    assert [r["reason"] for r in entries(g, address="bob@*", scope="all")] == ["replaced"]
    assert addresses(entries(g, domain="*.example")) == ["@whole.example", "ann@xn--bcher-kva.example"]
    assert len(entries(g, scope="stream:*")) == 1 and len(entries(g, reason="one*")) == 2 and entries(g, address="b") == []
    assert len(g.control("suppression", action="list", limit=2)[0]) == 2
    assert g.control("suppression", action="count")[1]["count"] == 4
    assert g.cli("suppression", "list", "--count", "--scope", "all").stdout == "3\n"
    assert json.loads(g.cli("suppression", "list", "--count", "--json").stdout) == {"count": 4}
    table = g.cli("suppression", "list").stdout
    assert table.splitlines()[0].split() == ["ADDRESS", "SCOPE", "REASON", "ADDED", "ENDS", "SOURCE"] and "never" in table and "in 1" in table
    assert [json.loads(l)["address"] for l in g.cli("suppression", "list", "--json", "--limit", "1").stdout.splitlines()] == ["@whole.example"]
    assert len(g.cli("suppression", "has", "BOB@example.net", "--json").stdout.splitlines()) == 2
    assert "@whole.example" in g.cli("suppression", "has", "someone@whole.example").stdout
    nobody = g.cli("suppression", "has", "someone@example.net", check=False)
    assert nobody.returncode == 1 and nobody.stdout == ""
    assert g.cli("suppression", "remove", "bob@example.net", "--scope", "stream:news").stdout == "remove: 1\n"
    assert g.cli("suppression", "remove", "nobody@example.net", "bob@example.net").stdout == "remove: 1\n"
    assert addresses(entries(g)) == ["@whole.example", "ann@xn--bcher-kva.example"]
    assert g.cli("check", "--store", check=False).returncode != 0  # the gateway runs
    g.stop()
    assert g.cli("check", "--store").returncode == 0
    g.start()


@core
@pytest.mark.parametrize("fields,words", [({"action": "ad"}, "add, remove"), ({}, "action"), ({"action": "add"}, "address"), ({"action": "add", "address": "bob"}, "@"),
                                          ({"action": "add", "address": "a@b.example", "scope": "everyone"}, "stream:NAME"), ({"action": "add", "address": "a@b.example", "expires_s": -5}, "expires_s"),
                                          ({"action": "add", "address": "a@b.example", "expires_s": 1 << 62}, "expires_s"), ({"action": "add", "address": "a@b.example", "reason": "x" * 300}, "200"),
                                          ({"action": "add", "address": "a@b.example", "reason": "two\nlines"}, "control"), ({"action": "remove", "address": "a@b.example", "scope": "x"}, "scope"),
                                          ({"action": "list", "filter": {"adress": "x"}}, "address"), ({"action": "list", "filter": []}, "object"), ({"action": "list", "limit": "x"}, "limit"),
                                          ({"action": "list", "filter": {"scope": 5}}, "scope"), ({"action": "import", "format": "xml"}, "csv"), ({"action": "import", "scope": "x"}, "scope"),
                                          ({"action": "add", "adress": "x"}, "adress")])
def test_wrong_requests(gateway, fields, words):
    g = gateway(policy=policies.capture())
    with pytest.raises(ControlError) as refused:
        g.control("suppression", **fields)
    assert words in refused.value.text and refused.value.code == 64
    assert entries(g) == []


@core
def test_wrong_command_lines(gateway):
    g = gateway(policy=policies.capture())
    for words in (["add"], ["add", "a@b.example", "--expires", "soon"], ["has"], ["has", "a@b.example", "c@d.example"], ["import"], ["export", "--format", "xml"], ["lst"], ["add", "bob"]):
        done = g.cli("suppression", *words, check=False)
        assert done.returncode == 64 and done.stderr, words
    assert g.cli("suppression", "import", "missing.csv", check=False).returncode == 66
    assert g.cli("suppression", "export", "-o", "no/such/folder", check=False).returncode == 73
    for verb in ("add", "remove", "has", "list", "import", "export"):
        page = g.cli("suppression", verb, "--help").stdout
        assert "EXAMPLES" in page.upper() and f"tidegate suppression {verb}" in page
    completion = g.cli("completion", "bash").stdout
    assert "'suppression import'" in completion and "choices='csv jsonl '" in completion


# ---- whole files

CSV = '''address,scope,reason,until
Bob@Example.NET,all,"one, ""two""",
ann@example.net,stream:news,,2099-12-31
not an address,all,x,
@whole.example,,,
over@example.net,all,old,2001-01-01
bob@example.net,all,the last line of one address holds,
x@example.net,everybody,,
'''


@core
def test_import_csv(gateway):
    g = gateway(policy=policies.capture())
    (g.folder / "list.csv").write_text(CSV)
    done = g.cli("suppression", "import", "list.csv", "--reason", "from the old system", check=False)
    assert done.returncode == 65 and done.stdout == "imported: 4\n", done
    assert "list.csv: line 4: " in done.stderr and "not an address" in done.stderr and "line 8: the scope is" in done.stderr and "2 of 8 lines" in done.stderr
    assert "1 left out" in done.stderr
    assert [(r["address"], r["scope"], r["reason"], r.get("until", "")[:10]) for r in entries(g)] == [
        ("@whole.example", "all", "from the old system", ""), ("ann@example.net", "stream:news", "from the old system", "2099-12-31"),
        ("bob@example.net", "all", "the last line of one address holds", "")]
    told = g.cli("suppression", "import", "list.csv", "--json", check=False)
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert [r.get("line") for r in rows] == [4, 8, None] and rows[2] == {"lines": 8, "written": 4, "malformed": 2, "past": 1}


@core
def test_import_finds_no_use_for_a_wrong_head(gateway):
    g = gateway(policy=policies.capture())
    done = g.cli("suppression", "import", "-", input="address,untill\na@b.example,2030-01-01\n" * 3000, check=False)
    assert done.returncode == 65 and "did you mean 'until'" in done.stderr and entries(g) == []
    assert g.cli("suppression", "import", "-", input="").stdout == "imported: 0\n"


@core
def test_lines_of_all_kinds(gateway):
    """Dots, no line end at the end, NULs, bytes that are no UTF-8, lines without an end: one answer each, and the rest goes on."""
    g = gateway(policy=policies.capture())
    lines = [b"a@b.example", b".", b"..", b"dot@b..example", b"\xff\xfe", b"nul\0@b.example", b"x" * 5000 + b"@b.example", b"y" * 100000, b"", b"   ", b'{"verb":"stop"}', b"z@b.example"]
    (g.folder / "list").write_bytes(b"\r\n".join(lines))
    done = g.cli("suppression", "import", "list", "--format", "csv", check=False)
    assert done.returncode == 65 and addresses(entries(g)) == ["a@b.example", "z@b.example"]
    assert [int(l.split(": line ")[1].split(":")[0]) for l in done.stderr.splitlines() if ": line " in l] == [2, 3, 4, 5, 6, 7, 8, 11]
    assert not any(ord(c) < 32 and c != "\n" for c in done.stderr)
    assert g.status()


@core
@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_export_and_import_are_each_others_way_back(gateway, format):
    one, other = gateway(policy=policies.capture()), gateway(policy=policies.capture())
    add(one, "bob@example.net", reason='one, "two"', expires_s=86400)
    add(one, '"a b"@example.net', scope="stream:x,y", reason=" blanks ")
    add(one, "@b\u00fccher.example", scope="identity:acme", source="me")
    text = one.cli("suppression", "export", "--format", format).stdout
    if format == "csv":
        assert next(csv.reader(io.StringIO(text))) == ["address", "scope", "reason", "until", "source", "added"] and len(list(csv.reader(io.StringIO(text)))) == 4
    else:
        assert len([json.loads(line) for line in text.splitlines()]) == 3
    other.cli("suppression", "import", "-", input=text)
    assert entries(other) == entries(one)
    one.cli("suppression", "export", "--format", format, "--domain", "example.net", "--output", "part")
    part = (one.folder / "part").read_text()
    assert "bob@example.net" in part and "whole" not in part and "acme" not in part


def many(path, count, lines_of="csv"):
    """Addresses in no order."""
    with open(path, "w") as out:
        for i in range(count):
            address = f"u{i * 617231 % count:06d}@d{i % 997}.example"
            out.write(f"{address},all,bounced at the old system,\n" if lines_of == "csv" else f'{{"address":"{address}","reason":"bounced"}}\n')


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_million_in_ten_seconds(gateway, format):
    """By the processor's time of both sides, as other tests run beside this one; a quiet machine takes about as long by the clock."""
    g = gateway(policy=policies.capture())
    path = g.folder / f"list.{format}"
    many(path, 1000000, format)

    def cpu():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        fields = open(f"/proc/{g.process.popen.pid}/stat").read().rsplit(")", 1)[1].split()
        return used.ru_utime + used.ru_stime + (int(fields[11]) + int(fields[12])) / 100
    before, began = cpu(), time.monotonic()
    assert g.cli("suppression", "import", path, timeout=120).stdout == "imported: 1000000\n"
    took = cpu() - before
    print(f"{format}: {took:.1f} s of CPU, {time.monotonic() - began:.1f} s by the clock")
    assert took < 10
    assert g.control("suppression", action="count", timeout=60)[1]["count"] == 1000000
    assert g.status()["memory_rss"] < 200 << 20
    assert g.cli("suppression", "has", "u617231@d1.example").returncode == 0


@core
@pytest.mark.threads
def test_mail_flows_while_a_list_comes_in(gateway, scripted, word):
    peer = scripted()
    g = gateway(policy=guarded(relay(peer)))
    many(g.folder / "list.csv", 60000)
    s, reader = open_feed(g)
    with open(g.folder / "list.csv", "rb") as f:
        for n in range(10):
            s.sendall(f.read(200000))
            g.submit(f"{word}-{n}", to=f"bob{n}@example.net")
        while piece := f.read(1 << 20):
            s.sendall(piece)
    s.sendall(b".\n")
    last = until_done(reader)
    assert last["written"] == 60000 and last["malformed"] == 0
    for n in range(10):
        peer.wait(f"{word}-{n}")
    s.close()


def ask(g, **request):
    """A request on a connection of its own."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60 * ground.PATIENCE)
    directory = os.open(g.folder / "var", os.O_RDONLY)
    s.connect(f"/proc/self/fd/{directory}/control.sock")
    os.close(directory)
    s.sendall(json.dumps(request).encode() + b"\n")
    return s, s.makefile("rb")


def open_feed(g, **fields):
    """An import under way; reads what says that lines are wanted."""
    s, reader = ask(g, verb="suppression", action="import", **fields)
    assert json.loads(reader.readline()) == {"row": {"ready": True}}
    return s, reader


def until_done(reader):
    for line in reader:
        answer = json.loads(line)
        if "row" not in answer:
            return answer
    raise ground.LabError("the import's connection closed without an end")


@core
@pytest.mark.threads
def test_an_import_that_breaks_off(gateway):
    """A client that goes away, one that kills the gateway: what is in is whole, and nothing is left behind."""
    g = gateway(policy=policies.capture())
    s, reader = open_feed(g)
    s.sendall(b"".join(b"gone%d@example.net\n" % i for i in range(1000)) + b"half@exam")
    s.shutdown(socket.SHUT_RDWR)
    ground.until("what came whole is on the list", lambda: len(entries(g)) == 1000, log=g.log)
    s, reader = open_feed(g)
    s.sendall(b"".join(b"k%06d@example.net\n" % i for i in range(60000)))
    assert json.loads(reader.readline())["row"]["written"]  # one commit at least
    written = g.control("suppression", action="count", filter={"address": "k*"})[1]["count"]
    g.kill9()
    s.close()
    g.start()
    now = g.control("suppression", action="count", filter={"address": "k*"})[1]["count"]
    assert now >= written > 0 and now % 4096 in (0, 60000 % 4096, 50000 % 4096)
    s, reader = open_feed(g)
    s.sendall(b"late@example.net\n")
    g.stop()  # with an import open
    s.close()
    g.start()


@core
def test_a_listener_that_does_not_listen(gateway):
    """A list of faults, and an export, to somebody who reads slowly: the gateway waits with it, and does not keep it in memory."""
    g = gateway(policy=policies.capture())
    many(g.folder / "list.csv", 60000)
    g.cli("suppression", "import", "list.csv")
    before = g.status()["memory_rss"]
    s, reader = open_feed(g)
    s.settimeout(1)
    sent = 0
    with pytest.raises(OSError):  # faults pile up, and then nothing more is taken
        while sent < 64 << 20:
            s.sendall(b"x" * 60 + b"\n" + b"no address\n" * 1000)
            sent += 11061
    assert sent < 16 << 20
    assert g.status()["memory_rss"] - before < 24 << 20
    s.close()
    rows, done = g.control("suppression", action="export", timeout=60)
    assert len(rows) == 60000 and done["count"] == 60000


@core
@pytest.mark.threads
def test_stopping_amid_requests(gateway):
    """Lists that nobody reads, a log that is followed, imports with and without something to write: none keeps the gateway from ending cleanly."""
    g = gateway(policy=policies.capture())
    many(g.folder / "list.csv", 60000)
    g.cli("suppression", "import", "list.csv")
    open_ones = [ask(g, verb="suppression", action="export"), ask(g, verb="queue", action="list", limit=0), open_feed(g), open_feed(g),
                 ask(g, verb="log", follow=True)]
    open_ones[2][0].sendall(b"some@example.net\n")
    for _ in range(2):
        busy = open_feed(g)
        busy[0].sendall(b"".join(b"b%06d@example.net\n" % i for i in range(60000)))
        open_ones.append(busy)
    g.restart()
    for s, reader in open_ones:
        s.close()
    assert g.control("suppression", action="count", filter={"address": "b*"})[1]["count"] <= 60000
    assert g.cli("suppression", "has", "u000000@d0.example").returncode == 0


@core
def test_few_imports_at_a_time(gateway):
    """Each keeps some megabytes in memory: the fifth is told to come back."""
    g = gateway(policy=policies.capture())
    feeds = [open_feed(g) for _ in range(4)]
    with pytest.raises(ControlError) as refused:
        g.control("suppression", action="import")
    assert refused.value.code == 75 and "4 are under way" in refused.value.text
    feeds[0][0].sendall(b"a@b.example\n.\n")
    assert until_done(feeds[0][1])["written"] == 1
    feeds.append(open_feed(g))
    for s, reader in feeds:
        s.close()


@core
def test_requests_follow_an_import_on_the_same_connection(gateway):
    g = gateway(policy=policies.capture())
    s, reader = open_feed(g, scope="stream:x")
    s.sendall(b'a@b.example\n.\n{"verb":"suppression","action":"has","address":"a@b.example"}\n')
    assert until_done(reader)["written"] == 1
    assert json.loads(reader.readline())["row"]["scope"] == "stream:x" and json.loads(reader.readline())["count"] == 1
    s.close()
