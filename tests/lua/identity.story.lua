-- SPDX-License-Identifier: MIT
local identity = require "identity"
local story = require "story"

story("an identity is known by its name, and read-only", function()
  local one = identity.define { name = "story-one", source = "192.0.2.10", helo = "out.example.org", return_path = "b@example.org" }
  story.expect(one.name, "story-one")
  story.raises("read-only", function() one.name = "x" end)
end)

story("a plan carries the whole of it", function(t)
  t:policy [[
    local identity, route = require "identity", require "route"
    local main = identity.define { name = "main", source = "2001:db8::1", return_path = "bounces@example.org" }
    return { route = function() return route.send { via = route.direct {}, identity = main } end }]]
  t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" }:route():expect {
    identity = { name = "main", source6 = "2001:db8::1", source4 = story.absent, return_path = "bounces@example.org", helo = story.absent },
  }
end)

story("what an identity cannot be is refused", function()
  story.raises("name: is missing", identity.define, {})
  story.raises("no '|' and no space", identity.define, { name = "a b" })
  story.raises("did you mean 'source'?", identity.define, { name = "story-two", sorce = "192.0.2.1" })
  story.raises("source: ", identity.define, { name = "story-three", source = "out.example.org" })
  story.raises("one IPv4 and one IPv6", identity.define, { name = "story-four", source = { "192.0.2.1", "192.0.2.2" } })
  story.raises("is no address", identity.define, { name = "story-five", return_path = "nobody" })
  story.raises("keys/none.pem: No such file or directory (`tidegate key new` makes one)", identity.define, {
    name = "story-six", dkim = { { domain = "example.org", selector = "s", key = "keys/none.pem" } } })
  story.expect(identity.has_key "keys/none.pem", false)
end)

story("a name is used once", function(t)
  story.raises("'twice' is already defined at policy.lua:2", function()
    t:policy 'local identity = require "identity"\nidentity.define { name = "twice" }\nidentity.define { name = "twice" }\nreturn {}'
  end)
end)

story("only while the scripts load", function(t)
  t:policy 'return { connect = function() require("identity").define { name = "late" } end }'
  t:session():connect():expect { kind = "defer", fault = true, because = story.has "only while the scripts load" }
end)
