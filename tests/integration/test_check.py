# SPDX-License-Identifier: MIT
"""`tidegate check`: a kind of fault each; what only shows when a hook runs is found by a trial; what is right is left alone."""
import json

import pytest
from lab import ground, policies

EXAMPLES = sorted(p for p in (ground.REPOSITORY / "scripts/examples").glob("*.lua") if not p.name.endswith(".story.lua"))


def check(g, *arguments):
    done = g.cli("check", "--json", *arguments, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [r["fault"] for r in rows if "fault" in r], [r for r in rows if "good" in r]


@pytest.mark.parametrize("example", [ground.REPOSITORY / "scripts/policy.lua", *EXAMPLES], ids=lambda p: p.name)
def test_what_ships_is_right(gateway, example):
    code, faults, good = check(gateway(policy=example.read_text(), start=False))
    assert code == 0 and faults == [] and good[0]["policy"], faults
    assert good[0]["warnings"] == 0


FAULTS = {
    "syntax": ("return {\n  route = function( end\n}", "policy.lua:2:"),
    "no such hook": ("return { rout = function() end }", "did you mean 'route'?"),
    "no such module": ("local x = require 'pols'\nreturn {}", "policy.lua:1: require: there is no module 'pols'"),
    "a field while loading": ("local w = require('route').relay { hots = 'x' }\nreturn {}", "unknown field 'hots' (did you mean 'host'?)"),
    "a field in a hook": (policies.policy("--\nroute = function() return route.send { via = route.direct {}, becuse = 'x' } end,\n"), "(did you mean 'because'?)"),
    "a hook that returns nothing": (policies.policy("--\nroute = function(m, r) if r.domain == 'gmail.com' then return route.hold 'x' end end,\n"), "route returned nothing"),
    "sender returns nothing": (policies.policy("--\nsender = function() end,\n"), "sender: "),
    "a global in a hook": (policies.policy("--\nmessage = function(session, message) return answer.accept { tags = tagz } end,\n"), "tagz"),
    "a fact that is none": (policies.policy("--\nrecipient = function(session, to) return answer.accept { because = to.adress } end,\n"), "adress"),
    "an outcome's fact": (policies.policy("--\nroute = function() return route.send { via = route.direct {} } end,\nretry = function(m, r, o) return retry.wait(o.tries) end,\n"), "retry: "),
    "a key file": ("require('identity').define { name = 'a', dkim = { { domain = 'a.example', selector = 's', key = 'no.pem' } } }\nreturn {}", "no.pem"),
    "a provider": ("require('shaping').set { provider = 'gogle', connections = 1, source = 's' }\nreturn {}", "gogle"),
    "a ladder": ("require('warmup').new { name = 'a', ladder = 'sendgird', age = 1 }\nreturn {}", "sendgird"),
    "a relay's TLS": ("require('route').relay { host = 'x.example', tls = 'startls' }\nreturn {}", "startls"),
    "a token's file": ("require('route').relay { host = 'x.example', login = { user = 'u', xoauth2 = { token_url = 'https://t.example/', client_id = 'c', "
                       "refresh_token_file = 'no.token' } } }\nreturn require 'policy2'", "no.token"),
    "an endless loop": ("while true do end", "policy.lua:1:"),
    "an endless loop in a hook": (policies.policy("--\nconnect = function() while true do end end,\n"), "connect: "),
}


@pytest.mark.parametrize("name", FAULTS, ids=lambda n: n.replace(" ", "-"))
def test_each_fault_is_named(gateway, name):
    policy, words = FAULTS[name]
    code, faults, _ = check(gateway(policy=policy, start=False))
    assert code == 78 and any(words in f for f in faults), faults


def test_a_configuration_that_is_not_there_is_named_not_guessed_at(gateway):
    done = gateway(start=False).cli("-c", "/nowhere/tidegate.lua", "status", check=False)
    assert done.returncode == 78 and "/nowhere/tidegate.lua: No such file or directory" in done.stderr and "--conf" in done.stderr


def test_limits_of_a_user_whose_sender_is_prescribed_are_held(gateway):
    g = gateway(policy=(ground.REPOSITORY / "scripts/policy.lua").read_text(), start=False)
    g.cli("passwd", "ann", "--set", "from=*@acme.example", "--set", "per_hour=200", input="secret\n")
    code, faults, good = check(g, "--strict")
    assert code == 0 and faults == [] and good[0]["warnings"] == 0


def test_files_that_nobody_requires_and_hooks_that_no_trial_reaches(gateway):
    g = gateway(policy="return {}", scripts={"lists/vip.lua": "return { 'a',\n 'b' 'c' }"}, start=False)
    code, faults, _ = check(g)
    assert code == 78 and len(faults) == 1 and faults[0].startswith("lists/vip.lua:2:")
    g.write_scripts({"lists/vip.lua": "return {}", "policy.lua": policies.policy(
        "--\nsender = function() return answer.reject('550 5.7.1 no') end,\nroute = function() return 1 end,\n")})
    code, faults, good = check(g)
    assert code == 0 and faults == [] and good[0]["unreached"] == "route"
    assert "no trial message came to route" in g.cli("check").stdout


WARNINGS = {
    "a limit that is asked for and never spent": (policies.policy("""--
route = function(message, recipient)
  if limit.left(limit.per_day("acme/gogle", 5)) == 0 then return route.wait(60, "full") end
  return route.send { via = route.direct {}, spend = { limit.per_day("acme/google", 5) } }
end,
"""), "the limit 'acme/gogle' (in 1d) is asked here, but nothing that was tried spends it (did you mean 'acme/google'?)"),
    "an identity that nothing uses": ("require('identity').define { name = 'acme' }\nreturn {}", "policy.lua:1: identity 'acme' is made here, and nothing uses it"),
    "a relay that nothing uses": ("local w = require('route').relay { host = 'mx.example' }\nreturn {}", "policy.lua:1: route.relay 'mx.example' is made here"),
}


def test_limits_of_users_where_nobody_logs_in(gateway):
    """A trial in which no listener lets anybody log in says nothing of what users may send."""
    g = gateway(start=False, policy=policies.capture(), listeners=[{"kind": "relay", "address": "127.0.0.1:2525", "allow": ["127.0.0.1"]}])
    g.cli("passwd", "ann", "--set", "per_hour=200", input="secret\n")
    assert g.cli("check", "--strict", check=False).returncode == 0


@pytest.mark.parametrize("name", WARNINGS, ids=lambda n: n.replace(" ", "-"))
def test_what_does_nothing_is_a_warning(gateway, name):
    policy, words = WARNINGS[name]
    g = gateway(policy=policy, start=False)
    done = g.cli("check", "--json", check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(rows) == 2 and words in rows[0]["warning"] and rows[1]["warnings"] == 1, rows
    plain = g.cli("check").stdout
    assert plain.startswith("warning: ") and "; 1 warning" in plain
    strict = g.cli("check", "--strict", check=False)
    assert strict.returncode == 78 and "1 warning, and --strict" in strict.stderr


def test_the_tables_of_the_shipped_policy(gateway):
    """Its limits are named by identity and user: one for nobody is a slip."""
    shipped = (ground.REPOSITORY / "scripts/policy.lua").read_text()
    slipped = shipped.replace("--[[ demo = 2000 ]]", "dmeo = 2000").replace("--[[ printer = 500 ]]", "nobody = 500")
    assert slipped.count("dmeo") == 1 and slipped.count("nobody = 500") == 1
    done = gateway(policy=slipped, start=False).cli("check")
    assert "the limit 'identity/dmeo' is for an identity that the policy does not define (did you mean 'demo'?)" in done.stdout
    assert "the limit 'user/nobody' is for a user that is not in the users file" in done.stdout
