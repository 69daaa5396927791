-- SPDX-License-Identifier: MIT
-- The policy of this gateway, as shipped: who logs in may send, and everything is captured in a Maildir on this machine.
-- Nothing leaves for the internet until you say so here.
--
-- `tidegate check` proves this file, `tidegate reload` makes a running gateway use it; scripts/README.md has the whole
-- story, hook by hook.
local answer = require "answer"
local route = require "route"
local users = require "users"

-- 1. Who we are: one identity for each face you show to the world. This one is a comment because its key has to be there
--    first: openssl genpkey -algorithm ed25519 -out conf/keys/s1.pem
--
-- local identity = require "identity"
-- local main = identity.define {
--   name = "main",
--   helo = "out.example.org",
--   return_path = "bounces@example.org",
--   dkim = { { domain = "example.org", selector = "s1", key = "keys/s1.pem" } },
-- }
local main = nil

-- 2. Where mail goes, by the recipient's domain; "*" is all the others. To send for real, write route.direct{} (the
--    recipient's MX) or route.relay{ host = "smtp.example.net", login = { user = "...", password = "..." } }.
local ways = {
  -- ["example.net"] = route.relay { host = "smtp.example.net", port = 587 },
  ["*"] = route.capture {},
}

-- 3. Who may send as whom: the users file says it (from=*@example.org). Users without an entry may use any sender, as
--    usual within one organisation; false demands an entry.
local WITHOUT_ENTRY = true

local policy = {}

function policy.sender(session, sender)
  if session.user == "" or users.may_send_as(session.user_facts, sender.address, WITHOUT_ENTRY) then
    return answer.accept {}
  end
  return answer.reject("553 5.7.1 you may not send as this address", session.user .. " has no such entry")
end

function policy.route(message, recipient)
  local domain = ways[recipient.domain] and recipient.domain or "*"
  return route.send { via = ways[domain], identity = main, because = "the way for " .. domain }
end

return policy
