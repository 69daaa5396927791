-- SPDX-License-Identifier: MIT
-- A team's mail by rotation over mailboxes at Gmail and Microsoft 365, each with its own warmup and its service's quotas. The same person
-- always writes to the same recipient from the same mailbox; recipients at Google hear from a Google mailbox, where one is free.
-- A mailbox whose quota is used up is passed over and nothing is held against the recipient.
--
-- The mailboxes need the team's addresses as aliases ("send mail as"), or the services put their own in From.
local identity = require "identity"
local pool = require "pool"
local provider = require "provider"
local relays = require "relays"
local reply = require "reply"
local route = require "route"
local suppression = require "suppression"
local warmup = require "warmup"

local BOXES = {
  { name = "ann", address = "ann@acme.example", service = "gmail_mailbox", start = "2026-10-01", age = 60, password = "change me" },
  { name = "bob", address = "bob@acme.example", service = "gmail_mailbox", start = "2026-11-01", password = "change me" },
  { name = "cleo", address = "cleo@acme-mail.example", service = "microsoft365", start = "2026-11-01", password = "change me" },
}
local LADDER = { gmail_mailbox = "agency-google", microsoft365 = "agency-microsoft" }
local PROVIDER = { gmail_mailbox = "google", microsoft365 = "microsoft" }

local members = {}
for i, box in ipairs(BOXES) do
  local relay = relays[box.service] { user = box.address, password = box.password, name = box.name }
  members[i] = {
    name = box.name, provider = PROVIDER[box.service], relay = relay,
    identity = identity.define { name = box.name, return_path = box.address },
    warm = warmup.new { name = box.name, ladder = LADDER[box.service], start = box.start, age = box.age, jitter = 0.1 },
  }
end

-- One warmup for the whole mailbox: these services look at all that it sends, not at whom.
local function caps(member)
  local spend = member.warm:limits "other"
  if not spend then return nil end
  for _, limit in ipairs(member.relay.limits()) do spend[#spend + 1] = limit end
  return spend
end

local team = pool.new { members = members, by = "recipient", match = "prefer", size = #members, caps = caps }

local policy = {}

function policy.route(message, recipient)
  local refused = suppression.check(message, recipient)
  if refused then return refused end
  local group = provider.of(recipient.domain)
  if group == "outlook" then group = "microsoft" end
  local ask = { message = message, recipient = recipient, provider = group }
  return team:first(ask, function(member, spend)
    return route.send { via = member.relay.via, identity = member.identity, spend = spend, lane = member.relay.lane, tls = member.relay.tls,
      because = member.name .. " for " .. group }
  end)
end

policy.retry = reply.retry

return policy
