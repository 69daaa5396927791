-- SPDX-License-Identifier: MIT
local expect = require "expect"
local shaping = require "shaping"

shaping.set { provider = "yahoo", connections = 2, rate = "10/minute", source = "deferrals in May" }
shaping.set { provider = "default", per_connection = 77, source = "our own line" }
shaping.react { provider = "google", text = "4\\.7\\.28", action = "pause", seconds = 60, source = "us" }

local t = {}

local function row_of(group, name)
  for _, row in ipairs(shaping.show(group)) do
    if row.name == name then return row end
  end
end

function t.values_come_from_the_nearest_layer()
  expect.same(shaping.lane("google"), { connections = 5, per_connection = 50 })
  expect.same(shaping.lane("yahoo"), { connections = 2, per_connection = 20 })
  expect.same(shaping.lane("other"), { connections = 10, per_connection = 77 })
  expect.equal(shaping.tls("google"), "encrypt")
  expect.equal(shaping.tls("other"), "opportunistic")
end

function t.show_tells_the_layer()
  local row = row_of("yahoo", "connections")
  expect.equal(row.value, 2)
  expect.equal(row.layer, "operator")
  expect.equal(row.where, "shaping_test.lua:5")
  expect.equal(row.source, "deferrals in May")
  row = row_of("yahoo", "per_connection")
  expect.equal(row.layer, "shipped")
  expect.equal(row.grade, "vendor")
  expect.equal(row.date, "2026-11")
  row = row_of("google", "rate")
  expect.equal(row.group, "default")
end

function t.show_has_the_reactions()
  local on = {}
  for _, row in ipairs(shaping.show("yahoo")) do
    expect.truth(row.group == "yahoo" or row.group == "default", row.group)
    if row.name:find("^on ") then on[#on + 1] = row.name .. ": " .. row.value end
  end
  expect.equal(on[1], [=[on \[TSS\d?4\]: pause 7200 s]=])
  expect.truth(on[#on]:find("slow 5400 s at 1/minute", 1, true), on[#on])
end

function t.rates_become_limits()
  expect.same(shaping.limits("yahoo", "acme"), { { key = "acme/yahoo", n = 10, seconds = 60, per = "message" } })
  expect.equal(shaping.limits("google", "acme")[1].n, 100)
end

local function said(code, text, status) return { code = code, text = text, status = status or "", from_peer = true } end

function t.reactions()
  local r = shaping.reaction("yahoo", said(421, "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"))
  expect.equal(r.action, "pause")
  expect.equal(r.seconds, 7200)
  expect.equal(r.provider, "yahoo")
  r = shaping.reaction("google", said(421, "4.7.28 unusual rate", "4.7.28"))
  expect.equal(r.layer, "operator")
  expect.equal(r.seconds, 60)
  r = shaping.reaction("kpn", said(451, "Server busy, come back"))
  expect.equal(r.action, "slow")
  expect.equal(r.rate, "1/minute")
  expect.same(r.lane, { rate = "1/minute", lasts = 5400 })
  expect.same(shaping.reaction("yahoo", said(421, "[TSS04]")).lane, { rest = 7200 })
  r = said(421, "4.3.2 bye")
  expect.equal(shaping.reaction("kpn", r), nil)
  r.stage = "rcpt"
  expect.same(shaping.reaction("kpn", r).lane, { connections = 1, lasts = 600 })
  expect.equal(shaping.reaction("kpn", said(450, "no such luck")), nil)
  expect.equal(shaping.reaction("kpn", { code = 451, text = "server busy", status = "", from_peer = false }), nil)
  expect.equal(shaping.reaction("google", { code = 421, text = "4.7.28", status = "4.7.28" }).because,
    "pause for 60 s: 4\\.7\\.28 (shaping_test.lua:7)")
  expect.truth(shaping.reaction("outlook", said(451, "4.7.650 x")).because:find("^pause for 3600 s: "))
  -- The specific code comes before the one that is its beginning.
  expect.equal(shaping.reaction("comcast", said(421, "RL000010 slow down")).action, "pause")
  expect.equal(shaping.reaction("comcast", said(421, "RL000001 slow down")).action, "slow")
end

function t.what_is_refused()
  expect.refused("shaping_test.lua:85: shaping.set: 'gmail': there is no provider 'gmail' (known: ", function()
    shaping.set { provider = "gmail", connections = 1, source = "us" }
  end)
  expect.refused("shaping.set: 'google': source is missing", function() shaping.set { provider = "google", connections = 1 } end)
  expect.refused("unknown field 'conections'", function() shaping.set { provider = "google", conections = 1, source = "us" } end)
  expect.refused("connections: a whole number from 1", function() shaping.set { provider = "google", connections = 0, source = "us" } end)
  expect.refused("rate: '10/second'", function() shaping.set { provider = "google", rate = "10 a day", source = "us" } end)
  expect.refused("no value", function() shaping.set { provider = "google", source = "us" } end)
  expect.refused("date: '2026-11'", function() shaping.set { provider = "google", connections = 1, source = "us", date = "May" } end)
  expect.refused("there is no provider", function()
    shaping.react { provider = "gmail", text = "x", action = "pause", seconds = 1, source = "us" }
  end)
  expect.refused("text: re:", function()
    shaping.react { provider = "google", text = "(", action = "pause", seconds = 1, source = "us" }
  end)
  expect.refused("'pause' has none", function()
    shaping.react { provider = "google", text = "x", action = "pause", seconds = 1, rate = "1/minute", source = "us" }
  end)
  expect.refused("action: 'pause' or 'slow'", function()
    shaping.react { provider = "google", text = "x", action = "stop", seconds = 1, source = "us" }
  end)
  expect.refused("rate: '10/second'", function()
    shaping.react { provider = "google", text = "x", action = "slow", seconds = 1, rate = "0/minute", source = "us" }
  end)
  expect.refused("tls: one of dane, dane_or_verify, encrypt", function() shaping.set { provider = "google", tls = "yes", source = "us" } end)
  expect.refused("'slow' has a rate", function()
    shaping.react { provider = "google", text = "x", action = "slow", seconds = 1, source = "us" }
  end)
  expect.refused("neither text, code nor status", function()
    shaping.react { provider = "google", action = "pause", seconds = 1, source = "us" }
  end)
  expect.refused("there is no provider 'gmail'", function() shaping.lane("gmail") end)
  expect.refused("there is no provider 'gmail'", function() shaping.show("gmail") end)
end

return t
