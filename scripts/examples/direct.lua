-- SPDX-License-Identifier: MIT
-- Straight to the world: each of our domains signs with its own key and leaves from its own address; Gmail and the like are asked
-- for verified TLS, the rest for whatever they offer.
local identity = require "identity"
local route = require "route"

local identities = {
  ["acme.example"] = identity.define {
    name = "acme",
    source = { "192.0.2.10", "2001:db8::10" },
    helo = "out1.acme.example",
    dkim = { { domain = "acme.example", selector = "s2026", key = "dkim/acme.pem" } },
  },
  ["news.acme.example"] = identity.define {
    name = "acme-news",
    source = "192.0.2.11",
    helo = "out2.acme.example",
    return_path = "bounces@news.acme.example",
    dkim = { { domain = "news.acme.example", selector = "s2026", key = "dkim/news.pem" } },
  },
}

-- MX host names that end so belong to providers whose certificates are known to be right.
local careful = { "%.google%.com$", "%.outlook%.com$", "%.yahoodns%.net$" }

local function tls_for(domain)
  local list = dns.mx(domain)
  if not list then return "opportunistic" end -- the delivery will find out why
  for _, pattern in ipairs(careful) do
    if list[1].host:lower():find(pattern) then return "verify" end
  end
  return "opportunistic"
end

local direct = route.direct {}
local policy = {}

function policy.route(message, recipient)
  local from = (message.sender:match("@([^@]+)$") or ""):lower()
  if message.sender == "" then from = "acme.example" end -- reports of our own
  local who = identities[from]
  if not who then return route.hold("no identity for senders of " .. from) end
  local tls = tls_for(recipient.domain)
  return route.send { via = direct, identity = who, tls = tls, because = who.name .. ", TLS " .. tls }
end

return policy
