-- SPDX-License-Identifier: MIT
-- The policy of the appliance, as shipped: who logs in may send; mail is signed with this machine's key; it goes where the
-- setting `relay` says, and waits while it says nothing. Edit it, `tidegate check`, `tidegate reload`; git log has each version.
local answer = require "answer"
local identity = require "identity"
local reply = require "reply"
local route = require "route"
local suppression = require "suppression"
local users = require "users"
local appliance = require "appliance" -- the settings; written by the appliance

-- 1. Who we are, by the sender's domain. The key was made by this machine at its first start.
local own = identity.define {
  name = "own",
  dkim = identity.has_key(appliance.key)
    and { { domain = appliance.domain, selector = appliance.selector, key = appliance.key } } or nil,
}
local identities = { [appliance.domain] = own }

-- 2. Where mail goes, by the recipient's domain; "*" is all the others.
local function way(relay)
  if relay == "direct" then return { via = route.direct {}, tls = "opportunistic" } end
  if type(relay) == "table" then return { via = route.relay(relay), tls = appliance.relay_tls } end
end
local ways = {
  -- ["example.net"] = { via = route.relay { host = "smtp.example.net", port = 587 }, tls = "verify" },
  ["*"] = way(appliance.relay),
}

-- 3. Who may send as whom: the users file says it (from=*@example.org); users without an entry may use any sender.
local WITHOUT_ENTRY = true

local policy = {}

function policy.sender(session, sender)
  if not appliance.claimed then return answer.defer("451 4.3.0 this gateway has not been set up", "not claimed") end
  if session.user == "" or users.may_send_as(session.user_facts, sender.address, WITHOUT_ENTRY) then
    return answer.accept {}
  end
  return answer.reject("553 5.7.1 you may not send as this address", session.user .. " has no such entry")
end

function policy.route(message, recipient)
  local who = identities[(message.sender:match("@([^@]*)$") or ""):lower()]
  local refused = suppression.check(message, recipient, { identity = who })
  if refused then return refused end
  local to = ways[recipient.domain] and recipient.domain or "*"
  if not ways[to] then return route.wait(300, "no way out is set: tidegate-setup relay direct, or a relay's name") end
  return route.send { via = ways[to].via, tls = ways[to].tls, identity = who, because = "the way for " .. to }
end

-- Waits and gives up by what a refusal means: quotas and faults of ours never count against a recipient, and a mailbox
-- that does not exist goes on the suppression list.
policy.retry = reply.hook { suppress = suppression.bounces {} }

return policy
