-- SPDX-License-Identifier: MIT
-- What policy.lua promises, told as stories: `tidegate test` runs them. Change them with the policy; stdlib/README.md has the kit.
local story = require "story"

story("who has logged in may send, and it is captured", function(t)
  t:users { ann = { password = "secret" } }
  local s = t:session {}
  s:login("ann", "secret"):expect "accept"
  local m = s:message { from = "ann@example.org", to = "someone@example.net", headers = { Subject = "hello" } }
  m:expect "accept"
  m:route():expect { kind = "send", via = "capture", because = story.has "the way for" }
end)

story("a wrong password is refused", function(t)
  t:users { ann = { password = "secret" } }
  t:session():login("ann", "guess"):expect { kind = "reject", code = 535, status = "5.7.8" }
end)

story("strangers cannot relay", function(t)
  local s = t:session { kind = "relay", trusted_network = false }
  s:recipient "someone@example.net":expect { kind = "reject", reply = story.starts "550 5.7.1" }
end)

story("a host in an allowed network needs no login", function(t)
  local m = t:session { kind = "relay", trusted_network = true }:message { from = "host@example.org", to = "someone@example.net" }
  m:expect "accept"
end)

story("the users file says who may send as whom", function(t)
  t:users { printer = { password = "p", from = "scans@example.org" } }
  local s = t:session()
  s:login("printer", "p"):expect "accept"
  s:sender "scans@example.org":expect "accept"
  s:sender "boss@example.org":expect { kind = "reject", code = 553, because = story.has "printer" }
end)

story("the users file says how much: what is over is not taken", function(t)
  t:users { printer = { password = "p", per_hour = "20" } }
  local s = t:session()
  s:login("printer", "p"):expect "accept"
  s:message { from = "scans@example.org", to = "a@example.net" }
    :expect { kind = "accept", spend = { { key = "user/printer", window_s = 3600, cap = 20, per = "recipient" } } }
end)

story("a message that lacks From, Date and Message-ID gets them, and Bcc goes", function(t)
  local s = t:session { trusted_network = true }
  s:message { from = "scans@example.org", to = "a@example.net", headers = { Subject = "scan", Bcc = "boss@example.org" } }
    :expect { kind = "accept", headers = { { add = "From", value = "<scans@example.org>" }, { add = "Date" }, { add = "Message-ID" }, { remove = "Bcc" } } }
end)

story("mail of example.org goes out as its identity, other mail as none", function(t)
  local s = t:session { trusted_network = true }
  s:message { from = "ann@Example.ORG", to = "a@example.net" }:route():expect { identity = "demo" }
  s:message { from = "ann@other.example", to = "a@example.net" }:route():expect { identity = story.absent }
end)

story("who is on the suppression list gets nothing", function(t)
  t:suppress "gone@example.net"
  t:session({ trusted_network = true }):message { from = "ann@example.org", to = "gone@example.net" }:route():expect "suppress"
end)

story("a mailbox that does not exist goes on the list; a used-up quota is nobody's bounce", function(t)
  local s = t:session { trusted_network = true }
  local m = s:message { from = "ann@example.org", to = "gone@example.net" }
  m:route()
  m:outcome { reply = "550 5.1.1 no such user", via = "direct" }:expect { kind = "give_up", suppress = { scope = "all" } }
  local n = s:message { from = "ann@example.org", to = "bob@example.net" }
  n:route()
  n:outcome { reply = "550 5.4.5 Daily user sending limit exceeded", via = "relay" }:expect { kind = "wait", counts = false, suppress = story.absent }
end)
