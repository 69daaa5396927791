-- SPDX-License-Identifier: MIT
local story = require "story"

local function letter(t, to, list)
  t:policy(story.file "examples/newsletter.lua")
  return t:session { trusted_network = true }:message { from = "news@news.acme.example", to = to,
    headers = { Subject = "Spring", ["X-List"] = list, Bcc = "boss@acme.example" } }
end

story("every letter can be unsubscribed from with one click", function(t)
  local m = letter(t, "ann@gmail.com", "spring"):expect "accept"
  story.expect(m:header "List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
  story.expect(m:header "List-Unsubscribe", story.matches "<https://news%.acme%.example/u/[%w%-_%.]+>")
  story.expect(m:header "Feedback-ID", "spring:news:acme-news")
  story.expect(m:header "Message-ID", story.any)
  story.expect(m:header "Bcc", nil)
  story.expect(m:header "X-List", nil)
end)

story("a letter without its list, or to several people, is not taken", function(t)
  letter(t, "ann@gmail.com"):expect { kind = "reject", code = 550 }
  letter(t, { "ann@gmail.com", "bob@gmail.com" }, "spring"):expect { kind = "reject", because = "several recipients" }
end)

story("letters leave at a pace, and a dead mailbox leaves the list", function(t)
  local m = letter(t, "ann@yahoo.com", "spring")
  m:route():expect { identity = "news", per_connection = 20, priority = "bulk", turn = "spring", because = "list spring to yahoo" }
  m:outcome { reply = "550 5.1.1 no such user", via = "direct" }:expect { kind = "give_up", suppress = { scope = "stream:spring" } }
end)

story("a full mailbox is tried again and stays on the list", function(t)
  local m = letter(t, "ann@gmail.com", "spring")
  m:route()
  m:outcome "452 4.2.2 over quota":expect { kind = "wait", suppress = story.absent }
end)
