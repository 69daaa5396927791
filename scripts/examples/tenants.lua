-- SPDX-License-Identifier: MIT
-- Two customers on one gateway. Each sends as itself, from its own address and with its own key, so that neither's mistakes are the other's
-- reputation; each has a share of what the line can carry, and may use what the other leaves over. Who is who, the users file
-- says: acme:HASH:tenant=acme:from=*@acme.example
local answer = require "answer"
local identity = require "identity"
local provider = require "provider"
local reply = require "reply"
local route = require "route"
local shaping = require "shaping"
local suppression = require "suppression"
local users = require "users"

local LINE = 600 -- messages a minute, for all
local tenants = {
  acme = { share = 0.7, per_day = 100000, source = "192.0.2.10", domain = "acme.example" },
  birch = { share = 0.3, per_day = 20000, source = "192.0.2.11", domain = "birch.example" },
}
for name, tenant in pairs(tenants) do
  local key = "dkim/" .. name .. ".pem"
  tenant.identity = identity.define { name = name, source = tenant.source, helo = "out." .. tenant.domain,
    dkim = identity.has_key(key) and { { domain = tenant.domain, selector = "s2026", key = key } } or nil }
  local day = limit.per_day("tenant/" .. name, tenant.per_day, { per = "recipient" })
  local line = limit.per_minute("line", LINE)
  -- Within its share a tenant is never in the other's way. Beyond it, it takes from what is spare: a tenth of the line is kept free.
  tenant.within = { day, line, limit.per_minute("share/" .. name, math.floor(LINE * tenant.share)) }
  tenant.beyond = { day, limit.per_minute("line", LINE * 9 // 10) }
end

local policy = {}

local function tenant_of(facts) return facts and tenants[facts.tenant or ""] end

function policy.sender(session, sender)
  if not tenant_of(session.user_facts) then return answer.reject("550 5.7.1 no tenant", "user '" .. session.user .. "'") end
  if not users.may_send_as(session.user_facts, sender.address) then
    return answer.reject("553 5.7.1 you may not send as this address", session.user)
  end
  return answer.accept {}
end

function policy.message(session, message) return answer.accept { tags = { tenant = session.user_facts.tenant } } end

function policy.route(message, recipient)
  local name = message.tags.tenant
  local tenant = tenants[name or ""]
  if not tenant then return route.hold("no tenant") end
  local refused = suppression.check(message, recipient, { identity = tenant.identity })
  if refused then return refused end
  local group = provider.of(recipient.domain)
  local function plan(spend, why)
    return route.send { via = route.direct {}, identity = tenant.identity, spend = spend, lane = shaping.lane(group),
      tls = shaping.tls(group), turn = name, because = name .. " to " .. group .. ", " .. why }
  end
  return route.first { plan(tenant.within, "within its share"), plan(tenant.beyond, "out of what is spare") }
end

policy.retry = reply.hook { suppress = suppression.bounces { scope = "identity" } }

return policy
