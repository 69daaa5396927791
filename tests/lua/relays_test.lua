-- SPDX-License-Identifier: MIT
local expect = require "expect"
local relays = require "relays"
local route = require "route"

local t = {}

function t.presets_make_ways_out()
  local o = { gmail_relay = {}, gmail_mailbox = { user = "a@acme.example", token = "t" }, microsoft365 = { user = "a@acme.example", password = "p" },
    ses = { region = "eu-west-1", user = "AKIA", password = "p" }, sendgrid = { password = "p" }, mailgun = { user = "u", password = "p" },
    postmark = { user = "t", password = "t" } }
  for _, name in ipairs(relays.names()) do
    local r = relays[name](o[name])
    route.send { via = r.via, tls = r.tls, lane = r.lane } -- is taken by the constructor
    expect.equal(r.preset, name)
    for _, row in ipairs(relays.show(name)) do expect.truth(row.source ~= "" and row.date ~= "", row.name) end
  end
end

function t.limits_are_counted_by_login()
  local limits = relays.microsoft365 { user = "a@acme.example", password = "p" }.limits()
  expect.same(limits, {
    { key = "relay/microsoft365/a@acme.example/messages_minute", n = 30, seconds = 60, per = "message" },
    { key = "relay/microsoft365/a@acme.example/recipients_day", n = 10000, seconds = 86400, per = "recipient" } })
  limits = relays.gmail_mailbox { user = "a@acme.example", password = "p", name = "a", quota = { messages_day = 500, external_day = false } }.limits()
  expect.same(limits, {
    { key = "relay/a/messages_day", n = 500, seconds = 86400, per = "message" },
    { key = "relay/a/recipients_day", n = 10000, seconds = 86400, per = "recipient" } })
  limits = relays.ses { region = "eu-west-1", user = "AKIA", password = "p", per_day = 50000, per_second = 14 }.limits()
  expect.equal(limits[1].n, 50000)
  expect.equal(limits[2].seconds, 1)
  expect.equal(relays.gmail_relay {}.limits()[3].seconds, 600)
end

function t.show()
  local value = {}
  for _, row in ipairs(relays.show("microsoft365")) do value[row.name] = row.value end
  expect.same(value, { host = "smtp.office365.com", port = 587, tls = "starttls", connections = 3, per_connection = 30,
    ["quota messages_minute"] = "30 messages per minute", ["quota recipients_day"] = "10000 recipients per day" })
end

function t.lanes()
  expect.same(relays.gmail_mailbox { user = "u", token = "t", connections = 1 }.lane, { connections = 1, per_connection = 20 })
  expect.equal(relays.gmail_relay { name = "ours" }.key, "relay/ours")
  expect.equal(relays.gmail_relay {}.key, "relay/gmail_relay/open")
end

function t.what_is_refused()
  expect.refused("relays_test.lua:49: relays.ses: region is missing", function() relays.ses { user = "u", password = "p" } end)
  expect.refused("there is no region 'mars' (known: us, eu)", function() relays.mailgun { region = "mars", user = "u", password = "p" } end)
  expect.refused("password, xoauth2 or token is missing", function() relays.gmail_mailbox { user = "u" } end)
  expect.refused("password, xoauth2 or token is missing", function() relays.gmail_relay { user = "u" } end)
  expect.refused("per_day: a whole number", function() relays.ses { region = "x", user = "u", password = "p", per_day = 0 } end)
  expect.refused("port: a whole number from 1 to 65535", function() relays.gmail_relay { port = 70000 } end)
  expect.refused("user is missing", function() relays.postmark { password = "p" } end)
  expect.refused("unknown field 'regoin'", function() relays.ses { regoin = "x" } end)
  expect.refused("quota: there is no 'messages'", function() relays.gmail_relay { quota = { messages = 1 } } end)
  expect.refused("there is no preset 'gmail'", function() relays.show("gmail") end)
end

-- A policy that adds a limit of its own to the list must not find it there again.
function t.limits_are_a_list_of_ones_own()
  local box = relays.gmail_mailbox { user = "a@acme.example", password = "p" }
  local limits = box.limits()
  local n = #limits
  limits[n + 1] = limit.per_minute("own", 1)
  expect.equal(#box.limits(), n)
end

return t
