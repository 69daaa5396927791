-- SPDX-License-Identifier: MIT
local story = require "story"

local POLICY = [[
  local route, sts = require "route", require "sts"
  return { route = function(message, recipient)
    local said = sts.of(recipient.domain)
    return route.send { via = route.direct { mx = said.mx }, tls = said.tls, shelf = said.shelf, because = said.because }
  end }]]
local URL = "GET https://mta-sts.d.example/.well-known/mta-sts.txt"
local ENFORCE = "version: STSv1\r\nmode: enforce\r\nmx: mx1.d.example\r\nmx: *.Mail.Example.\r\nmax_age: 604800\r\n"

local function page(text, kind) return { status = 200, headers = { ["Content-Type"] = kind or "text/plain; charset=utf-8" }, body = text } end

local function stage(t, record, text)
  t:policy(POLICY)
  t:dns { ["_mta-sts.d.example"] = { txt = record } }
  t:http { [URL] = text }
  return t:session { trusted_network = true }:message { from = "a@b.example", to = "c@D.example" }
end

local function enforced(m, words)
  return m:route():expect { kind = "send", tls = "dane_or_verify", via = { kind = "direct", mx = { "mx1.d.example", "*.mail.example" } }, because = words }
end

local function free(m, words)
  return m:route():expect { kind = "send", tls = "opportunistic", via = { mx = story.absent }, because = words }
end

story("a policy that is enforced names the hosts and wants their certificates; it is kept for as long as it says", function(t)
  local m = stage(t, "v=STSv1; id=20261101;", page(ENFORCE))
  local d = enforced(m, "MTA-STS enforce (fetched)")
  d:expect { shelf = { { key = "mta-sts/d.example", value = { id = "20261101", mode = "enforce" }, expires_s = 604800 } }, lane = story.has "|dane_or_verify+mx~" }
  story.expect(#d.requests, 1)
  d = enforced(m, "MTA-STS enforce (kept)")
  d:expect { shelf = story.absent, requests = story.absent }
end)

story("what was had once holds, whatever becomes of DNS and web, until its time is over", function(t)
  local m = stage(t, "v=STSv1; id=1", page(ENFORCE))
  enforced(m)
  t:dns { ["_mta-sts.d.example"] = "no answer" }
  t:http { [URL] = "no connection" }
  enforced(m, story.starts "MTA-STS enforce (kept; ")
  t:dns { ["_mta-sts.d.example"] = {} }
  t:after "2d"
  enforced(m, story.starts "MTA-STS enforce (kept; ")
  t:after "6d"
  free(m, "no MTA-STS")
end)

story("another id has it fetched again, and a failure leaves the old one in force, for five minutes without asking", function(t)
  local m = stage(t, "v=STSv1; id=1;", page(ENFORCE))
  enforced(m)
  t:dns { ["_mta-sts.d.example"] = { txt = { "v=spf1 -all", "v=STSv1; id=2;" } } }
  t:http { [URL] = { status = 302, headers = { Location = "https://elsewhere.example/" } } }
  enforced(m, "MTA-STS enforce (kept; a newer one: HTTP status 302)")
  t:http { [URL] = page((ENFORCE:gsub("enforce", "none"))) }
  enforced(m, "MTA-STS enforce (kept)"):expect { requests = story.absent }
  t:after "6m"
  free(m, "MTA-STS none (fetched)")
end)

story("it is looked at once a day while there is mail, so that it does not end in the hour of a thief", function(t)
  local m = stage(t, "v=STSv1; id=1;", page(ENFORCE))
  enforced(m)
  t:after "25h"
  story.expect(#enforced(m, "MTA-STS enforce (fetched)").requests, 1)
end)

story("testing and none demand nothing", function(t)
  free(stage(t, "v=STSv1; id=1;", page((ENFORCE:gsub("enforce", "testing")))), "MTA-STS testing (fetched)")
  t:shelf "mta-sts/d.example"
  free(stage(t, "v=STSv1; id=1;", page "version: STSv1\nmode: none\nmax_age: 86400"), "MTA-STS none (fetched)")
end)

story("what cannot be had is said, and is as if there were none", function(t)
  for record, why in pairs {
    ["v=STSv1;"] = "without id", ["v=STSv1; id=a-b;"] = "strange id", ["v=STSv12; id=1;"] = "no record", ["v=spf1 -all"] = "no record",
  } do
    free(stage(t, record, page(ENFORCE)), story.has(why))
  end
  free(stage(t, { "v=STSv1; id=1;", "v=STSv1; id=2;" }, page(ENFORCE)), story.has "two records")
  for text, why in pairs {
    ["version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1"] = "no version", ["version: STSv1\nmode: strict\nmx: a.example\nmax_age: 1"] = "no mode",
    ["version: STSv1\nmode: enforce\nmax_age: 86400"] = "no mx", ["version: STSv1\nmode: enforce\nmx: a.example"] = "no max_age",
    ["version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 86400"] = "no host", ["<html>"] = "no version", [("x"):rep(70000)] = "larger",
  } do
    t:shelf "mta-sts-failed/d.example"
    free(stage(t, "v=STSv1; id=1;", page(text)), story.has(why))
  end
  t:shelf "mta-sts-failed/d.example"
  free(stage(t, "v=STSv1; id=1;", page(ENFORCE, "text/html")), story.has "no text/plain")
end)

story("unknown fields, repeated ones and any line ends are fine", function(t)
  local m = stage(t, "v=STSv1 ; id=1 ; more=x ;", page "\nmode : enforce\rversion:STSv1\nmode: none\r\nhello\nfuture: 1\nmx: mx1.d.example\nmx: *.mail.example\nmax_age:7200")
  enforced(m, "MTA-STS enforce (fetched)"):expect { shelf = { { expires_s = 7200 } } }
end)

story("a list that is too long to be kept holds for the mail at hand", function(t)
  local text = { "version: STSv1", "mode: enforce", "max_age: 86400" }
  for i = 1, 64 do text[#text + 1] = "mx: mx" .. i .. "." .. ("x"):rep(60) .. ".example" end
  local m = stage(t, "v=STSv1; id=1;", page(table.concat(text, "\n")))
  m:route():expect { tls = "dane_or_verify", shelf = story.absent }
end)

story("hosts by name are names, and so many", function(t)
  local route = require "route"
  story.raises("is no host name", route.direct, { mx = "a b" })
  story.raises("is no host name", route.direct, { mx = { "a.example", "*.*.example" } })
  story.raises("1 to 64", route.direct, { mx = {} })
  story.raises("a host name", route.direct, { mx = { 25 } })
end)

story("the shipped policy has it behind one word, for mail that goes directly", function(t)
  local text = story.file "policy.lua"
  local function policy(way)
    local changed, n = text:gsub("local MTA_STS = false", "local MTA_STS = true", 1)
    local directed, m = changed:gsub('%["%*"%] = route.capture {}', '["*"] = ' .. way, 1)
    story.expect(n + m, 2)
    local message = stage(t, "v=STSv1; id=1;", page(ENFORCE))
    t:policy(directed)
    return message
  end
  enforced(policy "DIRECT", "the way for *, MTA-STS enforce (fetched)")
  policy("route.relay { host = 'relay.example' }"):route():expect { via = { kind = "relay", mx = story.absent }, because = "the way for *" }
end)
