-- SPDX-License-Identifier: MIT
-- Quiet hours: letters that can wait (those with List-Unsubscribe) are sent on workdays from 8 to 18 in their readers' time, by the
-- end of the address; what a person or a program is waiting for goes at once. A letter too old for the next morning still goes.
local answer = require "answer"
local route = require "route"

-- Hours east of UTC, by the last label; a house that writes to the whole world has a better list. Winter time: an hour is not a
-- reason to keep a table of all clock changes.
local EAST = { uk = 0, ie = 0, pt = 0, de = 1, fr = 1, nl = 1, it = 1, es = 1, pl = 1, fi = 2, gr = 2, jp = 9, com = 1 }
local OPENS, CLOSES = 8, 18

-- Seconds until the next opening; 0 now.
local function until_open(now, east)
  local here = math.floor(now) + east * 3600
  for day = 0, 7 do
    local start = (here // 86400 + day) * 86400
    local weekday = (start // 86400 + 4) % 7 -- 0 is Sunday: 1970-01-01 was a Thursday
    if weekday >= 1 and weekday <= 5 and here < start + CLOSES * 3600 then
      return math.max(0, start + OPENS * 3600 - here)
    end
  end
end

local policy = {}

function policy.message(session, message)
  local bulk = message:header "List-Unsubscribe" ~= nil
  return answer.accept { tags = { class = bulk and "letter" or "personal" } }
end

function policy.route(message, recipient)
  local way = route.send { via = route.direct {}, because = message.tags.class == "letter" and "in working hours" or "at once" }
  if message.tags.class ~= "letter" then return way end
  local wait = until_open(clock.now(), EAST[recipient.domain:match "([^.]*)$"] or 0)
  if wait == 0 then return way end
  if message.expires_at and clock.now() + wait >= message.expires_at then
    return route.send { via = route.direct {}, because = "it would expire before the morning" }
  end
  -- Not all at the stroke of eight: within the first half hour, each its own moment.
  local spread = crypto.sha256(message.id .. recipient.address):byte() * 1800 // 256
  return route.wait(wait + spread, "quiet hours there")
end

return policy
