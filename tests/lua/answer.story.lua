-- SPDX-License-Identifier: MIT
local answer = require "answer"
local story = require "story"

-- A policy whose hooks all return what stands here.
local function says(t, hook, expression)
  t:policy(([[
    local answer = require "answer"
    return { %s = function(session, x) return %s end }]]):format(hook, expression))
  return t:session { trusted_network = true }
end

story("accept goes on, and takes along what it is given", function(t)
  says(t, "connect", "answer.accept { because = 'why not' }"):connect():expect { kind = "accept", because = "why not", where = "policy.lua:2" }
  local m = says(t, "message", [[answer.accept {
      tags = { class = "bulk", n = 3, list = { "a", "b" } }, expires = "1h30m",
      headers = { { add = "X-First", value = "1" }, { set = "Subject", value = "new" }, { remove = "X-Old" } } }]])
    :message { from = "a@b.example", to = "c@d.example", headers = { { "Subject", "old" }, { "X-Old", "x" }, { "Subject", "again" } } }
  m:expect { kind = "accept", tags = { class = "bulk", n = 3, list = { "a", "b" } }, expires = 5400 }
  story.expect(m.facts.head, "X-First: 1\r\nSubject: new\r\n")
end)

story("copies are recipients that nobody asked for", function(t)
  t:policy [[
    local answer, route = require "answer", require "route"
    return { message = function(_, m) return answer.accept { copies = m.recipient_count == 1 and { "archive@b.example", "C@d.example" } or "archive@b.example" } end,
      route = function(m, r) return route.send { via = route.direct {}, because = r.number .. " of " .. m.recipient_count } end }]]
  local s = t:session { trusted_network = true }
  local m = s:message { from = "a@b.example", to = "c@d.example" }
  m:expect { kind = "accept", copies = { "archive@b.example", "C@d.example" } }
  m:route "archive@b.example":expect { kind = "send", because = "1 of 2" }
  story.raises("no recipient", m.route, m, "C@d.example")
  s:message { from = "a@b.example", to = { "c@d.example", "e@d.example" } }:expect { copies = { "archive@b.example" } }
  for copies, words in pairs { ["'nobody'"] = "'nobody'", ["{ a = 'x@b.example' }"] = "an address is expected", ["{ 1 }"] = "an address is expected",
    ["'\u{fc}@b.example'"] = "only ASCII", ["{ '1@b.example', '2@b.example', '3@b.example', '4@b.example', '5@b.example', '6@b.example', '7@b.example', '8@b.example', '9@b.example' }"] = "more than 8" } do
    says(t, "message", "answer.accept { copies = " .. copies .. " }"):message { from = "a@b.example", to = "c@d.example" }
      :expect { fault = true, because = story.has(words) }
  end
  says(t, "recipient", "answer.accept { copies = 'x@b.example' }"):recipient "c@d.example":expect { fault = true, because = story.has "only in message" }
end)

story("refusals carry their reply", function(t)
  says(t, "sender", "answer.reject('553 5.7.1 not you', 'because')"):sender "a@b.example"
    :expect { kind = "reject", reply = "553 5.7.1 not you", code = 553, status = "5.7.1", because = "because" }
  says(t, "recipient", "answer.defer '451 4.7.1 later'"):recipient "a@b.example":expect { kind = "defer", code = 451 }
end)

story("hold and discard are for messages", function(t)
  says(t, "message", "answer.hold 'looked at by hand'"):message { from = "a@b.example", to = "c@d.example" }:expect "hold"
  says(t, "message", "answer.discard 'a loop'"):message { from = "a@b.example", to = "c@d.example" }:expect "discard"
  says(t, "sender", "answer.hold 'x'"):sender "a@b.example":expect { fault = true, because = story.has "only in message" }
end)

story("an authenticated user's facts come from the answer", function(t)
  local s = says(t, "authenticate", "answer.accept { facts = { team = 'red' } }")
  s:login { user = "ann" }:expect { facts = { team = "red" } }
  story.expect(s.facts.user_facts.team, "red")
end)

story("what is wrong is refused in words", function()
  story.raises("unknown field 'tag' (did you mean 'tags'?)", answer.accept, { tag = {} })
  story.raises("a permanent reply (5xx) is expected", answer.reject, "451 4.0.0 x")
  story.raises("a temporary reply (4xx) is expected", answer.defer, "550 5.0.0 x")
  story.raises("because: is missing", answer.hold)
  story.raises("not a duration", answer.accept, { expires = "soon" })
end)

story("what has no meaning in a hook is a fault there", function(t)
  says(t, "connect", "answer.accept { tags = { a = 1 } }"):connect():expect { fault = true, because = story.has "only in message" }
  says(t, "connect", "nil"):connect():expect { kind = "defer", fault = true, because = story.has "connect returned nothing" }
  says(t, "connect", "true"):connect():expect { fault = true, because = story.has "returned a boolean" }
end)
