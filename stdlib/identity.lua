-- SPDX-License-Identifier: MIT
-- identity: who we are for a peer: source address, HELO name, DKIM keys and return path under one name.
--
--   local acme = identity.define {
--     name = "acme",
--     source = "192.0.2.10",                    -- or { "192.0.2.10", "2001:db8::10" }
--     helo = "out1.acme.example",
--     return_path = "bounces@acme.example",
--     dkim = { { domain = "acme.example", selector = "s2026", key = "keys/acme.pem" } },
--   }
--
-- Only while the scripts load: keys are read and checked then, and a bad one fails the load. For a policy that is to load
-- before its key is made, identity.has_key("keys/acme.pem") says whether the file is there.
local core = require "core.identity"

return { define = core.define, has_key = core.has_key }
