-- SPDX-License-Identifier: MIT
-- warmup: how much a new address, domain or mailbox may send today, at each provider, until it is known.
--
--   local warm = warmup.new {
--     name = "acme",                   -- of the accounts: "warmup/acme/google"
--     ladder = "sendgrid-daily",       -- a published one (data/ladders.lua), or a list: { 50, 100, 250, ... }
--     start = "2026-11-20",            -- day 1, UTC
--     age = 0,                         -- days it had been sending before; what is warm already must say so
--     providers = { google = 0.5, outlook = { 20, 40, 80 }, other = 1 },   -- a share of the ladder, or a ladder of its own
--     multiplier = 1, floor = 10, ceiling = 20000,
--     gates = { bounce = 0.02, complaint = 0.0005, sample = 200 },
--     demote = 2,                      -- steps back while a rate is above its gate; above twice the gate: the floor
--     idle = { days = 7, reset = 30 }, -- after 7 silent days one step back for each further day; after 30 from the start
--     jitter = 0.1,                    -- up to a tenth less, another tenth for each day: not every mailbox sends the same round number
--     overflow = "other",              -- what to do with what does not fit: "other", "relay", "wait"
--     finally = "none",                -- after the last step: "stay" on it (default), "none": no cap, or a number
--   }
--
--   warm:cap(group, facts)      -> messages, details     messages is nil where there is no cap
--   warm:limits(group, facts)   -> list for `spend`, or nil, why where nothing may go today
--   warm.overflow               -> as declared, for the policy to act on
--   warm:facts(group)           -> { sent, bounce_rate, complaint_rate } of the last 24 hours: what limits() uses where there are gates
--   warmup.bounces { warm, ... } -> for reply.hook{ tally = ... }: what blames the recipient counts as a bounce of its identity there
--   warm:advance(state, facts)  -> the gated ladder: a step up only after a clean day; the caller keeps the state
--   warmup.ladders()            -> names, with source, date and grade
--
-- Where gates are set, limits() counts what is sent in "sent/acme/google", bounces in "bounces/acme/google" and complaints in
-- "complaints/acme/google" (`tidegate limit count complaints/acme/google`, from whatever reads the feedback loop), all per day.
--
-- `facts` are numbers that the caller has, all optional: now, bounce_rate, complaint_rate, sent (messages the rates are taken
-- over), last_sent_at, step. Everything here is arithmetic on them: the same facts give the same cap, in `simulate` and in
-- a test as in life. Days are UTC days from `start`; each provider has its own account and its own cap.
local describe = require "core.describe"
local fact = require "fact"
local limit = require "limit"
local note = require("core.note").add -- nil unless somebody wants to see how an answer came about
local provider = require "provider"

local warmup = {}
local Warm = {}
Warm.__index = Warm

local DAY = 86400
local all = {}     -- those that the scripts have made while they loaded: `tidegate warmup` tells of them
local ladders = {} -- name -> { steps =, unit =, from = }

local function check_steps(steps, level, what)
  if type(steps) ~= "table" or #steps == 0 then fact.refuse(level + 1, "%s: a list of numbers is expected", what) end
  for i, n in ipairs(steps) do
    if math.type(n) ~= "integer" or n < 0 then
      fact.refuse(level + 1, "%s: step %d: a whole number is expected", what, i)
    end
  end
end

local LADDER = fact.shape { name = "string", steps = "table", unit = "string", suits = "string", note = "?string" }

local function define(layer, entry, level)
  fact.check_fields(entry, LADDER, level + 1, "warmup.define")
  local what = "warmup.define: '" .. entry.name .. "'"
  check_steps(entry.steps, level + 1, what)
  if entry.unit ~= "day" and entry.unit ~= "hour" then fact.refuse(level + 1, "%s: unit: 'day' or 'hour' is expected", what) end
  local from = fact.check(entry, layer, level + 1, what)
  ladders[entry.name] = { name = entry.name, steps = entry.steps, unit = entry.unit, suits = entry.suits, note = entry.note,
    from = from }
end

function warmup.define(entry) define("operator", entry, 2) end

function warmup.ladders()
  local rows = {}
  for name, l in pairs(ladders) do
    rows[#rows + 1] = { name = name, unit = l.unit, suits = l.suits, steps = #l.steps, last = l.steps[#l.steps], note = l.note,
      layer = l.from.layer, source = l.from.source, date = l.from.date, grade = l.from.grade, where = l.from.where }
  end
  table.sort(rows, function(a, b) return a.name < b.name end)
  return rows
end

local function ladder_of(given, level, what)
  if type(given) == "string" then
    if not ladders[given] then
      fact.refuse(level + 1, "%s: there is no ladder '%s' (known: %s)", what, given, fact.list_of(ladders))
    end
    return ladders[given]
  end
  check_steps(given, level + 1, what)
  return { name = "own", steps = given, unit = "day" }
end

-- "2026-11-20" -> seconds since 1970 of its first moment in UTC. Days since 1970 by the civil calendar.
local function read_day(text)
  local y, m, d = tostring(text):match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  if not y or m < 1 or m > 12 or d < 1 or d > 31 then return nil end
  if m <= 2 then y = y - 1 end
  local era = y // 400
  local year_of_era = y - era * 400
  local day_of_year = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  return (era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468) * DAY
end

local NEW = { name = "string", ladder = "any", start = "?any", age = "?number", providers = "?table", multiplier = "?number",
  floor = "?number", ceiling = "?number", gates = "?table", demote = "?integer", idle = "?table", jitter = "?number",
  overflow = "?string", finally = "?any", per = "?string" }
local OVERFLOW = { other = true, relay = true, wait = true }

local function check_providers(given, level, what)
  local own = {}
  for group, share in pairs(given or {}) do
    if not provider.exists(group) then fact.refuse(level + 1, "%s: providers: there is no provider '%s'", what, tostring(group)) end
    if type(share) == "number" and share >= 0 then own[group] = { share = share }
    else own[group] = { ladder = ladder_of(share, level + 1, what .. ": providers." .. group) } end
  end
  return own
end

local function check_number(value, low, high, level, what)
  if value ~= nil and not (value >= low and value <= high) then
    fact.refuse(level + 1, "%s: a number from %s to %s is expected", what, low, high)
  end
end

function warmup.new(o)
  fact.check_fields(o, NEW, 2, "warmup.new")
  local what = "warmup.new: '" .. o.name .. "'"
  local start = o.start == nil and 0 or math.type(o.start) and o.start or read_day(o.start)
  if not start then fact.refuse(2, "%s: start: a day is expected: '2026-11-20'", what) end
  if not o.start and not o.age then fact.refuse(2, "%s: either start or age is expected", what) end
  if o.overflow and not OVERFLOW[o.overflow] then
    fact.refuse(2, "%s: overflow: one of %s is expected", what, fact.list_of(OVERFLOW))
  end
  if o.finally and o.finally ~= "stay" and o.finally ~= "none" and math.type(o.finally) ~= "integer" then
    fact.refuse(2, "%s: finally: 'stay', 'none' or a number is expected", what)
  end
  fact.check_fields(o.gates or {}, { bounce = "?number", complaint = "?number", sample = "?number" }, 2, what .. ": gates")
  fact.check_fields(o.idle or {}, { days = "?number", reset = "?number" }, 2, what .. ": idle")
  check_number(o.jitter, 0, 0.9, 2, what .. ": jitter")
  check_number(o.multiplier, 0, 1000, 2, what .. ": multiplier")
  check_number(o.age, 0, 100000, 2, what .. ": age")
  if o.per and o.per ~= "message" and o.per ~= "recipient" then fact.refuse(2, "%s: per: 'message' or 'recipient' is expected", what) end
  local warm = setmetatable({
    name = o.name, ladder = ladder_of(o.ladder, 2, what .. ": ladder"), start = start, dated = o.start ~= nil, age = o.age or 0,
    providers = check_providers(o.providers, 2, what), multiplier = o.multiplier or 1, floor = o.floor or 0,
    ceiling = o.ceiling or math.huge, gates = o.gates or {}, demote = o.demote or 2, idle = o.idle or {}, jitter = o.jitter or 0,
    overflow = o.overflow or "wait", finally = o.finally or "stay", per = o.per or "message", made = {},
  }, Warm)
  if describe.loading() then all[#all + 1] = warm end
  return warm
end

-- Steps back for silence, or nil: so long that everything starts again.
local function idle_steps(idle, now, last_sent_at)
  if not last_sent_at then return 0 end
  local days = math.floor((now - last_sent_at) / DAY)
  if idle.reset and days >= idle.reset then return nil end
  if idle.days and days > idle.days then return days - idle.days end
  return 0
end

local SAMPLE = 100 -- messages below which a rate says nothing

-- How far a rate is above its gate: 0 (not), 1 (above), 2 (twice or more).
local function pressure(gates, facts)
  if (facts.sent or math.huge) < (gates.sample or SAMPLE) then return 0 end
  local worst = 0
  for _, name in ipairs { "bounce", "complaint" } do
    local rate, gate = facts[name .. "_rate"], gates[name]
    if rate and gate and rate > gate then worst = math.max(worst, rate >= 2 * gate and 2 or 1) end
  end
  return worst
end

-- The day's step on a ladder, from 1; 0 before the start.
function Warm:step(facts)
  local now = facts.now or clock.now()
  if facts.step then return facts.step, "the step given" end
  if now < self.start then return 0, "before the start" end
  local step = math.floor(self.age) + 1
  if self.dated then step = step + (now - self.start) // DAY end
  local back = idle_steps(self.idle, now, facts.last_sent_at)
  if not back then return 1, "idle for so long that it starts again" end
  if back > 0 then return math.max(1, step - back), "idle: " .. back .. " steps back" end
  return step, "day " .. math.tointeger(step)
end

-- A share from 0 to 1 that is always the same for this name, provider and day.
local function dice(name, group, day)
  local sum = crypto.sha256(name .. "/" .. group .. "/" .. day)
  return (sum:byte(1) * 256 + sum:byte(2)) / 65535
end

local function on_ladder(warm, ladder, step)
  if step <= #ladder.steps then return ladder.steps[math.tointeger(step)] end
  if warm.finally == "none" then return nil end
  return warm.finally == "stay" and ladder.steps[#ladder.steps] or warm.finally
end

-- The cap at a provider: whole messages in the ladder's unit, or nil (no cap any more); and how it came about.
function Warm:cap(group, facts)
  facts = facts or {}
  local own = self.providers[group] or {}
  local ladder = own.ladder or self.ladder
  local step, why = self:step(facts)
  local details = { step = step, unit = ladder.unit, ladder = ladder.name, because = why }
  if step < 1 then return 0, details end
  local level = pressure(self.gates, facts)
  if level == 2 then
    details.held = "floor"
    details.because = "a rate is at twice its gate or above: the floor"
    return math.floor(self.floor), details
  end
  if level == 1 then
    step = math.max(1, math.min(step, #ladder.steps) - self.demote)
    details.held = "demoted"
    details.step, details.because = step, "a rate is above its gate: " .. self.demote .. " steps back"
  end
  local cap = on_ladder(self, ladder, step)
  if not cap then return nil, details end
  if cap > 0 then
    cap = cap * (own.share or 1) * self.multiplier
    local day = math.floor(((facts.now or clock.now()) - self.start) / DAY)
    if self.jitter > 0 then cap = cap * (1 - self.jitter * dice(self.name, group, day)) end
    cap = math.max(self.floor, cap)
  end
  return math.floor(math.min(self.ceiling, cap)), details
end

function Warm:key(group) return "warmup/" .. self.name .. "/" .. group end

-- Without facts a cap depends on the day alone: what was made of it is kept until tomorrow.
local function limit_for(self, group, facts)
  local day = (clock.now() - self.start) // DAY
  local kept = self.made[group]
  if not facts and kept and kept.day == day then return kept end
  local cap, details = self:cap(group, facts)
  kept = { day = day, because = details.because, open = cap == nil, cap = cap, details = details }
  if cap and cap >= 1 then
    local make = details.unit == "hour" and limit.per_hour or limit.per_day
    kept.limit = make(self:key(group), cap, { per = self.per, exhausted_by = "standing" })
  end
  if not facts then self.made[group] = kept end
  return kept
end

local UNCAPPED = 1000000000
local function counter(what, warm, group)
  return limit.per_day(what .. "/" .. warm.name .. "/" .. group, UNCAPPED, { per = "recipient" })
end

-- What the gates look at, of the last 24 hours.
function Warm:facts(group)
  local asked, sent = pcall(limit.used, counter("sent", self, group))
  if not asked then return {} end -- where there is no ledger: a story without one
  local facts = { sent = sent }
  for _, kind in ipairs { "bounce", "complaint" } do
    if self.gates[kind] and sent > 0 then facts[kind .. "_rate"] = limit.used(counter(kind .. "s", self, group)) / sent end
  end
  return facts
end

-- Limits of a list for `spend`; with gates, what goes is counted too. Without facts the gates look for themselves.
function Warm:limits(group, facts)
  local gated = self.gates.bounce or self.gates.complaint
  local found = limit_for(self, group, facts or gated and self:facts(group))
  if note then
    note("warmup", { name = self.name, provider = group, cap = found.cap, step = found.details.step, ladder = found.details.ladder,
      unit = found.details.unit, because = found.because })
  end
  if found.open then return gated and { counter("sent", self, group) } or {}, found.because end
  if not found.limit then return nil, found.because end
  return { found.limit, gated and counter("sent", self, group) or nil }, found.because
end

-- ---- for `tidegate warmup`: how each stands at each provider, nothing spent and nothing kept

local function iso(seconds) return os.date("!%Y-%m-%dT%H:%M:%S.000Z", math.floor(seconds)) end

-- Where it will be at the end of this day, rates being as they are: when, and the cap from then on.
local function next_step(warm, group, facts, now)
  if not warm.dated then return nil end -- by age alone: it stays where it was declared
  local at = now < warm.start and warm.start or warm.start + ((now - warm.start) // DAY + 1) * DAY
  local later = {}
  for name, value in pairs(facts) do later[name] = value end
  later.now = at
  local cap, details = warm:cap(group, later)
  return at, cap, details
end

local function state_of(cap, details, ladder)
  if details.held then return details.held end
  if details.step < 1 then return "not begun" end
  if not cap then return "done" end
  if details.because:find("^idle") then return "idle" end
  return details.step >= #ladder.steps and "top" or "climbing"
end

-- account: of the ledger, as `tidegate limit` shows it; nil before anything was sent.
local function row_of(warm, group, account)
  local now = clock.now()
  local gated = warm.gates.bounce or warm.gates.complaint
  local facts = gated and warm:facts(group) or {}
  local cap, details = warm:cap(group, facts)
  local own = warm.providers[group] or {}
  local ladder = own.ladder or warm.ladder
  local used = account and account.used or 0
  local full = account and account.full_until
  local row = { warmup = warm.name, provider = group, state = state_of(cap, details, ladder), because = details.because,
    step = math.tointeger(details.step), steps = #ladder.steps, ladder = ladder.name, unit = ladder.unit, cap = cap, used = used,
    left = cap and (full and 0 or math.max(0, cap - used)), full_until = full, next_free = account and account.next_free,
    per = warm.per, overflow = warm.overflow, sent = facts.sent, bounce_rate = facts.bounce_rate, bounce_gate = warm.gates.bounce,
    complaint_rate = facts.complaint_rate, complaint_gate = warm.gates.complaint, sample = gated and (warm.gates.sample or SAMPLE) }
  if warm.dated then row.start, row.day = iso(warm.start), math.tointeger(math.max(0, (now - warm.start) // DAY + 1 + math.floor(warm.age))) end
  local at, next_cap, next_details = next_step(warm, group, facts, now)
  if at and next_cap ~= cap then
    row.next_at, row.next_cap, row.next_step = iso(at), next_cap or json.null, math.tointeger(next_details.step)
  end
  return row
end

-- The providers that it names or has sent to, by the accounts of the ledger; "other" where that is none.
local function groups_of(warm, accounts, groups)
  local list = {}
  for _, group in ipairs(groups) do
    if warm.providers[group] or accounts[warm:key(group)] then list[#list + 1] = group end
  end
  return #list > 0 and list or { "other" }
end

describe.add("warmup", function(question)
  local rows, accounts, groups = {}, {}, provider.groups()
  for _, account in ipairs(question.accounts) do accounts[account.key] = account end
  for _, warm in ipairs(all) do
    if not question.name or question.name == warm.name then
      for _, group in ipairs(groups_of(warm, accounts, groups)) do rows[#rows + 1] = row_of(warm, group, accounts[warm:key(group)]) end
    end
  end
  return rows
end)

-- By the identity's name, which is the warmup's. The host that spoke says whose it is, so that no DNS is asked.
function warmup.bounces(list)
  local by_name = {}
  for _, warm in ipairs(list) do by_name[warm.name] = warm end
  return function(message, recipient, outcome)
    local warm = by_name[outcome.identity or ""]
    if not warm then return nil end
    local group = provider.by_domain(recipient.domain) or provider.by_host((outcome.peer or ""):match("^[^%s%[]+") or "") or "other"
    return { counter("bounces", warm, group) }
  end
end

-- The gated ladder as a reducer, for those who keep a state: up one step after a clean day, down `demote` after a bad one.
-- state = { step =, day = } or nil at first; facts as above. Gives the new state.
function Warm:advance(state, facts)
  local now = facts.now or clock.now()
  local today = math.floor(now / DAY)
  if not state then return { step = math.floor(self.age) + 1, day = today } end
  if today <= state.day then return state end
  local step, level = state.step, pressure(self.gates, facts)
  local back = idle_steps(self.idle, now, facts.last_sent_at)
  if level == 2 or not back then step = 1
  elseif level == 1 then step = step - self.demote
  elseif back > 0 then step = step - (today - state.day)
  elseif (facts.sent or 1) > 0 then step = step + 1 end -- a day without mail proves nothing
  return { step = math.max(1, math.min(step, #self.ladder.steps + 1)), day = today }
end

require "stdlib.data.ladders" (function(entry) define("shipped", entry, 2) end)

return warmup
