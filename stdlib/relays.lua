-- SPDX-License-Identifier: MIT
-- relays: ways out through well-known services, with the limits they publish.
--
--   local ses = relays.ses { region = "eu-west-1", user = "AKIA...", password = "...", per_day = 50000, per_second = 14 }
--   local box = relays.gmail_mailbox { user = "alice@example.com", token = "..." }
--
--   return route.send { via = ses.via, tls = ses.tls, lane = ses.lane, spend = ses.limits() }
--
-- Presets: gmail_relay, gmail_mailbox, microsoft365, ses, sendgrid, mailgun, postmark. Each takes `user` and `password`, `xoauth2` (as
-- route.relay's login has it) or `token`, or `login` (what route.relay takes); `name` (of the accounts its limits are counted on, by
-- default the preset and the user); what is listed with it in relays.show; and gives
--
--   via       for route.send
--   tls       the TLS it asks for: always verified
--   lane      its connections and messages for each
--   limits()  its published limits as a list for `spend`, a fresh one each time; a refusal for a quota uses them up (exhausted_by = "quota")
--   preset    the name of the preset
--
-- The limits are counted by our ledger, so that they are kept before the service has to refuse. A quota that the service sets
-- for each account (SES) has no number here: give per_day and per_second as your console shows them. `quota` replaces published numbers:
-- { messages_day = 500 } for a trial account; false drops one.
local fact = require "fact"
local route = require "route"

local relays = {}

local presets = {} -- name -> entry
local PER = { second = "per_second", minute = "per_minute", hour = "per_hour", day = "per_day" }

local PRESET = fact.shape { name = "string", host = "string", port = "integer", transport = "string", region = "?table",
  user = "?string", connections = "?integer", per_connection = "?integer", quotas = "?table", needs_login = "?boolean", note = "?string" }
local QUOTA = fact.shape { name = "string", n = "integer", window = "any", per = "string", unless = "?string" }

local function read_quota(quota, level, what)
  fact.check_fields(quota, QUOTA, level + 1, what)
  if not PER[quota.window] and math.type(quota.window) ~= "integer" then
    fact.refuse(level + 1, "%s: window: second, minute, hour, day or a number of seconds is expected", what)
  end
  local from = fact.check(quota, "shipped", level + 1, what)
  return { name = quota.name, n = quota.n, window = quota.window, per = quota.per, from = from }
end

local function define(entry, level)
  fact.check_fields(entry, PRESET, level + 1, "relays.define")
  local what = "relays.define: '" .. entry.name .. "'"
  entry.from = fact.check(entry, "shipped", level + 1, what)
  local quotas = {}
  for i, quota in ipairs(entry.quotas or {}) do quotas[i] = read_quota(quota, level + 1, what .. ": quotas[" .. i .. "]") end
  entry.quotas = quotas
  presets[entry.name] = entry
end

local function limit_of(key, quota)
  local limit = require "limit"
  local o = { per = quota.per, exhausted_by = "quota" }
  key = key .. "/" .. quota.name
  if math.type(quota.window) == "integer" then return limit.rolling(key, quota.n, quota.window, o) end
  return limit[PER[quota.window]](key, quota.n, o)
end

local function login_of(o, preset, level)
  if o.login then return o.login end
  local user = o.user or preset.user
  if not (o.password or o.token or o.xoauth2) then
    if preset.needs_login or user then fact.refuse(level + 1, "relays.%s: password, xoauth2 or token is missing", preset.name) end
    return nil
  end
  if not user then fact.refuse(level + 1, "relays.%s: user is missing", preset.name) end
  return { user = user, password = o.password, token = o.token, xoauth2 = o.xoauth2 }
end

local function quotas_of(o, preset, level)
  local list, own = {}, o.quota or {}
  local names = {}
  for _, quota in ipairs(preset.quotas) do
    names[quota.name] = true
    local n = own[quota.name]
    if n == nil then n = quota.n end
    if n then list[#list + 1] = { name = quota.name, n = n, window = quota.window, per = quota.per } end
  end
  for name in pairs(own) do
    if not names[name] then fact.refuse(level + 1, "relays.%s: quota: there is no '%s' (known: %s)", preset.name, name, fact.list_of(names)) end
  end
  if o.per_day then list[#list + 1] = { name = "own_day", n = o.per_day, window = "day", per = o.per or "recipient" } end
  if o.per_second then list[#list + 1] = { name = "own_second", n = o.per_second, window = "second", per = o.per or "recipient" } end
  return list
end

local function host_of(o, preset, level)
  if not preset.region then return o.host or preset.host end
  local region = o.region or preset.region.default
  if type(region) ~= "string" or not region:match("^[%w%-]+$") then
    fact.refuse(level + 1, "relays.%s: region is missing (known: %s)", preset.name, preset.region.known)
  end
  local host = preset.region[region] or preset.region.pattern and preset.region.pattern:gsub("REGION", region)
  if not host then fact.refuse(level + 1, "relays.%s: there is no region '%s' (known: %s)", preset.name, region, preset.region.known) end
  return o.host or host
end

local USE = { user = "?string", password = "?string", token = "?string", xoauth2 = "?table", login = "?any", name = "?string", region = "?string",
  host = "?string", port = "?integer", per_day = "?integer", per_second = "?integer", per = "?string", quota = "?table",
  connections = "?integer", per_connection = "?integer" }

local function use(preset, o, level)
  fact.check_fields(o, USE, level + 1, "relays." .. preset.name)
  local login = login_of(o, preset, level + 1)
  local quotas = quotas_of(o, preset, level + 1)
  local key = "relay/" .. (o.name or preset.name .. "/" .. (login and login.user or o.user or "open"))
  local made
  return {
    preset = preset.name,
    key = key,
    via = route.relay { host = host_of(o, preset, level + 1), port = o.port or preset.port, tls = preset.transport, login = login },
    tls = "verify",
    lane = { connections = o.connections or preset.connections, per_connection = o.per_connection or preset.per_connection },
    limits = function()
      if not made then
        made = {}
        for i, quota in ipairs(quotas) do made[i] = limit_of(key, quota) end
      end
      return table.move(made, 1, #made, 1, {}) -- whoever adds to it adds to his own
    end,
  }
end

-- Rows of what ships with a preset: { name, value, source, date, grade, where }.
function relays.show(name)
  local p = presets[name]
  if not p then error("relays.show: there is no preset '" .. tostring(name) .. "' (known: " .. fact.list_of(presets) .. ")", 2) end
  local rows = {}
  local function add(what, value, f)
    if value ~= nil then
      rows[#rows + 1] = { name = what, value = value, source = f.source, date = f.date, grade = f.grade, where = f.where }
    end
  end
  add("host", p.host, p.from)
  add("port", p.port, p.from)
  add("tls", p.transport, p.from)
  add("connections", p.connections, p.from)
  add("per_connection", p.per_connection, p.from)
  for _, quota in ipairs(p.quotas) do
    add("quota " .. quota.name, quota.n .. " " .. quota.per .. "s per " .. quota.window, quota.from)
  end
  return rows
end

function relays.names()
  local names = {}
  for name in pairs(presets) do names[#names + 1] = name end
  table.sort(names)
  return names
end

require "stdlib.data.relays" (function(entry) define(entry, 2) end)
for name, preset in pairs(presets) do
  relays[name] = function(o)
    local made = use(preset, o, 2) -- not a tail call: the line that is blamed for a mistake is counted from here
    return made
  end
end

return relays
