-- SPDX-License-Identifier: MIT
local story = require "story"

local function route_to(t, address)
  t:policy(story.file "examples/providers.lua")
  t:dns {
    ["customer.example"] = { mx = "customer-example.mail.protection.outlook.com" },
    ["mixed.example"] = { mx = { { 10, "aspmx.l.google.com" }, { 10, "mx.mixed.example" } } },
    ["pupils.example"] = { mx = "mx1.mail.school.example" },
    ["slow.example"] = "timed out",
  }
  return t:session { trusted_network = true }:message { from = "a@acme.example", to = address }:route()
end

story("Google by Google's relay, Microsoft by SES, told by the MX", function(t)
  route_to(t, "a@gmail.com"):expect { via = { host = "smtp-relay.gmail.com" } }
  route_to(t, "a@customer.example"):expect { via = { host = "email-smtp.eu-central-1.amazonaws.com" } }
end)

story("everyone else directly", function(t)
  route_to(t, "a@mixed.example"):expect { via = "direct", because = story.has "other (mx of several providers)" }
  route_to(t, "a@slow.example"):expect { via = "direct", because = story.has "other (dns: " }
end)

story("a provider of our own is treated as it asked", function(t)
  route_to(t, "a@pupils.example"):expect { connections = 1, per_connection = 10,
    spend = { { key = "own/school", cap = 5 } } }
end)
