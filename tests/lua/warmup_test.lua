-- SPDX-License-Identifier: MIT
local expect = require "expect"
local warmup = require "warmup"

local DAY = 86400
local START = 1793491200 -- 2026-11-01
local warm = warmup.new { name = "acme", ladder = "sendgrid-daily", start = "2026-11-01", providers = { google = 0.5, outlook = { 20, 40, 80 } },
  floor = 10, ceiling = 20000, gates = { bounce = 0.02, complaint = 0.0005, sample = 200 }, idle = { days = 7, reset = 30 },
  overflow = "relay", finally = "none" }

local t = {}

local function cap(w, group, day, more)
  local facts = { now = START + (day - 1) * DAY + 3600 }
  for name, value in pairs(more or {}) do facts[name] = value end
  return (w:cap(group, facts))
end

function t.days_are_days_of_the_calendar()
  expect.equal(warm.start, START)
  expect.equal(warmup.new { name = "x", ladder = { 1 }, start = "1970-01-01" }.start, 0)
  expect.equal(warmup.new { name = "x", ladder = { 1 }, start = "2024-03-01" }.start, 1709251200)
  expect.equal(warmup.new { name = "x", ladder = { 1 }, start = "2024-02-29" }.start, 1709251200 - DAY)
end

function t.the_ladder_climbs_by_day_and_provider()
  expect.equal(cap(warm, "other", 0), 0)
  expect.equal(cap(warm, "other", 1), 50)
  expect.equal(cap(warm, "other", 2), 100)
  expect.equal(cap(warm, "google", 2), 50)
  expect.equal(cap(warm, "outlook", 1), 20)
  expect.equal(cap(warm, "outlook", 3), 80)
  expect.equal(cap(warm, "other", 12), 20000)  -- the ceiling
  expect.equal(cap(warm, "other", 17), nil)    -- warm
  expect.equal(cap(warm, "outlook", 4), nil)
  local stays = warmup.new { name = "x", ladder = { 5, 9 }, start = "2026-11-01" }
  expect.equal(cap(stays, "other", 300), 9)
  expect.equal(cap(warmup.new { name = "x", ladder = { 5, 9 }, start = "2026-11-01", finally = 77 }, "other", 300), 77)
end

function t.the_same_day_has_one_cap()
  for hour = 0, 23 do expect.equal((warm:cap("other", { now = START + 4 * DAY + hour * 3600 + 3599 })), 1000) end
end

function t.what_is_warm_says_so()
  local w = warmup.new { name = "old", ladder = "sendgrid-daily", age = 400, finally = "none" }
  expect.equal(w:cap("google", {}), nil)
  expect.equal(#w:limits("google", {}), 0)
  w = warmup.new { name = "middle", ladder = "sendgrid-daily", start = "2026-11-01", age = 4 }
  expect.equal(cap(w, "other", 1), 1000)
  expect.refused("either start or age is expected", function() warmup.new { name = "x", ladder = { 1 } } end)
end

function t.gates()
  expect.equal(cap(warm, "other", 6, { bounce_rate = 0.019, complaint_rate = 0.0004, sent = 1000 }), 2500)
  expect.equal(cap(warm, "other", 6, { bounce_rate = 0.021, sent = 1000 }), 500)       -- two steps back
  expect.equal(cap(warm, "other", 6, { complaint_rate = 0.0006, sent = 10000 }), 500)
  expect.equal(cap(warm, "other", 6, { complaint_rate = 0.001, sent = 10000 }), 10)    -- twice: the floor
  expect.equal(cap(warm, "other", 6, { bounce_rate = 0.5, sent = 20 }), 2500)          -- too few to judge by
  expect.equal(cap(warm, "other", 1, { bounce_rate = 0.03, sent = 1000 }), 50)
  -- A warm address falls back onto the ladder.
  expect.equal(cap(warm, "other", 100, { bounce_rate = 0.03, sent = 1000 }), 20000)
  expect.equal(cap(warm, "outlook", 100, { bounce_rate = 0.03, sent = 1000 }), 20)
end

function t.silence_cools()
  local function after(days) return cap(warm, "other", 10, { last_sent_at = START + 9 * DAY + 3600 - days * DAY }) end
  expect.equal(after(7), 15000)
  expect.equal(after(9), 7500)
  expect.equal(after(29), 50)
  expect.equal(after(30), 50)
  expect.equal(cap(warm, "other", 40, { last_sent_at = START }), 50)
  local hardy = warmup.new { name = "h", ladder = "sendgrid-daily", start = "2026-11-01" }
  expect.equal(cap(hardy, "other", 10, { last_sent_at = START - 90 * DAY }), 15000)
end

function t.jitter_is_the_same_all_day()
  local w = warmup.new { name = "box1", ladder = { 1000 }, start = "2026-11-01", jitter = 0.1 }
  local seen, different = cap(w, "google", 3), 0
  for hour = 0, 22 do expect.equal((w:cap("google", { now = START + 2 * DAY + hour * 3600 })), seen) end
  for day = 1, 30 do
    local c = cap(w, "google", day)
    expect.truth(c >= 900 and c <= 1000, c)
    if c ~= seen then different = different + 1 end
  end
  expect.truth(different > 20)
end

function t.limits_to_spend()
  local limits = warm:limits("google", { now = START + DAY })
  expect.same(limits, { { key = "warmup/acme/google", n = 50, seconds = 86400, per = "message" },
    { key = "sent/acme/google", n = 1000000000, seconds = 86400, per = "recipient" } }) -- what the gates look at
  local none, why = warm:limits("google", { now = START - 1 })
  expect.equal(none, nil)
  expect.equal(why, "before the start")
  local hourly = warmup.new { name = "h", ladder = "sendgrid-hourly", start = "2026-11-01", per = "recipient" }
  expect.same(hourly:limits("other", { now = START + DAY }), { { key = "warmup/h/other", n = 28, seconds = 3600, per = "recipient" } })
  local quiet = warmup.new { name = "r", ladder = "revrep", start = "2026-11-01", floor = 5 }
  expect.equal(quiet:limits("other", { now = START }), nil) -- zero stays zero, whatever the floor
  expect.equal(warm.overflow, "relay")
end

function t.a_gated_ladder_climbs_after_clean_days_only()
  local w = warmup.new { name = "g", ladder = "gated", start = "2026-11-01", gates = { bounce = 0.02, complaint = 0.0005 } }
  local function day(n, more)
    local f = { now = START + n * DAY, sent = 500, bounce_rate = 0, complaint_rate = 0 }
    for name, value in pairs(more or {}) do f[name] = value end
    return f
  end
  local s = w:advance(nil, day(0))
  expect.equal(s.step, 1)
  expect.equal(w:advance(s, day(0)), s) -- once a day
  s = w:advance(s, day(1))
  s = w:advance(s, day(2))
  s = w:advance(s, day(3))
  expect.equal(s.step, 4)
  expect.equal(w:cap("other", { step = s.step, now = START }), 5000)
  expect.equal(w:advance(s, day(4, { sent = 0 })).step, 4) -- silence proves nothing
  expect.equal(w:advance(s, day(4, { bounce_rate = 0.025 })).step, 2)
  expect.equal(w:advance(s, day(4, { bounce_rate = 0.04 })).step, 1)
  for n = 4, 40 do s = w:advance(s, day(n)) end
  expect.equal(s.step, 8)
end

function t.published_ladders_have_sources()
  local n = 0
  for _, row in ipairs(warmup.ladders()) do
    n = n + 1
    expect.truth(row.source ~= "" and row.date ~= "" and row.where:match("^stdlib/data/ladders%.lua:%d+$"), row.name)
  end
  expect.truth(n >= 8)
end

function t.what_is_refused()
  local function refused(words, o)
    o.name, o.ladder, o.start = o.name or "x", o.ladder or { 1 }, o.start or "2026-11-01"
    expect.refused(words, function() warmup.new(o) end)
  end
  refused("there is no ladder 'sengrid'", { ladder = "sengrid" })
  refused("step 2: a whole number is expected", { ladder = { 1, "2" } })
  refused("start: a day is expected", { start = "tomorrow" })
  refused("start: a day is expected", { start = "2026-13-01" })
  refused("there is no provider 'gmail'", { providers = { gmail = 1 } })
  refused("overflow: one of other, relay, wait is expected", { overflow = "hold" })
  refused("unknown field 'multiplyer'", { multiplyer = 2 })
  refused("gates: unknown field 'bounces'", { gates = { bounces = 1 } })
  refused("jitter: a number from 0 to 0.9", { jitter = 2 })
  refused("start: a day is expected", { start = "2026-11-32" })
  refused("ladder: a list of numbers", { ladder = {} })
  refused("ladder: step 1: a whole number", { ladder = { -1 } })
  refused("providers.google: a list of numbers", { providers = { google = -1 } })
  refused("multiplier: a number from 0 to 1000", { multiplier = -1 })
  refused("age: a number from 0", { age = -1 })
  refused("per: 'message' or 'recipient'", { per = "mail" })
  refused("idle: unknown field", { idle = { day = 1 } })
  refused("finally: 'stay', 'none' or a number", { finally = "open" })
end

return t
