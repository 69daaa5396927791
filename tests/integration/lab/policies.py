# SPDX-License-Identifier: MIT
"""policies: the scripts that tests run. Each is a whole policy.lua."""
from .gateway import lua

PRELUDE = 'local answer, route, retry, identity = require "answer", require "route", require "retry", require "identity"\n'


def policy(body):
    """A policy whose functions are given: the text inside `return { ... }`, after any local definitions before a line `--`."""
    before, _, table = body.rpartition("\n--\n")
    return f"{PRELUDE}{before}\nreturn {{\n{table}\n}}\n"


def routed(send, retry=None, before="", more=""):
    """Routes everything with route.send{ <send> }."""
    table = f"route = function(message, recipient) return route.send{{ {send} }} end,\n"
    if retry:
        table += f"retry = function(message, recipient, outcome) {retry} end,\n"
    return f"{PRELUDE}{before}\nreturn {{\n{table}{more}}}\n"


def capture(more=""):
    return routed('via = route.capture{ dir = "in" }', more=more)


def direct(tls=None, retry=None, before="", more="", extra=""):
    return routed("via = route.direct{}," + (f' tls = "{tls}",' if tls else "") + extra, retry, before, more)


def relay(host, port, tls=None, level=None, user=None, password=None, retry=None, before="", extra="", login=None):
    fields = {"host": host, "port": port, "tls": tls, "login": login or (user and {"user": user, "password": password})}
    return routed(f"via = route.relay{lua(fields)}," + (f' tls = "{level}",' if level else "") + extra, retry, before)


def signing(keys, name="acme", more=""):
    """Lua that defines an identity with DKIM keys as local `acme`."""
    dkim = ", ".join(lua({"domain": k.domain, "selector": k.selector, "key": str(k.path)}) for k in keys)
    return f'local {name} = identity.define{{ name = "{name}", dkim = {{ {dkim} }}, {more} }}'


# Without waiting for the ladder: tries again after a second, as often as it takes.
SOON = "return retry.wait(1, 'soon')"
NEVER = "return retry.give_up('enough')"
