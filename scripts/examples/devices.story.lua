-- SPDX-License-Identifier: MIT
local story = require "story"

local function session(t, facts)
  t:policy(story.file "examples/devices.lua")
  facts.kind, facts.listener = "relay", "devices"
  return t:session(facts)
end

story("a printer scans to a colleague, as itself, within its number", function(t)
  local s = session(t, { client_ip = "10.1.2.7" })
  s:connect():expect "accept"
  s:message { from = "printer@acme.example", to = "ann@acme.example" }:route()
    :expect { via = "lmtp", identity = "device-printers", spend = { { key = "device/printers", cap = 500 } } }
end)

story("but not as the boss, and not to the world", function(t)
  local s = session(t, { client_ip = "10.1.2.7" })
  s:sender "boss@acme.example":expect { kind = "reject", code = 553 }
  s:recipient "ann@example.net":expect { kind = "reject", code = 550 }
end)

story("the ERP system is known by its certificate and may write to customers", function(t)
  local s = session(t, { client_ip = "10.9.9.9", tls_version = "TLSv1.3",
    client_certificate = "3b7e0000000000000000000000000000000000000000000000000000000000aa" })
  s:message { from = "erp@acme.example", to = "ann@example.net" }:route():expect { via = "direct", identity = "device-erp" }
end)

story("a stranger on the port is sent away", function(t)
  session(t, { client_ip = "10.8.8.8" }):connect():expect { kind = "reject", code = 554 }
end)

story("a printer gone mad waits for tomorrow, the cameras do not", function(t)
  local s = session(t, { client_ip = "10.1.2.7" })
  t:spend(limit.per_day("device/printers", 500))
  s:message { from = "printer@acme.example", to = "ann@acme.example" }:goes():expect { kind = "wait", limit = "device/printers" }
  session(t, { client_ip = "10.1.3.7" }):message { from = "camera@acme.example", to = "ann@acme.example" }:goes():expect "send"
end)
