-- SPDX-License-Identifier: MIT
-- Straight to the world from two addresses of our own. One has been sending for years, the other is new: it takes what its warmup
-- allows at each provider that day, and what is over goes by the warm one. Providers get the connections and the TLS they ask for, and
-- mailboxes that do not exist go on the suppression list. When a provider defers one address for what it thinks of it, the other
-- takes over there until that is past.
local identity = require "identity"
local pool = require "pool"
local provider = require "provider"
local reply = require "reply"
local route = require "route"
local shaping = require "shaping"
local suppression = require "suppression"
local warmup = require "warmup"

-- openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out dkim/acme.pem
local KEY = "dkim/acme.pem"
local dkim = identity.has_key(KEY) and { { domain = "acme.example", selector = "s2026", key = KEY } } or nil

local old = identity.define { name = "out1", source = "192.0.2.10", helo = "out1.acme.example", dkim = dkim }
local new = identity.define { name = "out2", source = "192.0.2.11", helo = "out2.acme.example", dkim = dkim }

local warm = warmup.new { name = "out2", ladder = "sendgrid-daily", start = "2026-11-02", finally = "none", overflow = "other",
  providers = { google = 0.5, outlook = 0.5, yahoo = 0.25 } }

local addresses = pool.new {
  members = { { name = "out1", identity = old, weight = 1 }, { name = "out2", identity = new, weight = 3 } },
  caps = function(member, ask)
    if member.name == "out2" then return warm:limits(ask.provider) end
    return shaping.limits(ask.provider, "out1")
  end,
}

local direct = route.direct {}
local policy = {}

function policy.route(message, recipient)
  local refused = suppression.check(message, recipient)
  if refused then return refused end
  local group, how = provider.of(recipient.domain)
  return addresses:first({ message = message, recipient = recipient, provider = group }, function(member, spend)
    return route.send { via = direct, identity = member.identity, spend = spend, lane = shaping.lane(group), tls = shaping.tls(group),
      because = group .. " (" .. how .. ") from " .. member.name }
  end)
end

policy.retry = reply.hook { suppress = suppression.bounces {} }

return policy
