-- SPDX-License-Identifier: MIT
local story = require "story"

local function message(t)
  t:policy(story.file "examples/transactional.lua")
  return t:session { trusted_network = true }:message { from = "orders@shop.example", to = "ann@example.net" }
end

story("receipts go by SES, and SES's quota is ours to keep", function(t)
  local plan = message(t):route()
  plan:expect { via = { host = "email-smtp.eu-west-1.amazonaws.com" }, tls = "verify", because = story.has "ses: first choice" }
end)

story("a throttled account is left alone for an hour, by all mail, and nothing is counted", function(t)
  local m = message(t)
  m:route()
  m:outcome { reply = "454 Throttling failure: Daily message quota exceeded", stage = "data" }
    :expect { kind = "elsewhere", counts = false, exhaust = { by = "quota", seconds = 3600 } }
end)

story("too fast for a moment is a matter of seconds", function(t)
  local m = message(t)
  m:route()
  m:outcome { reply = "454 Throttling failure: Maximum sending rate exceeded", stage = "data" }
    :expect { kind = "elsewhere", counts = false, exhaust = { by = "quota", seconds = 10 } }
end)

story("a customer who does not exist is the customer's affair", function(t)
  local m = message(t)
  m:route()
  m:outcome("550 5.1.1 no such user"):expect "give_up"
end)

story("what is over SES's quota goes by the second service at once", function(t)
  local m = message(t)
  m:goes():expect { way = 1, via = { host = "email-smtp.eu-west-1.amazonaws.com" } }
  for _, l in ipairs(m:goes().spend) do
    if l.window_s == 86400 then t:spend(limit.per_day(l.key, l.cap)) end
  end
  m:goes():expect { way = 2, because = "postmark: SES has no room" }
end)
