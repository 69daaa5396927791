-- SPDX-License-Identifier: MIT
-- returned: what to make of mail that comes back: bounces, complaints, unsubscriptions (`tidegate classify` asks).
--
--   returned.rules {                          while the scripts load; what is not said stays as it is
--     complaint = { scope = "stream:news" },  the entry a complaint adds to the suppression list; false: none
--     unsubscribe = { scope = "all", expires = 3 * 365 * 86400 },
--     types = { abuse = true, fraud = true }, which feedback types (RFC 5965 section 7.3) are a complaint of the recipient's
--   }
--
-- A rule may be a function(report, recipient) that returns { scope, reason, expires_s } or nil; report is { kind, feedback_type, sender, source_ip,
-- reported_domain }, recipient { address, code, status, text, stage, peer, from_peer }. What a bounce adds is not said here: the policy's
-- retry hook is asked, as after an attempt of our own (reply.hook { suppress = suppression.bounces {} }).
local describe = require "core.describe"
local fact = require "fact"
local reply = require "reply"

local returned = {}

local rules = { complaint = { scope = "all" }, unsubscribe = { scope = "all" },
  types = { abuse = true, fraud = true, ["opt-out"] = true, ["opt-out-list"] = true } }

local SHAPE = fact.shape { complaint = "?any", unsubscribe = "?any", types = "?table" }

function returned.rules(options)
  fact.check_fields(options, SHAPE, 2, "returned.rules")
  for name, rule in pairs(options) do
    local is_rule = type(rule) == "function" or type(rule) == "table" or rule == false
    if not is_rule then fact.refuse(2, "returned.rules: %s: a table, a function or false is expected", name) end
    rules[name] = rule
  end
end

-- A complaint about spam is one; that a message was no spam, or failed authentication, is news for us and nobody's wish.
local function is_wish(report)
  return report.kind == "unsubscribe" or (report.kind == "complaint" and rules.types[(report.feedback_type or ""):lower()])
end

local function entry_for(report, recipient)
  local rule = is_wish(report) and rules[report.kind]
  if type(rule) == "function" then return rule(report, recipient) end
  if not rule then return nil end
  local what = report.kind == "complaint" and "complained: " .. report.feedback_type or "unsubscribed by mail"
  return { scope = rule.scope or "all", reason = rule.reason or what, expires_s = rule.expires }
end

local function verdict_on(recipient)
  local v = reply.classify { code = recipient.code, status = recipient.status, text = recipient.text, stage = recipient.stage,
    peer = recipient.peer, from_peer = recipient.from_peer }
  return { fault = v.fault, class = v.class, permanent = v.permanent, wait = v.wait, rule = v.rule, source = v.source, date = v.date,
    blames_recipient = reply.blames_recipient(v) }
end

describe.add("returned", function(report)
  local list = {}
  for i, recipient in ipairs(report.recipients or {}) do
    list[i] = { verdict = recipient.code and verdict_on(recipient) or nil, suppress = entry_for(report, recipient) }
  end
  return list
end)

return returned
