# SPDX-License-Identifier: MIT
"""Services at their limits, beside Postfix: each takes four messages, then says what it says when a quota is used up, until its window has room
again. The same twelve messages go to Tidegate and to Postfix, each with a second account at that service behind the first. The table that comes of it is in
scripts/README.md, and a test holds it there."""
import dataclasses
import re
import smtplib

import pytest
from lab import ground, mail, policies
from lab.gateway import lua
from lab.mta import PostfixRelay
from lab.scripted import Scripted

TAKES, MESSAGES = 4, 12
HOUR, DAY = 3600, 86400
HOME = "home.example"


@dataclasses.dataclass(eq=False)
class Service:
    name: str    # in the table
    preset: str  # of stdlib/relays
    stage: str   # where it refuses
    words: str   # as the service has them (stdlib/data/replies.lua has the sources)
    window: int = DAY
    more: dict = dataclasses.field(default_factory=dict)

    @property
    def domain(self):
        return re.sub(r"\W+", "-", self.name.lower()) + ".example"

    @property
    def shown(self):
        """The refusal in short, as the table has it."""
        return re.match(r"\d+[ -]?(\d\.\d\.\d+|Throttling failure)?", self.words.replace("-", " ", 1)).group(0).strip()


SERVICES = [
    Service("Gmail mailbox, a day", "gmail_mailbox", "dot", "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n"
            "550-5.4.5 sending limits go to\n550 5.4.5  https://support.example/mail/22839 x1-20020a.0 - gsmtp"),
    Service("Gmail relay, a day", "gmail_relay", "rcpt", "550-5.7.1 Daily SMTP relay limit exceeded for customer. For more\n"
            "550-5.7.1 information on SMTP relay sending limits please contact your\n550 5.7.1 administrator x1-20020a.0 - gsmtp"),
    Service("Gmail relay, ten minutes", "gmail_relay", "mail", "450-4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary\n"
            "450 4.2.1 error. x1-20020a.0 - gsmtp", window=600),
    Service("Microsoft 365 mailbox", "microsoft365", "dot", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message "
            "due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded."),
    Service("Microsoft 365 tenant", "microsoft365", "dot", "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for "
            "sending email to external recipients (tenant external recipient rate limit)."),
    Service("Microsoft 365 trial", "microsoft365", "rcpt", "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily "
            "limit for sending email to external recipients."),
    Service("Amazon SES, a day", "ses", "dot", "454 Throttling failure: Daily message quota exceeded.", more={"region": "eu-west-1", "per_day": 50000}),
    Service("Amazon SES, a second", "ses", "mail", "454 Throttling failure: Maximum sending rate exceeded.", window=10,
            more={"region": "eu-west-1", "per_second": 100}),
]


class Limited(Scripted):
    """A service's server: takes so many within its window, by a clock that only the test moves. `refused` counts what was tried in vain."""

    def __init__(self, service, takes=None, **options):
        self.service, self.takes, self.now, self.granted, self.refused = service, takes, 0, [], 0
        super().__init__(name="smtp.service.example", **options)

    def step(self, stage, fallback, key=None):
        if stage != self.service.stage or self.takes is None:
            return super().step(stage, fallback, key)
        with self.lock:
            self.granted = [at for at in self.granted if at > self.now - self.service.window]
            if len(self.granted) >= self.takes:
                self.refused += 1
                return self.service.words
            self.granted.append(self.now)
            return fallback

    def kept(self):
        with self.lock:
            return sum(m.reply.startswith("2") for m in self.accepted)


def recipients(service):
    return [f"r{i}@{service.domain}" for i in range(MESSAGES)]


# ---- Tidegate

def account(service, which, peer):
    fields = {"user": f"{which}@acme.example", "password": "secret", "host": peer.host, "port": peer.port, "name": f"{service.domain}/{which}", **service.more}
    return f"relays.{service.preset} {lua(fields)}"


def policy(peers, home):
    ways = "".join(f"ways[{lua(s.domain)}] = {{ {account(s, 'one', first)}, {account(s, 'two', second)} }}\n" for s, (first, second) in peers.items())
    return policies.policy(f"""local relays, reply, suppression = require "relays", require "reply", require "suppression"
local ways = {{}}
{ways}
local who = {{ identity.define {{ name = "one" }}, identity.define {{ name = "two" }} }}
local home = route.relay {{ host = "{home.host}", port = {home.port}, tls = "none" }}
--
route = function(message, recipient)
    local refused = suppression.check(message, recipient)
    if refused then return refused end
    if not ways[recipient.domain] then return route.send {{ via = home }} end
    local plans = {{}}
    for i, way in ipairs(ways[recipient.domain]) do
        plans[i] = route.send {{ via = way.via, tls = way.tls, lane = way.lane, spend = way.limits(), identity = who[i] }}
    end
    return route.first(plans)
end,
retry = reply.hook {{ suppress = suppression.bounces {{ ways = {{ "relay", "direct" }} }} }},
""")


class Site:
    """Tidegate with two accounts at each service, and the home of its senders."""

    def __init__(self, gateway, authority):
        self.home = Scripted()
        self.peers = {}
        for service in SERVICES:
            pair = []
            for takes in (TAKES, None):
                host = ground.address()
                users = {f"{which}@acme.example": "secret" for which in ("one", "two")}
                pair.append(Limited(service, takes, host=host, certificate=authority.issue("smtp.service.example", host), users=users))
            self.peers[service] = tuple(pair)
        self.gateway = gateway(policy=policy(self.peers, self.home))
        self.sent = 0

    def send(self, service, recipient):
        self.sent += 1
        self.gateway.submit(f"n{self.sent}", to=[recipient], sender=f"shop@{HOME}")

    def later(self, seconds):
        """It gets later for the services, then for the gateway."""
        for first, _ in self.peers.values():
            first.now += seconds
        self.gateway.advance_clock(seconds)

    def is_full(self, service, which):
        rows = self.gateway.control("limit")[0]
        return any("full_until" in row for row in rows if row["key"].startswith(f"relay/{service.domain}/{which}/"))

    def stop(self):
        for peer in (self.home, *(p for pair in self.peers.values() for p in pair)):
            peer.stop()


@pytest.fixture
def site(gateway, authority):
    made = Site(gateway, authority)
    yield made
    made.stop()


def fates_at_tidegate(site):
    g = site.gateway
    for service in SERVICES:
        for recipient in recipients(service):
            site.send(service, recipient)
    ground.until("everything is delivered", lambda: len(g.events("delivered")) == site.sent, 60, log=g.log)
    g.until_empty()
    assert not g.events("bounced") and not g.events("suppressed") and not g.events("expired")
    assert all(e["attempt"] == 1 for e in g.events("delivered"))
    assert not g.control("suppression", action="list")[0]
    assert not site.home.accepted
    table = {}
    for service, (first, second) in site.peers.items():
        # The shortest window frees while the test runs, so how much the first takes after it is not ours to say.
        if service.window >= HOUR:
            assert site.is_full(service, "one") and not site.is_full(service, "two")
            assert first.refused >= 1  # once for each connection, if all were at it; how often later on is seen in wait_in_vain
        assert first.kept() + second.kept() == MESSAGES and first.kept() == TAKES
        table[service.name] = (first.kept(), second.kept(), 0, 0)
    return table


def wait_in_vain(site):
    """Hours pass: one message an hour asks the first account whether it has room, and goes to the second; when it has, the first has it again."""
    daily = [s for s in SERVICES if s.window == DAY]
    for hours in (1, 10, 12, 1):
        site.later(hours * HOUR + 60)
        before = {s: (site.peers[s][0].refused, site.peers[s][0].kept(), site.peers[s][1].kept()) for s in daily}
        for i in range(2):
            for s in daily:
                site.send(s, f"later{site.sent}@{s.domain}")
            ground.until("all of that is delivered", lambda: len(site.gateway.events("delivered")) == site.sent, log=site.gateway.log)
        free = site.peers[daily[0]][0].now >= DAY
        for s in daily:
            first, second = site.peers[s]
            refused, one, two = (first.refused - before[s][0], first.kept() - before[s][1], second.kept() - before[s][2])
            assert (refused, one, two) == ((0, 2, 0) if free else (1, 0, 2)), (s.name, site.peers[s][0].now)
    assert not site.gateway.events("bounced") and not site.home.accepted


# ---- Postfix

def fates_at_postfix(authority):
    home = Scripted()
    peers = {s: (Limited(s, TAKES), Limited(s)) for s in SERVICES}
    ways = {s.domain: [(p.host, p.port) for p in pair] for s, pair in peers.items()}
    postfix = PostfixRelay(authority, {**ways, HOME: [(home.host, home.port)]})
    try:
        wanted = [r for s in SERVICES for r in recipients(s)]
        with smtplib.SMTP(postfix.at["calm"], postfix.port, timeout=60 * ground.PATIENCE) as client:
            for i, recipient in enumerate(wanted):
                client.sendmail(f"shop@{HOME}", [recipient], mail.message(f"p{i}", sender=f"shop@{HOME}", to=recipient))
        ground.until("Postfix has tried each", lambda: set(wanted) <= set(postfix.fates()), 60, log=postfix.log_path())
        fates = postfix.fates()
        bounced = {s: [r for r in recipients(s) if fates[r] == "bounced"] for s in SERVICES}
        reports = ground.until("each bounce is reported", lambda: len(home.accepted) >= sum(map(len, bounced.values())) and list(home.accepted), log=postfix.log_path())
        assert all(r.sender == "" for r in reports)
        return {s.name: (first.kept(), second.kept(), len(bounced[s]), sum(fates[r] == "deferred" for r in recipients(s))) for s, (first, second) in peers.items()}, \
               {s.name: first.refused for s, (first, _) in peers.items()}
    finally:
        postfix.stop()
        for peer in (home, *(p for pair in peers.values() for p in pair)):
            peer.stop()


# ---- side by side

def rows(tidegate, postfix):
    return [f"| {s.name} | {s.shown} | {t[0]} + {t[1]} | {t[2]} | {p[0]} + {p[1]} | {p[2]} |" for s in SERVICES for t, p in [(tidegate[s.name], postfix[s.name])]]


def test_side_by_side_with_postfix(site, authority):
    tidegate = fates_at_tidegate(site)
    wait_in_vain(site)
    postfix, vain = fates_at_postfix(authority)
    table = rows(tidegate, postfix)
    print("\n".join(table))
    assert all(v >= MESSAGES - TAKES for v in vain.values()), vain
    assert all(p[3] == 0 for p in postfix.values())
    told = (ground.REPOSITORY / "scripts/README.md").read_text()
    assert "\n".join(table) in told, "scripts/README.md tells another story; it should be:\n" + "\n".join(table)


def test_a_full_mailbox_is_the_recipients(gateway, scripted, word):
    """The reply that looks most like them: over quota, but the recipient's."""
    peer = scripted(rcpt={"full": "452 4.2.2 The email account that you tried to reach is over quota.", "*": "250 ok"})
    g = gateway(policy=policies.policy(f"""local reply = require "reply"
local one = identity.define {{ name = "one" }}
--
route = function() return route.send {{ via = route.relay {{ host = "{peer.host}", port = {peer.port}, tls = "none" }}, identity = one,
    spend = {{ limit.per_day("box", 100, {{ exhausted_by = "quota" }}) }} }} end,
retry = reply.retry,
"""))
    g.submit(word, to=["full@b.example", "bob@b.example"])
    g.until_event("delivered", recipient="bob@b.example")
    g.until_event("deferred", recipient="full@b.example")
    waits = g.until_queue(1)[0]
    assert waits["attempts"] == 1 and "full_until" not in g.control("limit")[0][0]
