-- SPDX-License-Identifier: MIT
-- Everything through two relays: the first while it answers, the other when it does not. Passwords stand here, so let only
-- the gateway read this file.
local retry = require "retry"
local route = require "route"

local first = route.relay { host = "smtp.first.example", login = { user = "acme", password = "change me" } }
local other = route.relay { host = "smtp.other.example", port = 465, tls = "implicit",
                            login = { user = "acme", password = "change me" } }

-- What the network does to us, as opposed to what a server says of the message.
local network = { dns = true, connect = true, tls = true, greeting = true, ehlo = true, auth = true }

local policy = {}

function policy.route(message, recipient)
  local last = recipient.last
  if last and network[last.stage] and recipient.attempts % 2 == 1 then
    return route.send { via = other, because = "the first relay failed at " .. last.stage }
  end
  return route.send { via = first, because = "the first relay" }
end

function policy.retry(message, recipient, outcome)
  if network[outcome.stage] and not outcome.permanent then
    return retry.wait(outcome.attempt < 4 and 60 or "15m", "the relay failed at " .. outcome.stage)
  end
  return retry.default(message, recipient, outcome)
end

return policy
