-- SPDX-License-Identifier: MIT
local expect = require "expect"
local limit = require "limit"
local pool = require "pool"

local t = {}

local function members(n, more)
  local list = {}
  for i = 1, n do
    list[i] = { name = "box" .. i, weight = more and more.weight and more.weight(i) or nil,
      provider = more and more.provider and more.provider(i) or nil }
  end
  return list
end

local function ask(i, more)
  local a = { message = { id = "m" .. i, sender = "user" .. i .. "@example.org" },
    recipient = { number = 0, address = "person" .. i .. "@example.net" } }
  for name, value in pairs(more or {}) do a[name] = value end
  return a
end

local function firsts(p, n, more)
  local count = {}
  for i = 1, n do
    local name = p:candidates(ask(i, more))[1].member.name
    count[name] = (count[name] or 0) + 1
  end
  return count
end

function t.weights_share_the_mail()
  local p = pool.new { members = { { name = "a", weight = 1 }, { name = "b", weight = 3 }, { name = "none", weight = 0 } } }
  local count = firsts(p, 2000)
  expect.near(count.b, 1500, 0.1)
  expect.near(count.a, 500, 0.2)
  expect.equal(count.none, nil)
  for _, by in ipairs { "sender", "recipient" } do
    local sticky = pool.new { by = by, members = { { name = "a", weight = 1 }, { name = "b", weight = 3 } } }
    expect.near(firsts(sticky, 1000).b, 750, 0.1)
  end
end

function t.even_pools_are_even()
  for _, by in ipairs { "weighted", "sender" } do
    local count = firsts(pool.new { by = by, members = members(10) }, 1500)
    for i = 1, 10 do expect.near(count["box" .. i], 150, 0.3) end
  end
end

function t.sticky_is_sticky()
  local p = pool.new { by = "sender", members = members(20) }
  local a = p:candidates(ask(1))
  local b = ask(2)
  b.message.sender = "USER1@example.org"
  expect.equal(pool.names(p:candidates(b)), pool.names(a))
  -- And does not depend on the order of the members.
  local reversed = {}
  for i, m in ipairs(members(20)) do reversed[21 - i] = m end
  expect.equal(pool.names(pool.new { by = "sender", members = reversed }:candidates(ask(1))), pool.names(a))
end

-- Rendezvous: a member that goes takes only its own keys along, one that comes takes its share from all.
function t.a_changed_pool_moves_little()
  local before, after = pool.new { by = "recipient", members = members(10) }, pool.new { by = "recipient", members = members(11) }
  local moved, wrong = 0, 0
  for i = 1, 1000 do
    local was, is = before:candidates(ask(i))[1].member.name, after:candidates(ask(i))[1].member.name
    if was ~= is then
      moved = moved + 1
      if is ~= "box11" then wrong = wrong + 1 end
    end
  end
  expect.equal(wrong, 0)
  expect.near(moved, 1000 / 11, 0.3)
end

function t.a_member_out_of_order_moves_only_its_own()
  local all = members(6)
  local p = pool.new { by = "sender", members = all }
  local before = {}
  for i = 1, 200 do before[i] = p:candidates(ask(i))[1].member.name end
  all[3].enabled = false
  for i = 1, 200 do
    local now = p:candidates(ask(i))[1].member.name
    expect.truth(now == before[i] or before[i] == "box3")
    expect.truth(now ~= "box3")
  end
end

function t.only_the_eligible()
  local list = members(5)
  list[1].enabled = false
  list[2].paused_until = clock.now() + 60
  list[3].paused_until = clock.now() - 60
  local p = pool.new { members = list, size = 5, caps = function(member)
    if member.name == "box4" then return nil end
    return { limit.per_day(member.name, 10) }
  end }
  for i = 1, 50 do
    local c = p:candidates(ask(i, { avoid = "box5" }))
    expect.equal(pool.names(c), "box3")
    expect.equal(c[1].spend[1].key, "box3")
  end
  expect.equal(#p:candidates(ask(1, { avoid = { box3 = true, box5 = true } })), 0)
end

function t.those_without_room_take_no_place()
  local p = pool.new { members = members(10), size = 2, by = "sender", caps = function(m) return { limit.per_day("full/" .. m.name, 5) } end }
  for i = 1, 10 do limit.used["full/box" .. i] = i == 4 and 4 or 5 end
  for i = 1, 20 do expect.equal(pool.names(p:candidates(ask(i))), "box4") end
  limit.used["full/box4"] = 5
  expect.equal(#p:candidates(ask(1)), 2)
  -- As many places as members: route.first sees to it.
  p = pool.new { members = members(2), size = 2, caps = function(m) return { limit.per_day("full/" .. m.name, 5) } end }
  expect.equal(#p:candidates(ask(1)), 2)
end

function t.candidates_are_different_ones()
  local p = pool.new { members = members(4), size = 4 }
  for i = 1, 100 do
    local seen = {}
    local c = p:candidates(ask(i))
    expect.equal(#c, 4)
    for _, candidate in ipairs(c) do
      expect.truth(not seen[candidate.member.name])
      seen[candidate.member.name] = true
    end
  end
end

function t.matching_providers()
  local list = members(40, { provider = function(i) return i % 20 == 0 and "google" or "microsoft" end })
  local prefer, only = pool.new { members = list, match = "prefer" }, pool.new { members = list, match = "only" }
  for i = 1, 50 do
    local c = prefer:candidates(ask(i, { provider = "google" }))
    expect.equal(c[1].member.provider, "google")
    expect.equal(c[2].member.provider, "google")
    expect.equal(c[3].member.provider, "microsoft")
    expect.equal(#only:candidates(ask(i, { provider = "google" })), 2)
    expect.equal(#only:candidates(ask(i, { provider = "yahoo" })), 0)
    expect.equal(#prefer:candidates(ask(i, { provider = "yahoo" })), 3)
  end
end

function t.least_sent_levels_out()
  local p = pool.new { by = "least_sent", members = members(5), caps = function(m) return { limit.per_day("ls/" .. m.name, 100) } end }
  for i = 1, 250 do
    local first = p:candidates(ask(i))[1].member.name
    limit.used["ls/" .. first] = (limit.used["ls/" .. first] or 0) + 1
  end
  for i = 1, 5 do expect.equal(limit.used["ls/box" .. i], 50) end
end

-- A large pool, where only a few are looked at, is level within a few messages all the same.
function t.least_sent_of_many()
  local p = pool.new { by = "least_sent", members = members(100), caps = function(m) return { limit.per_day("lm/" .. m.name, 100) } end }
  for i = 1, 1000 do
    local first = p:candidates(ask(i))[1].member.name
    limit.used["lm/" .. first] = (limit.used["lm/" .. first] or 0) + 1
  end
  for i = 1, 100 do expect.truth(math.abs((limit.used["lm/box" .. i] or 0) - 10) <= 4) end
end

-- Everyone but one is out, in a pool larger than what is kept of an order.
function t.the_last_one_is_found()
  for _, by in ipairs { "sender", "weighted" } do
    local list = members(300)
    for i = 1, 300 do list[i].enabled = i == 217 end
    local p = pool.new { by = by, members = list }
    for i = 1, 5 do expect.equal(pool.names(p:candidates(ask(i))), "box217") end
  end
end

function t.what_is_refused()
  expect.refused("pool_test.lua:178: pool.new: members[1]: name: a string is expected", function()
    pool.new { members = { {} } }
  end)
  expect.refused("'a' is there twice", function() pool.new { members = { { name = "a" }, { name = "a" } } } end)
  expect.refused("weight: a number is expected", function() pool.new { members = { { name = "a", weight = "1" } } } end)
  expect.refused("weight: a number from 0", function() pool.new { members = { { name = "a", weight = -1 } } } end)
  expect.refused("at least one with a weight", function() pool.new { members = {} } end)
  expect.refused("by: one of least_sent, recipient, sender, weighted", function() pool.new { by = "random", members = members(1) } end)
end

function t.a_plan_is_made_once_for_the_same_caps()
  local made, cap = 0, 5
  local limits = {}
  local team = pool.new { members = { { name = "a" } }, caps = function()
    limits[cap] = limits[cap] or limit.per_day("a", cap)
    return { limits[cap] }
  end, plan = function(member, spend, provider)
    made = made + 1
    return { member.name, spend, provider } -- alone it is handed on as it is
  end }
  local function ask(provider) return team:first { message = { id = "1", sender = "a@b.example" }, recipient = { number = 0, address = "c@d.example" }, provider = provider } end
  local first = ask "google"
  expect.equal(ask "google", first)
  expect.equal(made, 1)
  expect.equal(ask "yahoo" == first, false)
  cap = 6
  expect.equal(ask "google" == first, false)
  expect.equal(made, 3)
  expect.refused("a function that makes a plan is expected", function() pool.new { members = { { name = "a" } } }:first { message = { id = "1" }, recipient = { number = 0 } } end)
end

return t
