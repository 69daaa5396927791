-- SPDX-License-Identifier: MIT
local story = require "story"

local LETTER = { ["List-Unsubscribe"] = "<https://acme.example/u/1>" }

local function message(t, to, headers, expires)
  t:policy(story.file "examples/quiet_hours.lua")
  return t:session { trusted_network = true }:message { from = "a@acme.example", to = to, headers = headers, expires = expires }
end

story("a letter at night waits for the morning there", function(t)
  t:at "2026-01-05 22:00" -- a Monday; 23:00 in Germany
  message(t, "ann@example.de", LETTER):route():expect { kind = "wait", wait = story.between(9 * 3600, 9.5 * 3600), because = "quiet hours there" }
end)

story("a password reset does not", function(t)
  t:at "2026-01-05 22:00"
  message(t, "ann@example.de"):route():expect { kind = "send", because = "at once" }
end)

story("by day letters go, over the weekend they wait", function(t)
  t:at "2026-01-06 09:00"
  message(t, "ann@example.de", LETTER):route():expect "send"
  t:at "2026-01-10 12:00" -- a Saturday
  message(t, "ann@example.de", LETTER):route():expect { kind = "wait", wait = story.between(43 * 3600, 43.5 * 3600) }
end)

story("the evening there is what counts", function(t)
  t:at "2026-01-05 10:00" -- 19:00 in Japan
  message(t, "ann@example.jp", LETTER):route():expect { kind = "wait", wait = story.between(13 * 3600, 13.5 * 3600) }
end)

story("a letter that would expire goes at night", function(t)
  t:at "2026-01-05 22:00"
  message(t, "ann@example.de", LETTER, "2h"):route():expect { kind = "send", because = "it would expire before the morning" }
end)
