-- SPDX-License-Identifier: MIT
local story = require "story"

local function stage(t)
  t:policy(story.file "examples/direct.lua"):at "2026-11-03 09:00"
  return t:session { trusted_network = true }
end

-- The new address takes three of four messages, so ten have some of each.
local function routes(session, to, n)
  local list = {}
  for i = 1, n do list[i] = session:message { from = "shop@acme.example", to = to }:route() end
  return list
end

story("the new address sends what its day allows, the old one what is over", function(t)
  local session, seen = stage(t), {}
  for _, plan in ipairs(routes(session, "ann@gmail.com", 10)) do
    plan:expect { via = "direct", tls = "encrypt", connections = 5, per_connection = 50 }
    seen[plan.identity.name] = plan
  end
  -- Day 2 of the ladder is 100 messages, half of that at Google.
  seen.out2:expect { spend = { { key = "warmup/out2/google", cap = 50 } }, because = story.has "google (known domain) from out2" }
  story.expect(seen.out1 ~= nil, true, "out1 was used")
end)

story("before its first day the new address sends nothing", function(t)
  local session = stage(t)
  t:at "2026-11-01 23:00"
  for _, plan in ipairs(routes(session, "ann@gmail.com", 10)) do plan:expect { identity = "out1" } end
end)

story("a company's domain at Microsoft 365 is told by its MX", function(t)
  local session = stage(t)
  t:dns { ["customer.example"] = { mx = "customer-example.mail.protection.outlook.com" } }
  routes(session, "bob@customer.example", 1)[1]:expect { because = story.has "microsoft (mx customer-example" }
end)

story("a mailbox that does not exist is not written to again, a complaint about us changes nothing for it", function(t)
  local session = stage(t)
  local m = session:message { from = "shop@acme.example", to = "gone@gmail.com" }
  m:route()
  m:outcome { reply = "550 5.1.1 no such user", via = "direct" }:expect { kind = "give_up", suppress = story.any }
  local n = session:message { from = "shop@acme.example", to = "ann@gmail.com" }
  n:route()
  n:outcome { reply = "421 4.7.28 unusual rate of mail", via = "direct" }:expect { kind = "elsewhere", counts = false, exhaust = { by = "standing", seconds = 3600 }, suppress = story.absent }
end)

story("what the new address may not send any more today goes by the old one", function(t)
  local session = stage(t)
  t:spend(limit.per_day("warmup/out2/google", 50))
  for i = 1, 10 do
    session:message { from = "shop@acme.example", to = "ann@gmail.com" }:goes():expect { kind = "send", identity = "out1" }
  end
end)

story("the new address sends its day's share and no more", function(t)
  local session, by = stage(t), { out1 = 0, out2 = 0 }
  for i = 1, 100 do
    local m = session:message { from = "shop@acme.example", to = "ann@gmail.com" }
    m:deliver(function(plan)
      by[plan.identity.name] = by[plan.identity.name] + 1
      return "250 2.0.0 ok"
    end):expect "delivered"
  end
  story.expect(by.out2, 50)
  story.expect(by.out1, 50)
end)
