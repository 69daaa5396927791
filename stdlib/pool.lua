-- SPDX-License-Identifier: MIT
-- pool: chooses among identities: mailboxes, addresses and relays alike.
--
--   local team = pool.new {
--     by = "sender",                       -- "weighted" (default), "least_sent", "sender", "recipient"
--     members = {
--       { name = "alice", identity = alice, via = gmail, weight = 2, provider = "google" },
--       { name = "bob", identity = bob, via = m365, provider = "microsoft", enabled = false },
--     },
--     match = "prefer",                    -- members whose provider is the recipient's: "prefer", "only", "ignore" (default)
--     size = 3,                            -- candidates at most
--     caps = function(member, ask) return { limit.per_day("box/" .. member.name, 40) } end,
--     plan = function(member, spend, provider) return route.send { ... } end,    -- for first(ask); depends on nothing else: kept
--   }
--
--   team:candidates(ask)    -> ordered list of { member =, spend = }; the first is meant, the others are for route.first
--   team:first(ask, make, otherwise)    -> route.first of make(member, spend) for each of them, and of `otherwise`
--
-- `ask` is what the choice may depend on: { message =, recipient =, provider =, avoid = name or set of names }. Only the fields
-- that the mode needs must be there. A member is eligible when it is enabled, not paused (member.paused_until, a time), not in
-- `avoid`, matches, and `caps` gave a list: nil from `caps` means "not now" (warmup says 0, paused by hand, ...).
-- Its caps travel in `spend`; that they have room is the ledger's to say at the moment of sending: give all candidates to
-- route.first. A pool of more members than `size` asks limit.left before, so that nobody without room takes a place (this may suspend
-- the hook); when all are without room the first of them are given, and the mail waits for the one that has room first.
--
-- Modes: "weighted": by the members' weights, a different draw for each message and recipient. "sender", "recipient": always the
-- same member for the same address. Both are rendezvous hashing with weights: when a member leaves, only its own share moves,
-- and when one comes, it takes its share evenly from all. "least_sent": the member with most left of its caps, among up to 8
-- drawn for this message (limit.left is asked for those, which may suspend the hook).
--
-- Nothing is random and nothing is remembered: asked again, the answer is the same, in explain and in a test.
local fact = require "fact"
local limit = require "limit"
local route = require "route"
local note = require("core.note").add -- nil unless somebody wants to see how an answer came about

local pool = {}
local Pool = {}
Pool.__index = Pool

local SAMPLE = 8   -- least_sent looks at so many
local AHEAD = 16   -- members of a sticky order that are kept for a key
local KEPT = 1000  -- keys whose order is kept: a shortcut only, the order is a function of the key
local LOOK_AGAIN = 900
local MODES = { weighted = true, least_sent = true, sender = true, recipient = true }
local MATCHES = { prefer = true, only = true, ignore = true }

-- 53 bits of a text's SHA-256.
local function number_of(text)
  local a, b, c, d, e, f, g = crypto.sha256(text):byte(1, 7)
  return (((((a << 8 | b) << 8 | c) << 8 | d) << 8 | e) << 8 | f) << 5 | g >> 3
end

-- Mixes two 53-bit numbers into one that looks like neither (a xorshift-multiply, as in splitmix64).
local function mix(a, b)
  local x = a ~ (b * 0x9E3779B97F4A7C15)
  x = (x ~ (x >> 30)) * 0xBF58476D1CE4E5B9
  x = (x ~ (x >> 27)) * 0x94D049BB133111EB
  return (x ~ (x >> 31)) >> 11
end

local MEMBER = { name = "string", weight = "?number", enabled = "?boolean", paused_until = "?number", provider = "?string" }

local function check_member(member, i, seen)
  local what = "pool.new: members[" .. i .. "]"
  if type(member) ~= "table" then fact.refuse(3, "%s: a table is expected", what) end
  for name, kind in pairs(MEMBER) do
    local optional = kind:sub(1, 1) == "?"
    local value, want = member[name], optional and kind:sub(2) or kind
    if (value == nil and not optional) or (value ~= nil and type(value) ~= want) then
      fact.refuse(3, "%s: %s: a %s is expected", what, name, want)
    end
  end
  if seen[member.name] then fact.refuse(3, "%s: '%s' is there twice", what, member.name) end
  if member.weight and not (member.weight >= 0 and member.weight < math.huge) then
    fact.refuse(3, "%s: weight: a number from 0 is expected", what)
  end
  seen[member.name] = true
end

-- Members among which one draw is made: all, or those of one provider.
local function circle_of(members)
  local c = { members = members, size = #members, hashes = {}, sums = {}, total = 0, even = true, orders = {}, order_count = 0 }
  for i, member in ipairs(members) do
    c.hashes[i] = number_of(member.name)
    c.total = c.total + (member.weight or 1)
    c.sums[i] = c.total
    c.even = c.even and (member.weight or 1) == (members[1].weight or 1)
  end
  return c
end

local NEW = { members = "table", by = "?string", match = "?string", size = "?integer", caps = "?function",
  plan = "?function" }

function pool.new(o)
  fact.check_fields(o, NEW, 2, "pool.new")
  if o.by and not MODES[o.by] then fact.refuse(2, "pool.new: by: one of %s is expected", fact.list_of(MODES)) end
  if o.match and not MATCHES[o.match] then fact.refuse(2, "pool.new: match: one of %s is expected", fact.list_of(MATCHES)) end
  local seen, members, by_provider = {}, {}, {}
  for i, member in ipairs(o.members) do
    check_member(member, i, seen)
    if (member.weight or 1) > 0 then
      members[#members + 1] = member
      local group = member.provider or ""
      by_provider[group] = by_provider[group] or {}
      table.insert(by_provider[group], member)
    end
  end
  if #members == 0 then fact.refuse(2, "pool.new: members: at least one with a weight is expected") end
  local circles = {}
  for group, some in pairs(by_provider) do circles[group] = circle_of(some) end
  return setmetatable({ all = circle_of(members), circles = circles, by = o.by or "weighted", match = o.match or "ignore",
    size = o.size or 3, caps = o.caps, plan = o.plan, plans = {}, look = #members > (o.size or 3) or o.by == "least_sent" }, Pool)
end

-- ---- rendezvous: the highest score wins. With weights it is -weight / ln u; without, u itself gives the same order.

local function score(circle, i, seed)
  local u = mix(seed, circle.hashes[i])
  if circle.even then return u end
  return -(circle.members[i].weight or 1) / math.log((u + 1) / 9007199254740994.0)
end

-- The best AHEAD of all, best first, by keeping a short sorted list.
local function best_of(circle, key)
  local seed, order, scores = number_of(key), {}, {}
  for i = 1, #circle.members do
    local s = score(circle, i, seed)
    local n = #order
    if n < AHEAD or s > scores[n] then
      local at = n < AHEAD and n + 1 or n
      while at > 1 and s > scores[at - 1] do
        order[at], scores[at] = order[at - 1], scores[at - 1]
        at = at - 1
      end
      order[at], scores[at] = i, s
    end
  end
  return order
end

local function whole_order(circle, key)
  local seed, order, scores = number_of(key), {}, {}
  for i = 1, #circle.members do order[i], scores[i] = i, score(circle, i, seed) end
  table.sort(order, function(a, b) return scores[a] > scores[b] or scores[a] == scores[b] and a < b end)
  return order
end

local function sticky_order(circle, key)
  local order = circle.orders[key]
  if order then return order end
  order = best_of(circle, key)
  if circle.order_count >= KEPT then circle.orders, circle.order_count = {}, 0 end
  circle.orders[key], circle.order_count = order, circle.order_count + 1
  return order
end

-- ---- draws: by weight, each message its own; the cost does not grow with the pool

local function index_at(circle, x)
  local low, high, sums = 1, circle.size, circle.sums
  while low < high do
    local middle = (low + high) // 2
    if sums[middle] > x then high = middle else low = middle + 1 end
  end
  return low
end

-- A walk over members' indices, each once: drawn by weight at first, then around the circle. next_drawn(walk) gives the next one, or nil.
local function draws(circle, key)
  return { circle = circle, seed = number_of(key), tries = 0, count = 0 }
end

local function next_drawn(walk)
  local circle, taken, at = walk.circle, walk.taken, walk.at
  local size = circle.size
  if walk.count == 0 then -- most questions end with one or two: what is taken is written down from the second on
    walk.count, walk.tries = 1, 1
    at = index_at(circle, mix(walk.seed, 0) / 9007199254740992.0 * circle.total)
    walk.at = at
    return at
  end
  if walk.count == size then return nil end
  if not taken then
    taken = { [at] = true }
    walk.taken = taken
  end
  repeat
    if walk.tries < 2 * AHEAD then
      at = index_at(circle, mix(walk.seed, walk.tries) / 9007199254740992.0 * circle.total)
      walk.tries = walk.tries + 1
    else
      at = at % size + 1
    end
  until not taken[at]
  taken[at], walk.count, walk.at = true, walk.count + 1, at
  return at
end

-- The same for a sticky key: the kept part of its order first, the rest only if somebody needs it.
local function sticky(circle, key) return { circle = circle, key = key, order = sticky_order(circle, key), i = 0 } end

local function next_sticky(walk)
  local i, order = walk.i + 1, walk.order
  if i > #order and #order < walk.circle.size then
    order = whole_order(walk.circle, walk.key)
    walk.order = order
  end
  walk.i = i
  return order[i]
end

-- ---- asking

local function key_of(p, ask)
  if p.by == "sender" then return "s/" .. ask.message.sender:lower() end
  if p.by == "recipient" then return "r/" .. ask.recipient.address:lower() end
  return "m/" .. ask.message.id .. "/" .. ask.recipient.number
end

local function is_avoided(avoid, name)
  if type(avoid) == "table" then return avoid[name] == true end
  return avoid == name
end

-- nil, or why this member is not asked.
local function why_not(member, ask)
  if member.enabled == false then return "not enabled" end
  if is_avoided(ask.avoid, member.name) then return "to be avoided" end
  if member.paused_until and member.paused_until > clock.now() then return "paused until " .. os.date("!%Y-%m-%d %H:%M:%SZ", member.paused_until // 1) end
end

-- The least that any of its caps has left. Where nobody can say (a story without a ledger) it counts as room.
local told = false -- somebody could: nobody else has to be asked whether he can
local function left_of(l)
  if told then return limit.left(l) end
  local left
  told, left = pcall(limit.left, l)
  return told and left or math.huge
end

local function room_of(spend)
  local least = math.huge
  for i = 1, #spend do
    local left = left_of(spend[i])
    if left < least then least = left end
  end
  return least
end

-- Adds the circle's members in order, the eligible ones with their caps, until there are `n`.
-- `met` is nil where nobody wants to know and no member can be met twice.
local function gather(p, circle, key, ask, n, found, met, full)
  local is_sticky = p.by == "sender" or p.by == "recipient"
  local step = is_sticky and next_sticky or next_drawn
  local walk = is_sticky and sticky(circle, key) or draws(circle, key)
  local looks = p.look and p.caps
  while #found < n do
    local at = step(walk)
    if not at then return end
    local member = circle.members[at]
    local not_asked = met and met[member] or why_not(member, ask)
    if not not_asked then
      local spend = {}
      if p.caps then spend = p.caps(member, ask) end
      -- With more members than candidates, those without room (used up, or told so by the peer) must not take the places.
      local left = spend and (looks and room_of(spend) or math.huge)
      if spend then
        local to = left > 0 and found or full
        to[#to + 1] = { member = member, spend = spend, left = left }
      end
      if met then met[member] = "asked" end
      if note then met[member] = not spend and "its caps say: not now" or left <= 0 and "nothing left of its caps" or "asked" end
    elseif note then
      met[member] = not_asked
    end
  end
end

-- Every member, and what became of it: for those who want to see it.
local function tell(p, ask, met, candidates)
  local list, place = {}, {}
  for i, candidate in ipairs(candidates) do place[candidate.member] = i end
  for i, member in ipairs(p.all.members) do
    local why = met[member]
    if not why or why == "asked" then
      local matches = p.match ~= "only" or (member.provider or "") == (ask.provider or "")
      why = why and "others stand before it" or matches and "not reached: enough stand before it" or "of another provider"
    end
    list[i] = { name = member.name, candidate = place[member], why = not place[member] and why or nil }
  end
  note("pool", { by = p.by, match = p.match, provider = ask.provider, members = list })
end

local function by_room(found)
  for i, candidate in ipairs(found) do candidate.at = i end
  table.sort(found, function(a, b) return a.left > b.left or a.left == b.left and a.at < b.at end)
end

-- Those of the recipient's own provider stand before the others; least_sent orders within.
local function part(p, circle, key, ask, found, met, full)
  if not circle then return end
  if p.by ~= "least_sent" and #found == 0 then return gather(p, circle, key, ask, p.size, found, met, full) end
  local some = {}
  gather(p, circle, key, ask, p.by == "least_sent" and math.max(SAMPLE, p.size) or p.size, some, met, full)
  if p.by == "least_sent" then by_room(some) end
  for _, candidate in ipairs(some) do
    if #found < p.size then found[#found + 1] = candidate end
  end
end

function Pool:candidates(ask)
  local key, found, full = key_of(self, ask), {}, {}
  local met = (note or self.match ~= "ignore") and {} or nil
  if self.match ~= "ignore" then part(self, self.circles[ask.provider or ""], key, ask, found, met, full) end
  if self.match ~= "only" and #found < self.size then part(self, self.all, key, ask, found, met, full) end
  local candidates = found
  if #found == 0 then candidates = { table.unpack(full, 1, self.size) } end
  if note then tell(self, ask, met, candidates) end
  return candidates
end

local function same_limits(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- A plan that depends on nothing but the member, the provider and the caps is made once, and again when one of them is another.
local function plan_of(p, candidate, group)
  local kept = p.plans[candidate.member]
  if not kept then
    kept = {}
    p.plans[candidate.member] = kept
  end
  local one = kept[group or ""]
  if not one or not same_limits(one.spend, candidate.spend) then
    one = { spend = candidate.spend, plan = p.plan(candidate.member, candidate.spend, group) }
    kept[group or ""] = one
  end
  return one.plan
end

-- A whole answer for the route hook: the candidates' plans in order, then `otherwise` (a plan, a list of them, or nil).
-- make(member, spend) gives a plan; without it the pool's own `plan` does. Nobody may send now, and there is no otherwise: ask again in a
-- quarter of an hour.
function Pool:first(ask, make, otherwise)
  local plans = {}
  if not make and not self.plan then fact.refuse(2, "first: a function that makes a plan is expected, here or as pool.new's plan") end
  for i, candidate in ipairs(self:candidates(ask)) do
    plans[i] = make and make(candidate.member, candidate.spend) or plan_of(self, candidate, ask.provider)
  end
  if type(otherwise) ~= "table" then otherwise = { otherwise } end
  for _, plan in ipairs(otherwise) do plans[#plans + 1] = plan end
  if #plans == 0 then return route.wait(LOOK_AGAIN, "nobody in the pool may send this now") end
  return #plans == 1 and plans[1] or route.first(plans)
end

-- The names, for `because` and for tests.
function pool.names(candidates)
  local names = {}
  for i, candidate in ipairs(candidates) do names[i] = candidate.member.name end
  return table.concat(names, ", ")
end

return pool
