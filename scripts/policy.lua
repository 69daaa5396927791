-- SPDX-License-Identifier: MIT
-- The policy of this gateway, as shipped: who logs in may send; mail is signed where there is a key for its sender's domain;
-- all of it is captured in a Maildir on this machine. Nothing leaves for the internet until you say so in `ways`.
--
-- `tidegate check` proves this file, `tidegate reload` makes a running gateway use it; scripts/README.md has the whole
-- story, hook by hook.
local answer = require "answer"
local header = require "header"
local identity = require "identity"
local reply = require "reply"
local route = require "route"
local suppression = require "suppression"
local users = require "users"

-- 1. Who we are, by the sender's domain. An identity may also have source addresses, a HELO name and a return path
--    (stdlib/README.md). The key of this one is made by the first `make run`; for a domain of your own:
--    build/tidegate key new --domain acme.example --selector s1 --output conf/dkim/acme.pem    (prints what to publish)
local KEY = "var/dkim/demo.pem" -- relative to the folder that holds conf/

local identities = {
  ["example.org"] = identity.define {
    name = "demo",
    dkim = identity.has_key(KEY) and { { domain = "example.org", selector = "demo", key = KEY } } or nil,
  },
}
if not identity.has_key(KEY) then log.warn("no key in " .. KEY .. ": mail of example.org is not signed") end

-- 2. Where mail goes, by the recipient's domain; "*" is all the others. To send for real, write DIRECT (the
--    recipient's MX) or route.relay{ host = "smtp.example.net", login = { user = "...", password = "..." } }.
local DIRECT = route.direct {}
local ways = {
  -- ["example.net"] = route.relay { host = "smtp.example.net", port = 587 },
  ["*"] = route.capture {},
}

-- 3. How much, in any 24 hours: by identity (its name) and by user. What is over waits until there is room again; nothing is
--    refused and no attempt is counted. limit.per_minute, per_hour and others: stdlib/README.md. Users whose line in the users
--    file says per_minute=, per_hour= or per_day= (recipients) hear 452 at once when they are over, with the time to come back.
local per_day = {
  identity = { --[[ demo = 2000 ]] },
  user = { --[[ printer = 500 ]] },
}

-- 4. Who may send as whom: the users file says it (from=*@example.org). Users without an entry may use any sender, as
--    usual within one organisation; false demands an entry.
local WITHOUT_ENTRY = true

-- 5. MTA-STS (RFC 8461): recipients' domains that publish a policy have their mail delivered to the hosts it names, certificates verified,
--    or not at all. Mail that goes DIRECT only. It asks a web server of each such domain, which http.hosts has to allow ("mta-sts.*"
--    does) and a firewall may not; so it is yours to turn on.
local MTA_STS = false

-- What follows makes a policy of these tables, and seldom has to change.
local spends = {} -- "identity/demo" -> a list of one limit
for kind, caps in pairs(per_day) do
  for name, n in pairs(caps) do spends[kind .. "/" .. name] = { limit.per_day(kind .. "/" .. name, n) } end
end

local function spend_of(who, user)
  local one, other = who and spends["identity/" .. who.name], spends["user/" .. user]
  if one and other then return { one[1], other[1] } end
  return one or other
end

local sts = MTA_STS and require "sts"

local policy = {}

function policy.sender(session, sender)
  if session.user == "" or users.may_send_as(session.user_facts, sender.address, WITHOUT_ENTRY) then
    return answer.accept {}
  end
  return answer.reject("553 5.7.1 you may not send as this address", session.user .. " has no such entry")
end

-- What a message has to have gets added where it lacks; Bcc is not for its readers.
function policy.message(session, message)
  local domain = message.sender:match("@([%w%-%.]+)$")
  local headers = domain and header.complete(message, domain) or header.date(message)
  if message:header("Bcc") then headers[#headers + 1] = { remove = "Bcc" } end
  return answer.accept { headers = headers, spend = users.limits(session) }
end

function policy.route(message, recipient)
  local who = identities[(message.sender:match("@([^@]*)$") or ""):lower()]
  local refused = suppression.check(message, recipient, { identity = who })
  if refused then return refused end
  local to = ways[recipient.domain] and recipient.domain or "*"
  local via, because, said = ways[to], "the way for " .. to, {}
  if sts and via == DIRECT then
    said = sts.of(recipient.domain)
    via, because = route.direct { mx = said.mx }, because .. ", " .. said.because
  end
  return route.send { via = via, identity = who, tls = said.tls, spend = spend_of(who, message.user), shelf = said.shelf, because = because }
end

-- Waits and gives up by what a refusal means: quotas and faults of ours never count against a recipient, and a mailbox
-- that does not exist goes on the suppression list.
policy.retry = reply.hook { suppress = suppression.bounces {} }

return policy
