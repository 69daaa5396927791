-- SPDX-License-Identifier: MIT
local story = require "story"

local function session(t, name)
  t:policy(story.file "examples/tenants.lua")
  t:users { acme = { password = "a", tenant = "acme", from = "*@acme.example" }, birch = { password = "b", tenant = "birch", from = "*@birch.example" } }
  local s = t:session {}
  s:login(name, name:sub(1, 1)):expect "accept"
  return s
end

story("each tenant sends as itself", function(t)
  session(t, "acme"):message { from = "shop@acme.example", to = "ann@gmail.com" }:route()
    :expect { identity = "acme", because = story.has "acme to google, within its share" }
  session(t, "birch"):message { from = "x@birch.example", to = "ann@gmail.com" }:route():expect { identity = "birch", turn = "birch" }
end)

story("who is nobody's is told so", function(t)
  t:policy(story.file "examples/tenants.lua")
  t:session({ trusted_network = true }):sender "x@acme.example":expect { kind = "reject", code = 550, because = "user ''" }
end)

story("and never as the other", function(t)
  session(t, "birch"):sender "shop@acme.example":expect { kind = "reject", code = 553 }
end)

story("a bounce of one tenant's mail is not the other's affair", function(t)
  local m = session(t, "acme"):message { from = "shop@acme.example", to = "gone@gmail.com" }
  m:route()
  m:outcome { reply = "550 5.1.1 no such user", via = "direct" }:expect { kind = "give_up", suppress = { scope = "identity:acme" } }
end)

story("a tenant over its share takes what the other leaves, but not the last tenth of the line", function(t)
  local m = session(t, "birch"):message { from = "x@birch.example", to = "ann@gmail.com" }
  t:spend(limit.per_minute("share/birch", 180)):spend(limit.per_minute("line", 540), 300)
  m:goes():expect { way = 2, because = story.has "out of what is spare" }
  t:spend(limit.per_minute("line", 540), 240)
  m:goes():expect { kind = "wait", wait = story.between(50, 70) }
  m:deliver("250 2.0.0 ok"):expect { kind = "delivered", attempts = 1, took = story.between(50, 70) }
end)
