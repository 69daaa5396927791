-- SPDX-License-Identifier: MIT
-- fact: what a number that somebody published must say of itself, and how a layer of such numbers is read.
--
-- Providers change their limits without asking. A number without its source and date cannot be checked by the next reader,
-- so the tables of this library are made of entries that say both, and an entry that does not is refused where it stands:
--
--   stdlib/data/shaping.lua:41: shaping.set: 'google': source is missing
--
--   source   who says so: a page, a file, "measured by us"
--   date     when it was read: "2026-11" or "2026-11-20"
--   grade    "vendor" (its own documentation), "second-hand" (others report it), "cited" (often repeated, not confirmed),
--            "own" (the operator's; the default there, and then the date may be left out)
--
-- Layers: what ships is "shipped", what policy.lua adds is "operator" and stands above it.
local fact = {}

local GRADES = { vendor = true, ["second-hand"] = true, cited = true, own = true }

-- The place "policy.lua:41" of a caller: level 1 is who calls fact.where, 2 its caller.
function fact.where(level)
  local _, place = pcall(error, "", level + 2) -- error itself and pcall are levels of their own
  return (place:gsub(":%s*$", ""))
end

-- Raises with the place of a caller (level as above) before the words.
function fact.refuse(level, text, ...)
  if select("#", ...) > 0 then text = text:format(...) end
  error(text, level + 1)
end

local function list_of(names)
  local sorted = {}
  for name in pairs(names) do sorted[#sorted + 1] = name end
  table.sort(sorted)
  return table.concat(sorted, ", ")
end
fact.list_of = list_of

local function check_kind(entry, name, kind, level, what)
  local value = entry[name]
  local optional = kind:sub(1, 1) == "?"
  if optional then kind = kind:sub(2) end
  if value == nil then
    if not optional then fact.refuse(level + 1, "%s: %s is missing", what, name) end
  elseif kind == "integer" then
    if math.type(value) ~= "integer" or value < 1 then
      fact.refuse(level + 1, "%s: %s: a whole number from 1 is expected", what, name)
    end
  elseif kind ~= "any" and type(value) ~= kind then
    fact.refuse(level + 1, "%s: %s: a %s is expected, not a %s", what, name, kind, type(value))
  end
end

-- An entry has only the fields of `shape`: name -> kind, with "?" before it where it may be left out.
function fact.check_fields(entry, shape, level, what)
  if type(entry) ~= "table" then fact.refuse(level + 1, "%s: a table of fields is expected", what) end
  for name in pairs(entry) do
    if not shape[name] then
      fact.refuse(level + 1, "%s: unknown field '%s' (known: %s)", what, tostring(name), list_of(shape))
    end
  end
  for name, kind in pairs(shape) do check_kind(entry, name, kind, level + 1, what) end
end

fact.SHAPE = { source = "any", date = "any", grade = "any" } -- to be merged into a shape; fact.check looks closer

local function is_date(text)
  return type(text) == "string" and (text:match("^%d%d%d%d%-%d%d$") or text:match("^%d%d%d%d%-%d%d%-%d%d$")) ~= nil
end

-- Where an entry comes from, as { layer, source, date, grade, where }.
function fact.check(entry, layer, level, what)
  local own = layer == "operator"
  local source, date, grade = entry.source, entry.date, entry.grade or (own and "own") or nil
  if type(source) ~= "string" or source == "" then fact.refuse(level + 1, "%s: source is missing", what) end
  if date == nil and grade == "own" then date = "" end
  if date == nil then fact.refuse(level + 1, "%s: date is missing", what) end
  if date ~= "" and not is_date(date) then
    fact.refuse(level + 1, "%s: date: '2026-11' or '2026-11-20' is expected", what)
  end
  if not GRADES[grade] then
    fact.refuse(level + 1, "%s: grade: one of %s is expected", what, list_of(GRADES))
  end
  return { layer = layer, source = source, date = date, grade = grade, where = fact.where(level + 1) }
end

-- A shape with the fields of a fact added.
function fact.shape(fields)
  for name in pairs(fact.SHAPE) do fields[name] = "?any" end
  return fields
end

return fact
