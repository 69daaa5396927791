-- SPDX-License-Identifier: MIT
local story = require "story"

local POLICY = [[
  local answer, retry, route = require "answer", require "retry", require "route"
  return {
    message = function(session, message)
      local key = "seen/" .. message.sender
      local n = (shelf.get(key) or 0) + 1
      if n == 3 then return answer.defer("451 4.7.1 enough", tostring(n)) end
      return answer.accept { because = tostring(n), shelf = { shelf.put(key, n, "1h") } }
    end,
    route = function(message, recipient)
      return route.send { via = route.direct {}, because = "mode " .. tostring(shelf.get "mode") }
    end,
    retry = function(message, recipient, outcome)
      return outcome.permanent and retry.give_up { shelf = { shelf.drop "mode" } } or retry.wait { seconds = 60, shelf = { shelf.put("mode", "slow") } }
    end,
  }]]

local function send(t) return t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" } end

story("what an accept keeps is there for the next, for as long as it said", function(t)
  t:policy(POLICY)
  send(t):expect { kind = "accept", because = "1", shelf = { { key = "seen/a@b.example", value = 1, expires_s = 3600 } } }
  send(t):expect { because = "2" }
  send(t):expect { kind = "defer", because = "3" }
  send(t):expect { because = "3" } -- a refusal keeps nothing
  t:after "61m"
  send(t):expect { because = "1" }
end)

story("a verdict keeps and drops", function(t)
  t:policy(POLICY)
  local m = send(t)
  m:route():expect { because = "mode nil" }
  m:outcome(nil, "450 4.2.0 later")
  m:route():expect { because = "mode slow" }
  m:outcome(nil, "550 5.1.1 no"):expect { kind = "give_up", shelf = { { key = "mode", drop = true } } }
  send(t):route():expect { because = "mode nil" }
end)

story("the stage sets it, and each story begins with an empty one", function(t)
  t:policy(POLICY)
  t:shelf("mode", "careful", "2h")
  send(t):route():expect { because = "mode careful" }
  t:after "3h"
  send(t):route():expect { because = "mode nil" }
end)
