# SPDX-License-Identifier: MIT
"""Logins by XOAUTH2: tokens had from an endpoint, renewed before their end, and what happens when there is none. And http.request."""
import json

import pytest
from lab import ground, policies
from lab.gateway import lua
from lab.web import TokenEndpoint, Web

pytestmark = pytest.mark.core
HOUR = 3600


@pytest.fixture
def endpoint(authority):
    made = []

    def make(**options):
        made.append(TokenEndpoint(authority, **options))
        return made[-1]
    yield make
    for web in made:
        web.stop()


@pytest.fixture
def mailbox(scripted, authority):
    """A peer that takes a user's current token and no other."""
    def make(endpoint, *users, **options):
        peer = scripted(certificate=authority.issue("mailbox.example"), name="mailbox.example", users={u: "?" for u in users}, **options)
        peer.certificate = authority.issue(peer.host)
        def given(client, token):
            peer.users[f"{client}@mail.example"] = token
        endpoint.on_given = given
        return peer
    return make


def login(name, endpoint, **more):
    oauth = {"token_url": endpoint.url(), "client_id": name, "refresh_token": f"{name}-very-secret", **more}
    return {"user": f"{name}@mail.example", "xoauth2": {k: v for k, v in oauth.items() if v is not None}}


def policy(peer, endpoint, *names, retry=policies.SOON, **more):
    """Mail from NAME@... goes out as identity NAME through the mailbox of that name."""
    lines = [policies.PRELUDE, "local ways = {}"]
    for name in names:
        via = {"host": peer.host, "port": peer.port, "login": login(name, endpoint, **more)}
        lines.append(f'ways["{name}"] = {{ id = identity.define {{ name = "{name}" }}, via = route.relay {lua(via)} }}')
    lines.append('''return {
  route = function(m)
    local way = ways[m.sender:match("^[^@]+")]
    return route.send { via = way.via, identity = way.id, lane = { connections = 1 }, because = "its own mailbox" }
  end,
  retry = function(message, recipient, outcome) ''' + retry + ''' end,
}''')
    return "\n".join(lines)


def box(gateway, peer, endpoint, *names, **options):
    text = policy(peer, endpoint, *names, **options.pop("login", {}))
    return gateway(policy=text, http={"private": True}, **options)


def send(g, name, word):
    g.submit(word, sender=f"{name}@sender.example")


def token_of(g, name):
    """What `identity` tells of a mailbox's token."""
    for row in g.control("identity")[0]:
        if row["identity"] == name and row["logins"]:
            return row["logins"][0].get("token", {})
    return {}


def assert_no_secret(g, *words):
    """Nothing that a person or program reads has any of these."""
    shown = g.said() + (g.folder / "var/events.jsonl").read_text() + json.dumps(g.control("identity")) + json.dumps(g.control("lane"))
    shown += json.dumps(g.queue()) + "".join(json.dumps(g.control("queue", action="show", id=r["id"])) for r in g.queue())
    shown += g.cli("identity").stdout + g.cli("identity", "--json").stdout
    for word in words:
        assert word not in shown, f"'{word}' is shown"


# ---- tokens

@pytest.mark.threads
def test_a_token_is_had_and_used(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example")
    g = box(gateway, peer, t, "alice")
    send(g, "alice", word)
    peer.wait(word)
    asked = t.asked[0]
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.form == {"grant_type": "refresh_token", "client_id": "alice", "refresh_token": "alice-very-secret"}
    assert peer.sessions[0].user == "alice@mail.example"
    send(g, "alice", word + "2")
    peer.wait(word + "2")
    assert t.count("alice") == 1
    row = [r for r in g.control("identity")[0] if r["identity"] == "alice"][0]
    assert row["logins"][0]["login"] == "alice@mail.example" and row["logins"][0]["kind"] == "xoauth2"
    assert row["logins"][0]["session"]["host"] == peer.host and row["logins"][0]["session"]["accepted_at"]
    assert row["logins"][0]["token"]["state"] == "good"
    assert "alice@mail.example" in g.cli("identity").stdout and "good" in g.cli("identity").stdout
    assert_no_secret(g, "very-secret", "alice-token")


def test_client_credentials_and_files(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example", "carol@mail.example")
    g = gateway(start=False, http={"private": True})
    (g.folder / "conf/secret").write_text("from a file\n")
    g.write_scripts({"policy.lua": policy(peer, t, "alice", refresh_token=None, client_secret_file="conf/secret", scope="https://x/.default")})
    g.start()
    send(g, "alice", word)
    peer.wait(word)
    assert t.asked[0].form == {"grant_type": "client_credentials", "client_id": "alice", "client_secret": "from a file", "scope": "https://x/.default"}
    # A file that is not there is an error of the load.
    g.write_scripts({"policy.lua": policy(peer, t, "alice", refresh_token=None, client_secret_file="conf/gone")})
    with pytest.raises(ground.LabError, match="client_secret_file: .*conf/gone: No such file"):
        g.reload()


@pytest.mark.threads
def test_a_token_is_renewed_before_its_end(gateway, endpoint, mailbox, word):
    t = endpoint(life=HOUR)
    peer = mailbox(t, "alice@mail.example")
    g = box(gateway, peer, t, "alice", delivery={"idle": 0})
    send(g, "alice", word)
    peer.wait(word)
    g.advance_clock(int(HOUR * 0.7))
    t.stays_at("alice", 1)
    g.advance_clock(int(HOUR * 0.16))
    t.until_count("alice", 2)  # in the background: nobody has asked
    ground.until("the new token", lambda: token_of(g, "alice").get("state") == "good")
    send(g, "alice", word + "2")
    peer.wait(word + "2")
    assert t.count("alice") == 2
    assert peer.sessions[-1].user == "alice@mail.example" and len([l for l in peer.lines if l.startswith("AUTH")]) == 2
    # A day on nobody has used it: it is let go.
    for _ in range(26):
        g.advance_clock(HOUR)
    ground.until("no renewal is under way", lambda: token_of(g, "alice").get("state") != "asking")
    g.advance_clock(HOUR)
    ground.until("the account is forgotten", lambda: not token_of(g, "alice"))


@pytest.mark.threads
def test_a_failure_pauses_one_login_only(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example", "bob@mail.example")
    t.broken["alice"] = (400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked: alice-very-secret."})
    g = box(gateway, peer, t, "alice", "bob")
    send(g, "alice", word + "a")
    send(g, "bob", word + "b")
    peer.wait(word + "b")
    event = g.until_event("fault", login="alice@mail.example")
    assert event["identity"] == "alice" and event["lasting"] and event["failures"] == 1 and event["due"]
    assert "repeat a secret" in event["because"]
    lane = ground.until("a lane that rests", lambda: [r for r in g.control("lane")[0] if r["state"] == "resting"])[0]
    assert lane["lane"].startswith("alice|") and "no access token for alice@mail.example" in lane["why"]
    g.until_queue(1, state="parked")
    assert token_of(g, "alice")["state"] == "failing" and token_of(g, "bob")["state"] == "good"
    assert not [l for s in peer.sessions for l in s.lines if "alice" in l]
    assert_no_secret(g, "very-secret")
    # Nobody asks again before its time, however much mail there is.
    send(g, "alice", word + "c")
    t.stays_at("alice", 1)
    # The operator has given a new consent, and says so.
    del t.broken["alice"]
    g.change("retry", sender="alice@sender.example")
    peer.wait(word + "a")
    peer.wait(word + "c")
    g.until_event("token", login="alice@mail.example", because="it works again")
    assert [e["attempt"] for e in g.until_event("delivered", 2, sender="alice@sender.example")] == [1, 1]
    assert not g.events("deferred")


def test_chance_is_tried_again_by_itself(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example")
    t.broken["alice"] = (503, "<html>busy</html>")
    g = box(gateway, peer, t, "alice")
    send(g, "alice", word)
    event = g.until_event("fault", login="alice@mail.example")
    assert not event["lasting"] and event["because"] == "the token endpoint answered 503, and not as JSON"
    del t.broken["alice"]
    g.advance_clock(16)
    peer.wait(word)  # the lane does not rest out its time: the token is there
    assert t.count("alice") == 2


def test_a_failed_renewal_hurts_nobody_while_the_token_is_good(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example")
    g = box(gateway, peer, t, "alice", delivery={"idle": 0})
    send(g, "alice", word)
    peer.wait(word)
    t.broken["alice"] = (500, "{}")
    g.advance_clock(int(HOUR * 0.86))
    event = g.until_event("fault", login="alice@mail.example")
    assert event["expires"]
    assert token_of(g, "alice")["state"] == "ending"
    send(g, "alice", word + "2")
    peer.wait(word + "2")
    g.advance_clock(int(HOUR * 0.14))
    send(g, "alice", word + "3")
    ground.until("the lane rests", lambda: [r for r in g.control("lane")[0] if r["state"] == "resting"])
    assert token_of(g, "alice")["state"] == "failing"
    del t.broken["alice"]
    g.advance_clock(15 * 60)
    peer.wait(word + "3")


def test_a_token_that_ended_before_its_time(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example")
    g = box(gateway, peer, t, "alice", delivery={"idle": 0})
    send(g, "alice", word)
    peer.wait(word)
    peer.users["alice@mail.example"] = "revoked"
    g.advance_clock(120)
    send(g, "alice", word + "2")
    peer.wait(word + "2")
    assert t.count("alice") == 2
    assert [l.split()[1] for l in peer.lines if l.startswith("AUTH")] == ["XOAUTH2"] * 3
    assert g.until_event("delivered", 2)[1]["attempt"] == 1
    assert not g.events("deferred") and len(g.events("attempted")) == 1


def test_a_login_that_is_refused_for_good(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example", auth="535 5.7.8 no SMTP for you")
    g = box(gateway, peer, t, "alice")
    send(g, "alice", word)
    event = g.until_event("deferred")
    assert event["stage"] == "auth" and event["reply"]["code"] == 535
    assert t.count("alice") == 1  # a token that is new is not the reason
    login = g.control("identity")[0][0]["logins"][0]
    assert "no SMTP for you" in login["session"]["refused"] and "no SMTP for you" in g.cli("identity").stdout
    g.advance_clock(HOUR // 2)
    ground.until("another try", lambda: len(g.events("deferred")) >= 2)
    assert t.count("alice") == 2  # this one had time to go bad
    t.stays_at("alice", 2)


@pytest.mark.threads
def test_a_new_refresh_token_outlives_us(gateway, endpoint, mailbox, word):
    t = endpoint(rotate=True)
    peer = mailbox(t, "alice@mail.example")
    g = box(gateway, peer, t, "alice")
    send(g, "alice", word)
    peer.wait(word)
    assert token_of(g, "alice")["rotated_at"]
    g.until_event("delivered", 1)  # its commit comes after that of the new token
    g.kill9()
    g.start()
    send(g, "alice", word + "2")
    peer.wait(word + "2")
    assert [a.form["refresh_token"] for a in t.asked] == ["alice-very-secret", "alice-refresh-1"]
    g.advance_clock(int(HOUR * 0.9))
    t.until_count("alice", 3)
    assert t.asked[2].form["refresh_token"] == "alice-refresh-2"
    assert_no_secret(g, "very-secret", "alice-refresh", "alice-token")
    # A new one from the operator counts more than what the old one has become.
    t.refresh["alice"] = "fresh-consent"
    g.write_scripts({"policy.lua": policy(peer, t, "alice", refresh_token="fresh-consent")})
    g.reload()
    send(g, "alice", word + "3")
    peer.wait(word + "3")
    assert t.asked[-1].form["refresh_token"] == "fresh-consent"
    # And that one's successor is kept in turn.
    g.restart()
    send(g, "alice", word + "4")
    peer.wait(word + "4")
    assert t.asked[-1].form["refresh_token"] == "alice-refresh-4"


def test_strange_endpoints(gateway, endpoint, mailbox, word):
    t = endpoint()
    peer = mailbox(t, "alice@mail.example")
    t.broken["alice"] = (200, {"access_token": "a\r\nRCPT TO:<x>", "token_type": "Bearer"})
    g = box(gateway, peer, t, "alice")
    send(g, "alice", word)
    assert g.until_event("fault")["because"] == "the token endpoint's access_token is none"
    for number, (status, body, words) in enumerate([(200, "{" * 70000, "too large"), (302, "", "302"), (200, "[]", "not as JSON"), (200, "{}", "without a token")]):
        t.broken["alice"] = (status, body)
        g.change("retry")
        events = g.until_event("fault", count=number + 2)
        assert words in events[-1]["because"]
    t.answer["/token"] = None  # silence: nothing waits for it but this mail
    g.change("retry")
    t.until_asked(6)
    assert g.status()["pid"]
    g.stop()  # in the middle of it


@pytest.mark.threads
def test_many_mailboxes_at_once(gateway, endpoint, mailbox, word):
    t = endpoint(life=60)
    names = [f"box{n}" for n in range(30)]
    peer = mailbox(t, *[f"{n}@mail.example" for n in names])
    g = box(gateway, peer, t, *names, workers=3, delivery={"idle": 0})
    for round in range(3):
        for name in names:
            send(g, name, f"{word}{round}")
        peer.wait(f"{word}{round}", count=30 * 1)
        g.advance_clock(90)
    assert all(t.count(n) >= 3 for n in names)
    assert not g.events("fault") and not g.events("deferred")


# ---- http.request

def asking(url, **more):
    return policies.PRELUDE + f'''
return {{ route = function(m)
    local a, why = http.request{lua({"url": url, **more})}
    if not a then return route.hold("nil: " .. why) end
    return route.hold(a.status .. " " .. a.headers["x-who"] .. " " .. a.body)
end }}
'''


def because(g, word):
    g.submit(word)
    return g.until_event("held")["because"]


@pytest.fixture
def web(authority):
    made = []

    def make(*arguments, **options):
        made.append(Web(authority, *arguments, **options))
        return made[-1]
    yield make
    for w in made:
        w.stop()


def test_http_request(gateway, web, word):
    w = web({"/x": lambda asked: (201, {"X-Who": "me"}, f"you said {asked.body.decode()}")})
    g = gateway(policy=asking(w.url("/x"), method="POST", body="this"), http={"hosts": [f"{w.host}:{w.port}"], "private": True})
    assert because(g, word) == "201 me you said this"
    assert w.asked[0].headers["User-Agent"].startswith("Tidegate/")


def test_http_request_resolves_by_our_resolver(gateway, web, pocket_dns, word):
    w = web({"/": (200, {"X-Who": "it"}, "")}, names=["api.example"])
    dns = pocket_dns({("api.example", "A"): [f"api.example. 60 A {w.host}"]})
    g = gateway(policy=asking(w.url("/", host="api.example")), dns=dns, http={"hosts": ["*.example", f"api.example:{w.port}"], "private": True})
    assert because(g, word) == "200 it "
    assert dns.count("api.example", "A") == 1


def test_http_request_stays_outside(gateway, web, pocket_dns, word):
    w = web({"/": (200, {}, "")}, names=["inside.example"])
    dns = pocket_dns({("inside.example", "A"): [f"inside.example. 60 A {w.host}"]})
    g = gateway(policy=asking(w.url("/", host="inside.example")), dns=dns, http={"hosts": [f"inside.example:{w.port}"]})
    assert because(g, word) == "nil: inside.example has no public address"
    assert not w.asked


def test_http_request_needs_leave(gateway, web, word):
    w = web({"/": (200, {}, "")})
    g = gateway(policy=asking(w.url("/")), http={"private": True})
    g.submit(word)
    assert f"the configuration does not allow '{w.host}'" in g.until_event("fault")["because"]
    g.configure(http={"hosts": [f"{w.host}:{w.port}"]})
    g.reload()
    g.advance_clock(301)
    w.until_asked(1)
