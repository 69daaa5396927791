-- SPDX-License-Identifier: MIT
-- suppression: who must not be written to: the list, how a policy asks it before every attempt, and what a bounce adds to it.
--
--   suppression.has(address, { stream = "news", identity = "acme" })    the entry in force, or nil
--   suppression.check(message, recipient, { identity = acme })          a plan that refuses, or nil
--   suppression.guard(route)                                            the same, around a whole route hook
--   suppression.bounces{ scope = "stream" }                             a rule for retry.ladder{ suppress = ... }
--
--   return {
--     route = suppression.guard(route),
--     retry = retry.ladder { 300, 3600, suppress = suppression.bounces {} },
--   }
--
-- An entry has a scope: "all", "stream:NAME" (mail whose tag `stream` says NAME) or "identity:NAME" (mail sent as NAME).
-- "@example.net" on the list stands for everybody there. Operators add, remove and import with `tidegate suppression`.
local core = require "core.suppression"
local reply = require "reply"
local route = require "route"

local suppression = { has = core.has }

-- The stream a message belongs to is what its tag `stream` says, where that can be a name.
local function stream_of(message)
  local stream = message.tags.stream
  local is_name = type(stream) == "string" and #stream <= 100 and not stream:find("%c")
  return is_name and stream ~= "" and stream or nil
end

local function name_of(identity)
  return type(identity) == "userdata" and identity.name or identity
end

local function words(entry)
  local because = "on the suppression list"
  if entry.address:sub(1, 1) == "@" then because = because .. " with all of " .. entry.address end
  if entry.scope ~= "all" then because = because .. " for " .. entry.scope end
  if entry.reason ~= "" then because = because .. ": " .. entry.reason end
  return because
end

-- nil, or route.suppress(...) for a recipient who is on the list. where: `stream` (default: the message's tag), `identity` (one
-- made by identity.define, or its name), `reply` (default 550 5.7.1).
function suppression.check(message, recipient, where)
  where = where or {}
  local entry = core.has(recipient.address, {
    stream = where.stream or stream_of(message),
    identity = name_of(where.identity),
  })
  return entry and route.suppress(words(entry), where.reply)
end

-- A route hook that asks the list first. where: as above, or a function(message, recipient) that returns it.
function suppression.guard(hook, where)
  if type(hook) ~= "function" then error("suppression.guard: the route hook is expected, a function", 2) end
  return function(message, recipient)
    local here = where
    if type(where) == "function" then here = where(message, recipient) end
    return suppression.check(message, recipient, here) or hook(message, recipient)
  end
end

-- ---- what a bounce adds

-- Enhanced codes (RFC 3463) by which the recipient's own server says that this mailbox is none: does not exist, is no
-- address, has moved without a forwarding address, is disabled. Not among them: 5.1.2 and 5.1.10, which speak of the domain
-- and are often a fault of its DNS; 5.2.2, a full mailbox; 5.7.x, which speak of us.
-- Some say these codes of full mailboxes or of us, and many say "unknown user" without one: `reply` knows by the words.
suppression.HARD = { "5.1.1", "5.1.3", "5.1.6", "5.2.1" }

-- Ways on which the one who answers is the recipient's own server. A relay's refusal may be about our account there.
suppression.WAYS = { "direct" }

local KNOWN = { scope = true, codes = true, ways = true, expires = true }

local function set_of(list, field)
  if type(list) ~= "table" then error("suppression.bounces: " .. field .. ": a list is expected", 3) end
  local set = {}
  for _, value in ipairs(list) do
    set[value] = true
  end
  return set
end

-- "stream" and "identity" are those of the message at hand; without one of that kind the entry is for all.
local function scope_for(scope, message, outcome)
  local name
  if scope == "stream" then name = stream_of(message) end
  if scope == "identity" then name = outcome.identity ~= "" and outcome.identity or nil end
  if name then return scope .. ":" .. name end
  return (scope == "stream" or scope == "identity") and "all" or scope
end

-- A rule: function(message, recipient, outcome) that returns what retry.give_up takes as `suppress`, or nil.
-- options: `scope` ("all", "stream", "identity", or a whole scope), `codes` (HARD), `ways` (WAYS), `expires` (never).
function suppression.bounces(options)
  options = options or {}
  for name in pairs(options) do
    if not KNOWN[name] then error("suppression.bounces: unknown field '" .. tostring(name) .. "'", 2) end
  end
  local codes = set_of(options.codes or suppression.HARD, "codes")
  local by_words = options.codes == nil
  local ways = set_of(options.ways or suppression.WAYS, "ways")
  local scope, expires = options.scope or "all", options.expires
  return function(message, recipient, outcome, verdict) -- reply.hook has a verdict already, retry.ladder has none
    local theirs = outcome.permanent and outcome.from_peer and outcome.stage == "rcpt" and ways[outcome.via]
    if not theirs then return nil end
    local v = verdict or reply.classify(outcome)
    if not reply.blames_recipient(v) then return nil end
    if not (codes[outcome.status] or by_words and v.class == "mailbox_unknown") then return nil end
    return { scope = scope_for(scope, message, outcome), reason = "bounced: " .. outcome.reply, expires = expires }
  end
end

return suppression
