-- SPDX-License-Identifier: MIT
local route = require "route"
local story = require "story"

-- The plan of a policy whose route hook returns this.
local function plan_of(t, expression, to)
  t:policy(([[
    local identity, route = require "identity", require "route"
    local main = identity.define { name = "main", helo = "out.example.org", source = { "192.0.2.10", "2001:db8::10" } }
    return { route = function(message, recipient) return %s end }]]):format(expression))
  return t:session { trusted_network = true }:message { from = "a@b.example", to = to or "c@d.example" }:route()
end

story("send says all of a way out", function(t)
  plan_of(t, [[route.send {
      via = route.relay { host = "smtp.example.net", login = { user = "u", password = "secret" } }, identity = main,
      lane = { connections = 2, per_connection = 7 }, because = "so" }]]):expect {
    kind = "send", because = "so", where = "policy.lua:3", tls = "verify", connections = 2, per_connection = 7, wait = story.absent,
    via = { kind = "relay", host = "smtp.example.net", port = 587, login = { user = "u", password = "***" } },
    identity = { name = "main", helo = "out.example.org", source4 = "192.0.2.10", source6 = "2001:db8::10" },
  }
end)

story("each way out has its usual port and TLS", function(t)
  plan_of(t, "route.send { via = route.direct {} }"):expect { via = { kind = "direct", port = 25 }, tls = "opportunistic" }
  plan_of(t, "route.send { via = route.relay { host = 'h.example', tls = 'implicit' } }"):expect { via = { port = 465 }, tls = "verify" }
  plan_of(t, "route.send { via = route.relay { host = 'h.example', tls = 'none' } }"):expect { tls = "none" }
  plan_of(t, "route.send { via = route.lmtp { host = 'unix:/run/lmtp' } }"):expect { via = "lmtp", tls = "none" }
  plan_of(t, "route.send { via = route.capture {}, tls = 'verify' }"):expect { via = "capture", tls = "none" }
  plan_of(t, "route.send { via = route.capture { dir = 'test' } }"):expect { via = { kind = "capture", dir = "test" }, tls = "none" }
end)

story("lanes are apart by identity, way out and TLS", function(t)
  local a = plan_of(t, "route.send { via = route.direct {} }").lane
  local same = plan_of(t, "route.send { via = route.direct {}, because = 'other words' }").lane
  local named = plan_of(t, "route.send { via = route.direct {}, identity = main }").lane
  local verified = plan_of(t, "route.send { via = route.direct {}, tls = 'verify' }").lane
  local elsewhere = plan_of(t, "route.send { via = route.direct {} }", "c@e.example").lane
  story.expect(same, a)
  for _, other in ipairs { named, verified, elsewhere } do story.expect(other ~= a, true, other) end
end)

story("plans that send nothing", function(t)
  plan_of(t, "route.wait('2h', 'quiet hours')"):expect { kind = "wait", wait = 7200, because = "quiet hours" }
  plan_of(t, "route.hold 'by hand'"):expect { kind = "hold", because = "by hand" }
  plan_of(t, "route.fail('550 5.1.1 nobody', 'gone')"):expect { kind = "fail", code = 550, status = "5.1.1" }
  plan_of(t, "route.suppress 'asked us to stop'"):expect { kind = "suppress", code = 550, because = "asked us to stop" }
  plan_of(t, "route.discard 'noise'"):expect { kind = "discard" }
end)

story("what would be unsafe or senseless is refused", function(t)
  story.raises("did you mean 'connections'?", route.send, { via = route.direct {}, lane = { conections = 1 } })
  story.raises("via: is missing", route.send, {})
  story.raises("would show the password", function()
    route.send { via = route.relay { host = "h.example", tls = "none", login = { user = "u", password = "p" } } }
  end)
  story.raises("is no host name", route.relay, { host = "a b" })
  story.raises("below the capture folder", route.capture, { dir = "../etc" })
  story.raises("permanent reply", route.fail, "450 4.0.0 x")
  plan_of(t, "route.send { via = 'direct' }"):expect { kind = "wait", fault = true, because = story.has "a way out" }
end)

story("without a route nothing leaves", function(t)
  t:policy "return {}"
  t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" }:route():expect { kind = "hold", where = "" }
end)
