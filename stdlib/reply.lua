-- SPDX-License-Identifier: MIT
-- reply: what a refusal means, and whose fault it is.
--
--   reply.classify(outcome)       -> verdict, a plain table
--   reply.retry(message, recipient, outcome)     the retry hook made of it
--   reply.hook { elsewhere = true, ladder = { 300, 3600 }, suppress = suppression.bounces {} }      ... with other manners:
--                                                another identity at once, where route has one; steps; what a bounce adds
--                                                to the list. tally = warmup.bounces { ... }: where what blames the recipient counts as a bounce
--   SPF, DKIM and DMARC refusals pause the identity for an hour, with an event and a warning: `tidegate lane resume --identity NAME` once
--   it is mended. { pause = "6h" }, or false: it goes on.
--   The lane reacts as shaping says (shaping.react): it rests or slows down for what the peer said. { react = false }: it does not.
--   Limits that say what uses them up, { exhausted_by = "quota" } or "standing", are full from the refusal until it is time to try
--   again, for all messages: route.first passes over that identity meanwhile (relays, warmup and shaping name theirs so).
--
--   reply.last(recipient)         -> the verdict on its last attempt, for route
--   reply.exhausted(recipient)    -> the name of the identity to avoid now, for a pool's `avoid`, or nil
--   reply.define { class =, text =, source = }   a rule of your own, above the shipped ones; while the scripts load
--   reply.show()                                 all rules in the order they are tried
--
-- A verdict:
--
--   fault      "recipient"      this mailbox: unknown, full, closed
--              "content"        this message: size, spam, virus, form
--              "identity"       our standing: blocked address, too many complaints
--              "quota"          what this identity may send in a window is used up
--              "configuration"  SPF, DKIM, DMARC, TLS, login, relay permission: ours to mend
--              "network"        nobody answered, or not now: the way out, not the mail
--              "unknown"
--   class      what exactly: "mailbox_unknown", "quota_day", "dmarc", ... (each rule has one)
--   permanent  asking again about this recipient with this message cannot help
--   wait       seconds until it is worth asking again, where the rule knows
--   free_at    quota: when the window has certainly passed (now + window)
--   blame      is it the mailbox itself that is dead?
--   rule       the rule's place, "stdlib/data/replies.lua:31", or "RFC 3463 x.7", "code"
--   source, date, grade, layer    of the rule
--
-- Several providers refuse with 5xx what is only our quota. Such a verdict (fault "quota", "identity", "configuration")
-- says nothing about the recipient: it must not enter a suppression list, a bounce rate or the recipient's attempts.
-- reply.blames_recipient(verdict) says which may.
--
-- Unknown replies fall back to the enhanced status code (RFC 3463), then to the reply code and the stage it came at.
local fact = require "fact"
local provider = require "provider"
local retry = require "retry"
local shaping = require "shaping"

local reply = {}

local FAULTS = { recipient = true, content = true, identity = true, quota = true, configuration = true, network = true,
  unknown = true }
local rules = { operator = {}, shipped = {} }

local SHAPE = fact.shape { class = "string", fault = "string", codes = "?table", status = "?table", text = "?string",
  peer = "?string", stage = "?table", permanent = "?boolean", wait = "?integer", window = "?integer", via = "?string",
  blame = "?boolean", note = "?string" }

local function set_of(list)
  if not list then return nil end
  local set = {}
  for _, value in ipairs(list) do set[value] = true end
  return set
end

local function define(layer, entry, level)
  fact.check_fields(entry, SHAPE, level + 1, "reply.define")
  local what = "reply.define: '" .. entry.class .. "'"
  if not FAULTS[entry.fault] then
    fact.refuse(level + 1, "%s: fault: one of %s is expected", what, fact.list_of(FAULTS))
  end
  if not (entry.codes or entry.status or entry.text) then
    fact.refuse(level + 1, "%s: neither codes, status nor text to know the reply by", what)
  end
  local from = fact.check(entry, layer, level + 1, what)
  local pattern
  if entry.text then
    local ok, made = pcall(re.compile, entry.text, "i")
    if not ok then fact.refuse(level + 1, "%s: text: %s", what, made) end
    pattern = made
  end
  local list = rules[layer]
  list[#list + 1] = { class = entry.class, fault = entry.fault, codes = set_of(entry.codes), status = set_of(entry.status),
    stage = set_of(entry.stage), pattern = pattern, peer = entry.peer, permanent = entry.permanent, wait = entry.wait,
    via = entry.via, blame = entry.blame, window = entry.window, text = entry.text, note = entry.note, from = from }
end

function reply.define(entry) define("operator", entry, 2) end

-- The host of "smtp.example.net [192.0.2.1]:587" or of its plain name.
local function host_of(peer)
  local host = (peer or ""):match("^[^%s%[]+") or ""
  return (host:gsub(":%d+$", ""):gsub("%.$", ""):lower())
end

local function is_below(host, suffix) return host == suffix or host:sub(-#suffix - 1) == "." .. suffix end

-- Status codes are compared without their class: 4.7.26 and 5.7.26 are one subject.
local function subject_of(status) return status and status:match("^%d%.(%d+%.%d+)$") end

-- What is in an address says nothing about the mail: <nospam@blocked.example> is a name.
local ADDRESS = re.compile [[<?[\w.+=-]+@[\w-]+(?:\.[\w-]+)*>?]]
local function without_addresses(text) return (ADDRESS:gsub(text, "<>")) end

local function fits(rule, outcome, subject, host, text)
  if rule.codes and not rule.codes[outcome.code] then return false end
  if rule.status and not rule.status[subject or ""] and not rule.status[outcome.status or ""] then return false end
  if rule.stage and not rule.stage[outcome.stage] then return false end
  if rule.peer and not is_below(host, rule.peer) then return false end
  if rule.via and rule.via ~= outcome.via then return false end
  return not rule.pattern or rule.pattern:find(text) ~= nil
end

-- RFC 3463 section 3, by subject and detail: the fault where no rule of a provider says more.
local SUBJECT = { -- "x.1" is for all details that are not listed
  ["1"] = { "recipient", "address" }, ["1.7"] = { "content", "sender_address" }, ["1.8"] = { "configuration", "sender_domain" },
  ["2"] = { "recipient", "mailbox" }, ["2.1"] = { "recipient", "mailbox_closed" }, ["2.2"] = { "recipient", "mailbox_full" }, ["2.3"] = { "content", "too_large" },
  ["3"] = { "network", "mail_system" }, ["3.4"] = { "content", "too_large" },
  ["4"] = { "network", "routing" },
  ["5"] = { "unknown", "protocol" },
  ["6"] = { "content", "media" },
  ["7"] = { "unknown", "policy" }, ["7.8"] = { "configuration", "login" }, ["7.9"] = { "configuration", "login" },
}
local BY_STAGE = { dns = "network", connect = "network", tls = "network", greeting = "network", ehlo = "network", lane = "network",
  auth = "configuration", rcpt = "recipient", content = "content" }
local LOGIN = { [530] = true, [534] = true, [535] = true, [538] = true } -- RFC 4954 section 6

-- Codes alone blame nobody: 550 at RCPT is said of block lists, too. But x.2.1 is a mailbox that is closed.
local CLOSED = { mailbox_closed = true }

local function verdict(outcome, fault, class, rule)
  local permanent = outcome.permanent
  if permanent == nil then permanent = outcome.code >= 500 and BY_STAGE[outcome.stage] ~= "network" end
  return { fault = fault, class = class, rule = rule, permanent = permanent, blame = CLOSED[class] == true, source = rule, date = "", grade = "", layer = "rfc" }
end

local function by_standard(outcome, subject)
  if outcome.from_peer == false then
    local fault = BY_STAGE[outcome.stage] or "unknown"
    return verdict(outcome, fault, outcome.stage or "local", "our own words")
  end
  if LOGIN[outcome.code] then return verdict(outcome, "configuration", "login", "RFC 4954 section 6") end
  if subject then
    local known = SUBJECT[subject] or SUBJECT[subject:match("^%d+")]
    if known then return verdict(outcome, known[1], known[2], "RFC 3463 x." .. subject) end
  end
  if outcome.code == 421 then return verdict(outcome, "network", "closing", "code 421") end
  return verdict(outcome, BY_STAGE[outcome.stage] or "unknown", "code_" .. outcome.code, "code " .. outcome.code)
end

local LAYERS = { "operator", "shipped" }

local function find_rule(outcome, subject)
  if outcome.from_peer == false then return nil end
  local said = outcome.text or ""
  local texts = { operator = said, shipped = without_addresses(said) }
  local host = host_of(outcome.peer)
  for _, layer in ipairs(LAYERS) do
    for _, rule in ipairs(rules[layer]) do
      if fits(rule, outcome, subject, host, texts[layer]) then return rule end
    end
  end
end

-- `outcome` is the retry hook's, or a plain table of the same names, of which only `code` is needed.
function reply.classify(outcome)
  local subject = subject_of(outcome.status)
  local rule = find_rule(outcome, subject)
  if not rule then return by_standard(outcome, subject) end
  local permanent = rule.permanent
  if permanent == nil then permanent = (rule.fault == "recipient" or rule.fault == "content") and outcome.code >= 500 end
  return { fault = rule.fault, class = rule.class, permanent = permanent, wait = rule.wait or rule.window, window = rule.window, blame = rule.blame ~= false,
    free_at = rule.window and clock.now() + rule.window or nil, rule = rule.from.where, note = rule.note,
    source = rule.from.source, date = rule.from.date, grade = rule.from.grade, layer = rule.from.layer }
end

-- May this verdict touch the recipient's record (suppression, bounce rate)? A full mailbox is emptied one day.
-- Nor does one who takes mail from some only, a domain that is not there today, or a refusal that nobody has words for.
function reply.blames_recipient(v) return v.fault == "recipient" and v.permanent and v.blame end

-- The verdict on what came of the last attempt for this recipient (route's second argument), or nil before the first.
function reply.last(recipient)
  local last = recipient.last
  local said = last and last.reply
  if not (said and said.code) then return nil end
  return reply.classify { code = said.code, status = said.status, text = said.text, stage = last.stage, peer = last.peer,
    from_peer = not last["local"] }
end

-- The name of the identity whose last attempt for this recipient failed through no fault of recipient or content: the one that a
-- pool should avoid now. Anything else (greylisting above all) is better tried again as the same.
function reply.exhausted(recipient)
  local v = reply.last(recipient)
  local ours = v and (v.fault == "quota" or v.fault == "identity" or v.fault == "configuration")
  return ours and recipient.last.identity or nil
end

function reply.show()
  local rows = {}
  for _, layer in ipairs(LAYERS) do
    for _, r in ipairs(rules[layer]) do
      rows[#rows + 1] = { class = r.class, fault = r.fault, text = r.text, window = r.window, wait = r.wait, layer = layer,
        source = r.from.source, date = r.from.date, grade = r.from.grade, where = r.from.where }
    end
  end
  return rows
end

-- ---- the retry hook

-- Wait for the window, but look in between: a rolling window frees little by little, and an operator may raise the cap.
local LOOK_AGAIN = 900
local MEND = 1800      -- configuration: somebody has to do something first
local ELSEWHERE_ONCE = 300
local HOUR = 3600
local SOON_AGAIN = 3   -- attempts that a short wait is kept up for; who still says "soon" then is asked by the ladder

local function fits_lifetime(outcome, seconds)
  if not outcome.expires_at then return seconds end
  local left = math.floor(outcome.expires_at - clock.now()) - 30
  return math.max(1, math.min(seconds, left))
end

local function spread(message, recipient, seconds)
  local sum = crypto.sha256(message.id .. "/" .. recipient.number .. "/wait")
  return math.max(1, math.floor(seconds * (1 + 0.1 * sum:byte(1) / 255)))
end

local function is_over(outcome) return outcome.expires_at and outcome.expires_at - clock.now() < 60 end

-- What events say it was taken for.
local function about_of(v) return { fault = v.fault, class = v.class } end

local function wait_uncounted(message, recipient, outcome, seconds, why, lane, pause, about)
  return retry.wait(fits_lifetime(outcome, spread(message, recipient, seconds)), why, false, nil, lane, pause, nil, about)
end

-- Seconds until a used-up quota is tried again with one message. A rolling window frees little by little, and the service has counted
-- what we have not: an hour is often enough.
local PROBE = 3600

-- What a limit of the plan may call itself (limit.per_day(key, n, { exhausted_by = "quota" })): by "quota" what the account may send, by
-- "standing" what this identity may send there, by "configuration" a domain's mail. The ledger then lets nothing through until it is time to try again, route.first goes on to
-- the next way, and who has none waits in the queue until that moment.
local BY = { quota = "quota", identity = "standing", configuration = "configuration" }

local function exhaust_of(outcome, v)
  local by = BY[v.fault]
  if not (by and outcome.exhaustible and outcome.exhaustible[by]) then return nil end
  return { by = by, seconds = math.min(v.wait or MEND, v.fault == "quota" and PROBE or math.huge) }
end

-- Without such a limit another way may be open at once all the same, but only one jump: without it two exhausted identities would pass a message to and fro.
local function jumped_lately(recipient)
  local last, at = recipient.last, recipient.last_at
  if not (last and at) or clock.now() - at >= ELSEWHERE_ONCE then return false end
  return last.reply ~= nil and (last.reply.code or 0) >= 400
end

-- What receivers refuse because the sending domain does not prove itself: more of it makes it worse, for all its mail.
local UNPROVEN = { spf = true, dkim = true, dmarc = true }

local function not_theirs(options, message, recipient, outcome, v, lane)
  local why = v.fault .. ": " .. v.class .. " (" .. v.rule .. ")"
  local about = about_of(v)
  if is_over(outcome) then return retry.give_up("expired while waiting; " .. why, nil, nil, lane, nil, nil, about) end
  local exhaust = exhaust_of(outcome, v)
  local pause = options.pause and UNPROVEN[v.class] and options.pause or nil
  if exhaust then return retry.elsewhere(why, false, nil, exhaust, lane, pause, nil, about) end
  if options.elsewhere and not jumped_lately(recipient) then return retry.elsewhere(why, false, nil, nil, lane, pause, nil, about) end
  local seconds = v.wait or MEND
  if v.fault == "quota" then seconds = math.min(v.wait or LOOK_AGAIN, LOOK_AGAIN) end
  return wait_uncounted(message, recipient, outcome, seconds, why, lane, pause, about)
end

-- What the lane is to do about it. A relay's customers are not the relay: for its words only the rules for everyone hold.
-- A used-up quota is the account's, not the way's: limits see to it.
local function lane_of(options, recipient, outcome, v)
  if not options.react or outcome.from_peer == false or v.fault == "quota" then return nil end
  local group
  if outcome.via == "direct" then
    -- The host that spoke says whose it is: no DNS is asked again.
    group = provider.by_domain(recipient.domain) or provider.by_host((outcome.peer or ""):match("^[^%s%[]+") or "")
  end
  group = group or "default"
  local reaction = shaping.reaction(group, outcome)
  return reaction and reaction.lane
end

local function decide(options, message, recipient, outcome)
  local v = reply.classify(outcome)
  local lane = lane_of(options, recipient, outcome, v)
  if v.fault == "quota" or v.fault == "configuration" or v.fault == "identity" then
    return not_theirs(options, message, recipient, outcome, v, lane)
  end
  if v.permanent then
    local entry = options.suppress and reply.blames_recipient(v) and options.suppress(message, recipient, outcome, v) or nil
    local tally = options.tally and reply.blames_recipient(v) and options.tally(message, recipient, outcome) or nil
    return retry.give_up(v.fault .. ": " .. v.class .. " (" .. v.rule .. ")", nil, entry, lane, tally, nil, about_of(v))
  end
  local patient = v.wait and (v.wait >= HOUR or (outcome.attempt or 1) <= SOON_AGAIN)
  if patient and not is_over(outcome) then
    return retry.wait(fits_lifetime(outcome, spread(message, recipient, v.wait)), v.fault .. ": " .. v.class, nil, nil, lane, nil, nil, about_of(v))
  end
  return options.climb(message, recipient, outcome, lane, about_of(v))
end

function reply.hook(options)
  fact.check_fields(options, { elsewhere = "?boolean", ladder = "?table", suppress = "?function", tally = "?function", react = "?boolean", pause = "?any" }, 2, "reply.hook")
  local own = { elsewhere = options.elsewhere, suppress = options.suppress, tally = options.tally, react = options.react ~= false, pause = options.pause == nil and "1h" or options.pause, climb = options.ladder and retry.ladder(options.ladder) or retry.default }
  return function(message, recipient, outcome) return decide(own, message, recipient, outcome) end
end

reply.retry = reply.hook {}

local function ship(entry, level) define("shipped", entry, level or 2) end
require "stdlib.data.replies" (ship)
require "stdlib.data.reply_words" (ship)

return reply
