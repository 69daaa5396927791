-- SPDX-License-Identifier: MIT
-- Receipts and password resets by Amazon SES, with another service behind it. SES's own quota is kept here, so that it never has to
-- refuse; what is over it, or comes while SES does not answer, goes by the second service at once. Passwords stand here: let only
-- the gateway read this file.
local identity = require "identity"
local relays = require "relays"
local reply = require "reply"
local route = require "route"
local suppression = require "suppression"

local shop = identity.define { name = "shop", return_path = "bounces@shop.example" }
-- per_day and per_second as the SES console shows them for the account.
local ses = relays.ses { region = "eu-west-1", user = "change me", password = "change me", per_day = 50000, per_second = 14 }
local postmark = relays.postmark { user = "change me", password = "change me" }

local function by(service, why)
  return route.send { via = service.via, identity = shop, spend = service.limits(), lane = service.lane, tls = service.tls,
    because = service.preset .. ": " .. why }
end

local policy = {}

function policy.route(message, recipient)
  local refused = suppression.check(message, recipient, { identity = shop })
  if refused then return refused end
  -- A quota that SES says is used up counts as used up for an hour (reply): the second service is asked meanwhile.
  return route.first { by(ses, "first choice"), by(postmark, "SES has no room") }
end

policy.retry = reply.retry

return policy
