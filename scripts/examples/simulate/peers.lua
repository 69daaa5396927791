-- SPDX-License-Identifier: MIT
-- Example of what `tidegate simulate --peers` reads: what the other servers do. Whom nothing here names takes everything.
return {
  providers = {
    google = {
      domains = { "gmail.com", "googlemail.com" }, mx = "gmail-smtp-in.l.google.com",
      latency = "400ms", bounce = 0.01,
      -- A rate of its own for each address that mail comes from.
      quota = { per = "source", messages = 1500, window = "1h",
        reply = "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address" },
    },
    yahoo = {
      domains = { "yahoo.com", "ymail.com", "aol.com" }, mx = "mta5.am0.yahoodns.net",
      bounce = { share = 0.02, reply = "550 5.1.1 delivery error: dd This user doesn't have a yahoo.com account" },
      -- A bad morning on the third day: half of what comes is put off.
      storms = { from = "2d6h", to = "2d11h", share = 0.5, reply = "421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume" },
      connections = { most = 20, per = "source", reply = "421 4.7.0 [TS02] Too many connections" },
    },
    outlook = {
      domains = { "outlook.com", "hotmail.com", "live.com" }, mx = "outlook-com.olc.protection.outlook.com",
      bounce = 0.015, defer = { share = 0.005, reply = "451 4.7.650 The mail server has been temporarily rate limited" },
    },
    customer = {
      domains = { "example.net" }, mx = "mx.example.net",
      greylist = { time = "5m", reply = "450 4.2.0 Greylisted, see http://postgrey.example/" },
      down = { from = "9d20h", to = "10d2h" }, -- maintenance: nothing listens on the port
    },
    smarthost = { -- a relay, by its host name
      hosts = { "smtp-relay.gmail.com" },
      quota = { { per = "login", recipients = 10000, window = "24h", reply = "550 5.4.5 Daily SMTP relay sending limit exceeded for this user" } },
    },
  },
}
