-- SPDX-License-Identifier: MIT
local retry = require "retry"
local story = require "story"

local function mail(t, hook)
  t:policy(([[
    local retry, route = require "retry", require "route"
    return { route = function() return route.send { via = route.direct {} } end, retry = %s }]]):format(hook or "nil"))
  return t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" }
end

story("the ladder climbs from five minutes to four hours", function(t)
  local m = mail(t)
  for _, step in ipairs { 300, 600, 1200, 2400, 3600, 7200, 14400, 14400 } do
    m:outcome "450 4.2.0 busy":expect { kind = "wait", wait = story.between(step * 0.9 - 1, step * 1.1), counts = true }
  end
end)

story("what failed together does not come back together, and what was announced stays", function(t)
  local waits = {}
  local m = t:policy "return {}" and t:session { trusted_network = true }:message {
    from = "a@b.example", to = { "a@d.example", "b@d.example", "c@d.example", "d@d.example" } }
  for _, to in ipairs { "a@d.example", "b@d.example", "c@d.example", "d@d.example" } do
    waits[m:outcome(to, "450 4.2.0 busy").wait] = true
  end
  local different = 0
  for _ in pairs(waits) do different = different + 1 end
  story.expect(different, story.between(2, 4))
  story.expect(mail(t):outcome("450 4.2.0 busy").wait, story.between(270, 330))
end)

story("a permanent refusal ends it, a refusal of the session does not", function(t)
  mail(t):outcome "550 5.1.1 nobody":expect { kind = "give_up", reply = story.absent, because = "a permanent refusal" }
  mail(t):outcome { reply = "554 5.7.1 not from you", stage = "greeting" }:expect "wait"
  mail(t):outcome { reply = "535 5.7.8 no", stage = "auth" }:expect "wait"
end)

story("near the end there is one more attempt, then a report", function(t)
  local m = mail(t)
  t:after "4d23h55m"
  m:outcome "450 4.2.0 busy":expect { kind = "wait", wait = story.between(200, 300) }
  t:after "4m30s"
  m:outcome "450 4.2.0 busy":expect { kind = "give_up", because = story.has "before it expired" }
end)

story("a week of silence is tried as long as the message lives", function(t)
  mail(t):deliver "421 4.3.2 try later":expect { kind = "bounced", attempts = story.between(30, 45), took = story.between(431000, 432000) }
end)

story("own steps", function(t)
  local m = mail(t, "retry.ladder { 60, 120 }")
  m:outcome "450 busy":expect { wait = story.between(54, 66) }
  m:outcome "450 busy":expect { wait = story.between(108, 132) }
  m:outcome "450 busy":expect { wait = story.between(108, 132) }
  story.raises("a list of seconds", retry.ladder, {})
  story.raises("step 2: a whole number", retry.ladder, { 60, "x" })
  story.raises("step 1: a whole number", retry.ladder, { 0 })
end)

story("verdicts of a policy's own", function(t)
  mail(t, "function() return retry.elsewhere('their MX is down') end"):outcome "450 x":expect { kind = "elsewhere", because = "their MX is down" }
  mail(t, "function() return retry.wait(60, 'not our fault', false) end"):outcome "450 x":expect { wait = 60, counts = false }
  mail(t, "function() return retry.give_up('enough', '550 5.4.1 nobody answers') end"):outcome "450 x":expect { kind = "give_up", code = 550 }
  mail(t, "function() return 5 end"):outcome "450 x":expect { kind = "wait", fault = true }
end)
