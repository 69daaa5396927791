-- SPDX-License-Identifier: MIT
-- route: plans, which the route hook returns, and the ways out they name.
--
--   route.send{ via = ..., identity = ..., lane = {}, priority = ..., turn = ..., tls = ..., send_8bit = ..., because = ... }
--   route.first{ plan, plan, ... }    the first whose limits have room and whose way out is not known to fail; none of them: as soon
--                                as one has, and no attempt is counted. The last may be another answer: what to do then
--   route.wait(300, "why")       ask again in so many seconds; no attempt is counted
--   route.hold("why")            until an operator releases it
--   route.fail("550 5.1.1 ...", "why")    give up now; the sender gets a report
--   route.suppress("why")        the same, because this recipient must not be written to ("why", reply: default 550 5.7.1)
--   route.discard("why")         forget it; nobody is told
--
-- Ways out:
--
--   route.direct{}               the recipient's MX
--   route.relay{ host = ..., port = ..., tls = ..., login = {} }
--   route.lmtp{ host = ... }     a local delivery agent
--   route.capture{}              a Maildir on this machine
--
-- The checks are in C (gateway/policy/bind_route.c); stdlib/README.md has every field.
local core = require "core.route"

return {
  send = core.send,
  first = core.first,
  wait = core.wait,
  hold = core.hold,
  fail = core.fail,
  suppress = core.suppress,
  discard = core.discard,
  direct = core.direct,
  relay = core.relay,
  lmtp = core.lmtp,
  capture = core.capture,
}
