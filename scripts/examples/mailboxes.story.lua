-- SPDX-License-Identifier: MIT
local story = require "story"

local function session(t)
  t:policy(story.file "examples/mailboxes.lua"):at "2026-11-20 09:00"
  return t:session { trusted_network = true }
end

local function to(s, address) return s:message { from = "sales@acme.example", to = address } end

local function has_cap(key, low, high)
  return function(spend)
    for _, limit in ipairs(spend) do
      if limit.key == key then return limit.cap >= low and limit.cap <= high end
    end
  end
end

story("Google hears from a Google mailbox, Microsoft from one at Microsoft", function(t)
  local s = session(t)
  to(s, "a@gmail.com"):route():expect { via = { host = "smtp.gmail.com" }, tls = "verify" }
  to(s, "a@hotmail.com"):route():expect { identity = "cleo", via = { host = "smtp.office365.com" }, connections = 3 }
end)

story("the same recipient has the same correspondent", function(t)
  local s = session(t)
  local first = to(s, "person@gmail.com"):route().identity.name
  for _ = 1, 5 do to(s, "Person@gmail.com"):route():expect { identity = first } end
end)

story("an exhausted mailbox is left alone by all mail, and the recipient is not blamed", function(t)
  local s = session(t)
  for _, words in ipairs { "550 5.4.5 Daily user sending limit exceeded.", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException" } do
    local m = to(s, "person@gmail.com")
    m:route()
    m:outcome { reply = words, stage = "content" }
      :expect { kind = "elsewhere", counts = false, exhaust = { by = "quota", seconds = 3600 }, suppress = story.absent }
  end
end)

story("a mailbox on its first day sends a few, and none before", function(t)
  local s = session(t)
  t:at "2026-11-01 10:00"
  to(s, "a@hotmail.com"):route():expect { identity = "cleo", spend = has_cap("warmup/cleo/other", 1, 3) }
  t:at "2026-10-31 10:00"
  to(s, "a@hotmail.com"):route():expect { identity = "ann" }
end)

story("a mailbox that has sent its share today is passed over, and mail waits when all have", function(t)
  local s = session(t)
  local m = to(s, "a@hotmail.com")
  m:goes():expect { identity = "cleo", way = 1 }
  t:spend(limit.per_day("warmup/cleo/other", 1000))
  m:goes():expect { kind = "send", identity = story.one_of { "ann", "bob" }, because = story.has "for microsoft" }
  t:spend(limit.per_day("warmup/ann/other", 1000))
  t:spend(limit.per_day("warmup/bob/other", 1000))
  m:goes():expect { kind = "wait", wait = story.between(23 * 3600, 25 * 3600), limit = story.starts "warmup/" }
end)

story("a mailbox that its service says is used up is passed over for an hour, then asked again", function(t)
  local s = session(t)
  local m = to(s, "a@hotmail.com")
  local left_alone = m:goes().identity
  m:outcome { reply = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", stage = "content" }:expect "elsewhere"
  to(s, "a@hotmail.com"):goes():expect { identity = story.one_of { "ann", "bob" } }
  t:after "1h1m"
  to(s, "a@hotmail.com"):goes():expect { identity = left_alone }
end)
