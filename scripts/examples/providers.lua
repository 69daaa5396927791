-- SPDX-License-Identifier: MIT
-- Split by provider: mail for Google and Microsoft goes by services they trust, the rest straight from our own address, and what a
-- small provider cannot bear waits its turn.
local identity = require "identity"
local provider = require "provider"
local relays = require "relays"
local reply = require "reply"
local route = require "route"
local shaping = require "shaping"

local own = identity.define { name = "own", source = "192.0.2.10", helo = "out.acme.example" }
local google = relays.gmail_relay {} -- our address is on Google's allow list
local ses = relays.ses { region = "eu-central-1", user = "change me", password = "change me", per_day = 20000 }

-- Known to us: more careful than what ships, and a reaction to their words.
shaping.set { provider = "orange", connections = 1, rate = "30/minute", source = "deferrals of 2026-09, ticket 4711" }
provider.define { name = "school", domains = { "school.example" }, mx = { "mail.school.example" }, source = "their postmaster" }
shaping.set { provider = "school", connections = 1, per_connection = 10, rate = "5/minute", source = "their postmaster" }

local BY = { google = google, outlook = ses, microsoft = ses }

local policy = {}

function policy.route(message, recipient)
  local group, how = provider.of(recipient.domain)
  local service = BY[group]
  if service then
    return route.send { via = service.via, identity = own, spend = service.limits(), lane = service.lane, tls = service.tls,
      because = group .. " (" .. how .. ") by " .. service.preset }
  end
  return route.send { via = route.direct {}, identity = own, spend = shaping.limits(group, "own"), lane = shaping.lane(group),
    tls = shaping.tls(group), because = group .. " (" .. how .. ") directly" }
end

policy.retry = reply.retry

return policy
