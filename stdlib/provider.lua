-- SPDX-License-Identifier: MIT
-- provider: whose mail service a recipient's domain uses: "google", "microsoft", "yahoo", ..., or "other".
--
--   provider.of(domain)          asks DNS where it must; suspends the hook    -> group, how
--   provider.by_domain(domain)   only the well-known domains                  -> group or nil
--   provider.by_mx(hosts)        from what dns.mx gave                        -> group, how
--   provider.exists(group), provider.groups(), provider.show(group)
--   provider.define{ name =, domains = {}, mx = {}, source = }    a group of your own, or more of a shipped one; while loading
--
-- Thousands of domains are one provider with one opinion of us, so limits, warmup and shaping go by provider. The data is
-- in data/providers.lua, each entry with its source and date.
--
-- The rule for domains whose MX hosts are of several groups: the hosts of the best preference decide, and if they differ
-- among themselves the domain is "other". Mail goes to the best preference as long as it answers, so a foreign backup MX
-- (or a mailbox provider behind a filtering service) does not change whose rules apply.
--
-- A domain that cannot be looked up is "other" for now; `how` says so ("dns: ...").
local fact = require "fact"
local note = require("core.note").add -- nil unless somebody wants to see how an answer came about

local provider = {}

local OTHER = "other"
local groups = { [OTHER] = true } -- name -> true
local domains, suffixes = {}, {} -- name -> { group =, from = }

-- Lower case, without dots at the ends: ".Google.com." and "google.com" are the same suffix.
local function normal(name) return (name:lower():gsub("^%.+", ""):gsub("%.+$", "")) end
provider.normal = normal

local SHAPE = fact.shape { name = "string", domains = "?table", mx = "?table" }

local function check_names(into, kind, names, group, layer, level, what)
  for i, name in ipairs(names) do
    if type(name) ~= "string" or not normal(name):match("^[%w%-_%.]+$") then
      fact.refuse(level + 1, "%s: %s[%d]: a domain name is expected", what, kind, i)
    end
    local was = into[normal(name)]
    if was and was.group ~= group and was.from.layer == layer then
      fact.refuse(level + 1, "%s: %s: '%s' is in group '%s' already (%s)", what, kind, normal(name), was.group, was.from.where)
    end
  end
end

local function add(into, names, group, from)
  for _, name in ipairs(names) do into[normal(name)] = { group = group, from = from } end
end

local function define(layer, entry, level)
  fact.check_fields(entry, SHAPE, level + 1, "provider.define")
  local what = "provider.define: '" .. entry.name .. "'"
  if not entry.name:match("^[%l%d_%-]+$") then
    fact.refuse(level + 1, "%s: a name of lower-case letters, digits, '-' and '_' is expected", what)
  end
  if entry.name == OTHER then fact.refuse(level + 1, "%s: this is whoever has no group", what) end
  local names, hosts = entry.domains or {}, entry.mx or {}
  if #names + #hosts == 0 then fact.refuse(level + 1, "%s: neither domains nor mx", what) end
  local from = fact.check(entry, layer, level + 1, what)
  check_names(domains, "domains", names, entry.name, layer, level + 1, what)
  check_names(suffixes, "mx", hosts, entry.name, layer, level + 1, what)
  groups[entry.name] = true
  add(domains, names, entry.name, from)
  add(suffixes, hosts, entry.name, from)
end

function provider.define(entry) define("operator", entry, 2) end

-- A domain listed by name; subdomains are domains of their own.
function provider.by_domain(domain)
  local found = domains[domain]
  return found and found.group
end

-- The group of one host: its name or the longest of its parents that is listed.
function provider.by_host(host)
  local name = normal(host)
  while name do
    local found = suffixes[name]
    if found then return found.group end
    name = name:match("%.(.+)$")
  end
end

function provider.by_mx(hosts)
  local best = hosts[1]
  if not best or best.host == "" then return OTHER, "takes no mail" end -- RFC 7505
  local group = provider.by_host(best.host)
  for i = 2, #hosts do
    if hosts[i].preference > best.preference then break end
    if provider.by_host(hosts[i].host) ~= group then return OTHER, "mx of several providers" end
  end
  return group or OTHER, "mx " .. normal(best.host)
end

local function look_up(domain)
  local known = provider.by_domain(domain)
  if known then return known, "known domain" end
  if domain == "" or domain:sub(1, 1) == "[" then return OTHER, "no domain" end
  local hosts, why = dns.mx(domain)
  if hosts and #hosts > 0 then return provider.by_mx(hosts) end
  return OTHER, hosts and "no mx" or "dns: " .. why
end

function provider.of(domain)
  local group, how = look_up(normal(domain))
  if note then note("provider", { domain = normal(domain), group = group, how = how }) end
  return group, how
end

function provider.exists(name) return groups[name] ~= nil end

function provider.groups()
  local names = {}
  for name in pairs(groups) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Rows of { kind = "domain" or "mx", name, layer, source, date, grade, where }: those that are in force.
function provider.show(group)
  if not groups[group] then error("provider.show: there is no group '" .. tostring(group) .. "'", 2) end
  local rows = {}
  for kind, names in pairs { domain = domains, mx = suffixes } do
    for name, at in pairs(names) do
      if at.group == group then
        local f = at.from
        rows[#rows + 1] = { kind = kind, name = name, layer = f.layer, source = f.source, date = f.date, grade = f.grade,
          where = f.where }
      end
    end
  end
  table.sort(rows, function(a, b) return a.kind .. a.name < b.kind .. b.name end)
  return rows
end

require "stdlib.data.providers" (function(entry) define("shipped", entry, 2) end)

return provider
