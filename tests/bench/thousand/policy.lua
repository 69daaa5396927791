-- SPDX-License-Identifier: MIT
-- For `make micro`: what route costs with a thousand identities in one pool, their caps and their warmup.
local identity = require "identity"
local pool = require "pool"
local provider = require "provider"
local route = require "route"
local shaping = require "shaping"
local warmup = require "warmup"

local members = {}
for i = 1, 1000 do
  local name = "box" .. i
  members[i] = { name = name, identity = identity.define { name = name },
    warm = warmup.new { name = name, ladder = "sendgrid-daily", start = "2026-01-01" } }
end

local direct = route.direct {}
local team = pool.new {
  members = members, size = 2,
  caps = function(member, ask) return member.warm:limits(ask.provider) end,
  plan = function(member, spend, group)
    return route.send { via = direct, identity = member.identity, spend = spend, lane = shaping.lane(group), tls = shaping.tls(group),
      because = member.name }
  end,
}

return {
  route = function(message, recipient)
    local group = provider.by_domain(recipient.domain) or "other"
    return team:first { message = message, recipient = recipient, provider = group }
  end,
}
