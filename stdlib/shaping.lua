-- SPDX-License-Identifier: MIT
-- shaping: how gently a provider wants to be treated: connections, messages for each, rate, TLS, and what to do when it
-- complains.
--
--   shaping.lane(group)              { connections =, per_connection = } for route.send's `lane`
--   shaping.tls(group)               for route.send's `tls`, or nil
--   shaping.limits(group, key)       list of limits for `spend`, on accounts "key/group"
--   shaping.reaction(group, outcome) what a reply asks for: { action =, seconds =, ... }, or nil
--   shaping.show(group)              every value with its layer, source, date and place
--
-- What ships is in data/shaping.lua. Your own values, while the scripts load:
--
--   shaping.set { provider = "yahoo", connections = 2, rate = "10/minute", source = "deferrals in May" }
--   shaping.react { provider = "yahoo", text = [=[\[TSS04\]]=], action = "pause", seconds = 7200, source = "..." }
--
-- Four layers, the nearest wins, value by value: the group's own by the operator, the group's own as shipped, the "default"
-- group by the operator, the "default" group as shipped. A group that provider.lua does not know, an unknown field, and an
-- entry without its source are refused with the line they stand on.
--
-- A reaction says what the lane (this identity's way to this next hop) is to do: "pause" (nothing for so many seconds) or "slow" (at most
-- `rate`, or so many `connections`, or both). It is a plain value; its `lane` is what a verdict takes: retry.wait { ..., lane =
-- reaction.lane }. reply.hook does that by itself.
local fact = require "fact"
local note = require("core.note").add -- nil unless somebody wants to see how an answer came about
local provider = require "provider"

local shaping = {}

local DEFAULT = "default"
local TLS = { none = true, opportunistic = true, encrypt = true, verify = true, dane = true, dane_or_verify = true }
local PER = { second = "per_second", minute = "per_minute", hour = "per_hour", day = "per_day" }
local LAYERS = { "operator", "shipped" }
local NAMES = { "connections", "per_connection", "rate", "tls" }

local values = { operator = {}, shipped = {} }    -- layer -> group -> name -> { value =, from = }
local reactions = { operator = {}, shipped = {} } -- layer -> list
local lanes = {}                                  -- group -> the merged lane; emptied when a value is set

local function check_group(name, level, what)
  if name ~= DEFAULT and not provider.exists(name) then
    fact.refuse(level + 1, "%s: there is no provider '%s' (known: %s, default)", what, tostring(name),
      table.concat(provider.groups(), ", "))
  end
end

-- "10/minute" -> 10, "per_minute"
local function read_rate(text, level, what)
  local n, unit = tostring(text):match("^(%d+)/(%a+)$")
  if not PER[unit] or tonumber(n) < 1 then
    fact.refuse(level + 1, "%s: rate: '10/second', '10/minute', '10/hour' or '10/day' is expected", what)
  end
  return { n = math.tointeger(tonumber(n)), per = PER[unit] }
end

local SET = fact.shape { provider = "string", connections = "?integer", per_connection = "?integer", rate = "?string",
  tls = "?string" }

local function set(layer, entry, level)
  fact.check_fields(entry, SET, level + 1, "shaping.set")
  local what = "shaping.set: '" .. entry.provider .. "'"
  check_group(entry.provider, level + 1, what)
  local from = fact.check(entry, layer, level + 1, what)
  if entry.tls and not TLS[entry.tls] then
    fact.refuse(level + 1, "%s: tls: one of %s is expected", what, fact.list_of(TLS))
  end
  local rate = entry.rate and read_rate(entry.rate, level + 1, what)
  local group = values[layer][entry.provider] or {}
  values[layer][entry.provider] = group
  local some = false
  for _, name in ipairs(NAMES) do
    if entry[name] ~= nil then
      local was = group[name]
      if was and layer == "shipped" then
        fact.refuse(level + 1, "%s: %s is set already (%s)", what, name, was.from.where)
      end
      group[name] = { value = entry[name], rate = rate, from = from }
      some = true
    end
  end
  if not some then fact.refuse(level + 1, "%s: no value (%s)", what, table.concat(NAMES, ", ")) end
  lanes = {}
end

local REACT = fact.shape { provider = "string", text = "?string", code = "?integer", status = "?string", action = "string",
  seconds = "integer", rate = "?string", connections = "?integer", stage = "?string" }

local function react(layer, entry, level)
  fact.check_fields(entry, REACT, level + 1, "shaping.react")
  local what = "shaping.react: '" .. entry.provider .. "'"
  check_group(entry.provider, level + 1, what)
  local from = fact.check(entry, layer, level + 1, what)
  if entry.action ~= "pause" and entry.action ~= "slow" then
    fact.refuse(level + 1, "%s: action: 'pause' or 'slow' is expected", what)
  end
  if (entry.action == "slow") ~= (entry.rate ~= nil or entry.connections ~= nil) then
    fact.refuse(level + 1, "%s: 'slow' has a rate or connections, and 'pause' has none", what)
  end
  if not (entry.text or entry.code or entry.status) then
    fact.refuse(level + 1, "%s: neither text, code nor status to know the reply by", what)
  end
  local pattern
  if entry.text then
    local ok, made = pcall(re.compile, entry.text, "i")
    if not ok then fact.refuse(level + 1, "%s: text: %s", what, made) end
    pattern = made
  end
  if entry.rate then read_rate(entry.rate, level + 1, what) end
  local list = reactions[layer]
  list[#list + 1] = { provider = entry.provider, pattern = pattern, text = entry.text, code = entry.code, status = entry.status,
    stage = entry.stage, action = entry.action, seconds = entry.seconds, rate = entry.rate, connections = entry.connections, from = from }
end

function shaping.set(entry) set("operator", entry, 2) end
function shaping.react(entry) react("operator", entry, 2) end

local function find(group, name)
  for _, at in ipairs { group, DEFAULT } do
    for _, layer in ipairs(LAYERS) do
      local found = values[layer][at] and values[layer][at][name]
      if found then return found, at end
    end
  end
end

local function value_of(group, name)
  local found = find(group, name)
  return found and found.value
end

-- Which layer gave a value that is being used, for those who want to see it.
local function tell(group, name)
  local found, at = find(group, name)
  if not found then return end
  local from = found.from
  note("shaping", { provider = group, name = name, value = found.value, group = at, layer = from.layer, source = from.source, date = from.date,
    grade = from.grade, where = from.where })
end

function shaping.lane(group)
  local lane = lanes[group]
  if not lane then
    check_group(group, 2, "shaping.lane")
    lane = { connections = value_of(group, "connections"), per_connection = value_of(group, "per_connection") }
    lanes[group] = lane
  end
  if note then
    tell(group, "connections")
    tell(group, "per_connection")
  end
  return lane
end

function shaping.tls(group)
  if note then tell(group, "tls") end
  return value_of(group, "tls")
end

function shaping.limits(group, key)
  local found = find(group, "rate")
  if note then tell(group, "rate") end
  if not found then return {} end
  local limit = require "limit"
  return { limit[found.rate.per](key .. "/" .. group, found.rate.n, { exhausted_by = "standing" }) }
end

local function fits(r, group, outcome)
  if r.provider ~= group and r.provider ~= DEFAULT then return false end
  if r.code and r.code ~= outcome.code then return false end
  if r.status and r.status ~= outcome.status then return false end
  if r.stage and r.stage ~= outcome.stage then return false end
  return not r.pattern or r.pattern:find(outcome.text) ~= nil
end

local function answer_of(r)
  local lane = r.action == "pause" and { rest = r.seconds } or { rate = r.rate, connections = r.connections, lasts = r.seconds }
  return { action = r.action, seconds = r.seconds, rate = r.rate, connections = r.connections, lane = lane, provider = r.provider, layer = r.from.layer, source = r.from.source,
    date = r.from.date, grade = r.from.grade, where = r.from.where,
    because = ("%s for %d s: %s (%s)"):format(r.action, r.seconds, r.text or r.status or r.code, r.from.where) }
end

-- The operator's are looked at first, then the shipped ones; within a layer a group's own before the default's.
function shaping.reaction(group, outcome)
  if outcome.from_peer == false then return nil end
  for _, layer in ipairs(LAYERS) do
    local general
    for _, r in ipairs(reactions[layer]) do
      if fits(r, group, outcome) then
        if r.provider == group then return answer_of(r) end
        general = general or r
      end
    end
    if general then return answer_of(general) end
  end
end

local function row(name, value, from, group)
  return { name = name, value = value, group = group, layer = from.layer, source = from.source, date = from.date,
    grade = from.grade, where = from.where }
end

-- Rows of { name, value, group, layer, source, date, grade, where }; reactions are named "on ...".
function shaping.show(group)
  check_group(group, 2, "shaping.show")
  local rows = {}
  for _, name in ipairs(NAMES) do
    local found, at = find(group, name)
    if found then rows[#rows + 1] = row(name, found.value, found.from, at) end
  end
  for _, layer in ipairs(LAYERS) do
    for _, r in ipairs(reactions[layer]) do
      if r.provider == group or r.provider == DEFAULT then
        local on = "on " .. (r.text or r.status or tostring(r.code))
        local does = r.action .. " " .. r.seconds .. " s" .. (r.rate and " at " .. r.rate or "")
          .. (r.connections and " on " .. r.connections .. (r.connections == 1 and " connection" or " connections") or "")
        rows[#rows + 1] = row(on, does, r.from, r.provider)
      end
    end
  end
  return rows
end

require "stdlib.data.shaping" (function(entry) set("shipped", entry, 2) end, function(entry) react("shipped", entry, 2) end)

return shaping
