-- SPDX-License-Identifier: MIT
local story = require "story"

local function message(t)
  t:policy(story.file "examples/smarthosts.lua")
  return t:session { trusted_network = true }:message { from = "a@acme.example", to = "b@example.net" }
end

story("the other relay takes over while the first does not answer, and the first is tried again", function(t)
  local m = message(t)
  m:route():expect { via = { host = "smtp.first.example" } }
  m:outcome { reply = "451 4.4.1 no answer", stage = "connect", from_peer = false }:expect { kind = "wait", wait = 60 }
  m:route():expect { via = { host = "smtp.other.example" }, tls = "verify" }
  m:outcome { reply = "451 4.4.1 no answer", stage = "connect", from_peer = false }:expect { kind = "wait", wait = 60 }
  m:route():expect { via = { host = "smtp.first.example" } }
end)

story("what the relay says of the mail is not a matter of the way", function(t)
  local m = message(t)
  m:route()
  m:outcome "550 5.1.1 no such user":expect "give_up"
end)
