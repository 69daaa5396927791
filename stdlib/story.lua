-- SPDX-License-Identifier: MIT
-- story: the kit for *.story.lua files, in which an operator writes down what the policy ought to do. `tidegate test` tells them.
--
--   local story = require "story"
--   story("a device on the LAN may send, but only as itself", function(t)
--     t:at "2026-03-01 09:00"
--     local s = t:session { client_ip = "10.0.0.7", trusted_network = true }
--     s:sender "boss@acme.example":expect "reject"
--     local m = s:message { from = "printer@acme.example", to = "a@example.net" }
--     m:route():expect { kind = "send", identity = "devices", via = "relay" }
--     m:outcome "450 4.7.1 greylisted":expect { kind = "wait", wait = story.between(200, 400) }
--   end)
--
-- Every story begins on a fresh stage: the policy newly loaded, the clock at 2026-01-05 09:00 UTC (a Monday), nothing in DNS. The
-- hooks that answer here are those that answer live mail; stdlib/README.md has the reference.
local there, core = pcall(require, "core.story")
if not there then error("story: this is for *.story.lua files, which `tidegate test` runs", 2) end

local story = {}

-- ---- failing

local Failure = {}

local function fail(text, where) error(setmetatable({ text = text, where = where or core.where() }, Failure), 0) end

local function show(value)
  if value == nil then return "nothing" end
  local fine, text = pcall(json.encode, value)
  return fine and text or tostring(value)
end

-- What a hook said, on one line.
local function brief(label, d)
  local line = label .. ": " .. (d.kind or "?")
  if d.reply then line = line .. " " .. show(d.reply) end
  if d.wait then line = line .. " " .. d.wait .. " s" end
  if d.fault then line = line .. " (a fault of the policy)" end
  if d.goes and d.goes > 1 then line = line .. " (by way " .. d.goes .. " of " .. #d.ways .. ")" end
  if d.waits_s then line = line .. " (no way has room for " .. d.waits_s .. " s: " .. d.waits_for .. ")" end
  if d.where and d.where ~= "" then line = line .. ", " .. d.where end
  if d.because and d.because ~= "" then line = line .. ", because: " .. d.because end
  return line
end

local TRACE_STEPS = 30

-- All that was asked in this story up to here, the newest last.
local function trace_text(trace)
  local lines, first = {}, math.max(1, #trace - TRACE_STEPS + 1)
  if first > 1 then lines[1] = "  ... (" .. first - 1 .. " before)" end
  for i = first, #trace do
    local step = trace[i]
    for _, look in ipairs(step.decision.looked or {}) do lines[#lines + 1] = "    looked " .. show(look) end
    for _, line in ipairs(step.decision.log or {}) do lines[#lines + 1] = "    log " .. line end
    lines[#lines + 1] = "  " .. brief(step.label, step.decision)
  end
  if #lines == 0 then return "" end
  return "\nwhat was asked:\n" .. table.concat(lines, "\n")
end

-- ---- comparing

local Matcher = {}

local function matcher(words, test) return setmetatable({ words = words, test = test }, Matcher) end

function story.between(low, high)
  return matcher("from " .. low .. " to " .. high, function(v) return type(v) == "number" and v >= low and v <= high end)
end

function story.starts(text)
  return matcher("a text that begins with " .. show(text), function(v) return type(v) == "string" and v:sub(1, #text) == text end)
end

function story.has(part)
  return matcher("with " .. show(part) .. " in it", function(v)
    if type(v) == "string" then return v:find(part, 1, true) ~= nil end
    for _, item in ipairs(type(v) == "table" and v or {}) do
      if item == part then return true end
    end
    return false
  end)
end

function story.matches(pattern)
  return matcher("a match of " .. show(pattern), function(v) return type(v) == "string" and v:find(pattern) ~= nil end)
end

function story.one_of(list)
  return matcher("one of " .. show(list), function(v)
    for _, item in ipairs(list) do
      if item == v then return true end
    end
    return false
  end)
end

story.any = matcher("anything", function(v) return v ~= nil end)
story.absent = matcher("nothing", function(v) return v == nil end)

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- Partly: what `expected` does not name may be anything. A text also fits a table of that name or kind (via = "relay").
local function compare(expected, came, path, faults)
  local function differ(words, got) faults[#faults + 1] = { path = path, expected = words, came = got or show(came) } end
  if getmetatable(expected) == Matcher then
    local name = type(came) == "table" and (came.name or came.kind)
    if not expected.test(came) and not (name and expected.test(name)) then differ(expected.words) end
  elseif type(expected) == "function" then
    if not expected(came) then differ "what the story's function says yes to" end
  elseif type(expected) == "table" then
    if type(came) ~= "table" then return differ(show(expected)) end
    for _, key in ipairs(sorted_keys(expected)) do
      compare(expected[key], came[key], path == "" and tostring(key) or path .. "." .. tostring(key), faults)
    end
    if #expected > 0 and #came > #expected then differ(#expected .. " items", #came .. " items: " .. show(came)) end
  elseif type(expected) == "string" and type(came) == "table" and expected == (came.name or came.kind) then
    return
  elseif expected ~= came then
    differ(show(expected))
  end
end

local function fault_lines(faults)
  local lines = {}
  for _, f in ipairs(faults) do
    lines[#lines + 1] = "  " .. (f.path == "" and "" or f.path .. ": ") .. "expected " .. f.expected .. ", got " .. f.came
  end
  return table.concat(lines, "\n")
end

-- Any value, for the functions of modules: story.expect(users.may_send_as(...), true)
function story.expect(came, expected, what)
  local faults = {}
  compare(expected, came, "", faults)
  if #faults > 0 then fail((what or "a value") .. " is not as expected\n" .. fault_lines(faults)) end
  return came
end

-- The call must fail, with these words somewhere in the error. Gives the error.
function story.raises(words, call, ...)
  local fine, why = pcall(call, ...)
  if fine then fail("no error, but one was expected with " .. show(words) .. " in it") end
  local text = getmetatable(why) == Failure and why.text or tostring(why)
  if not text:find(words, 1, true) then
    fail("another error than expected\n  expected one with " .. show(words) .. " in it\n  got " .. text)
  end
  return text
end

-- The text of a file of the scripts folder, for t:policy and t:scripts.
function story.file(name)
  return core.file(name) or fail("there is no " .. show(name) .. " in the scripts folder")
end

-- ---- decisions

local Decision = {}
Decision.__index = Decision
local SAID_ELSEWHERE = { hook = true, version = true, looked = true, log = true, plans = true, ways = true, otherwise = true, ["until"] = true }
local inside = setmetatable({}, { __mode = "k" }) -- decision -> { label, trace }

function Decision:expect(expected)
  if type(expected) == "string" then expected = { kind = expected } end
  local faults = {}
  compare(expected, self, "", faults)
  if #faults == 0 then return self end
  local my, rest = inside[self], {}
  for name, value in pairs(self) do
    if not SAID_ELSEWHERE[name] then rest[name] = value end
  end
  fail(my.label .. " is not as expected\n" .. fault_lines(faults) .. "\nthe decision (policy " .. (self.version or "?") .. "):\n  "
    .. show(rest) .. trace_text(my.trace))
end

local function decision(trace, label, d)
  for name, value in pairs(d.plan or {}) do
    if d[name] == nil and name ~= "do" then d[name] = value end -- its kind says it already
  end
  d.plan = nil
  trace[#trace + 1] = { label = label, decision = d }
  inside[d] = { label = label, trace = trace }
  return setmetatable(d, Decision)
end

-- ---- time

local UNITS = { s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

local function seconds_of(duration)
  if type(duration) == "number" then return duration end
  local sum, rest = 0, duration
  while rest ~= "" do
    local number, unit, more = rest:match "^(%d+)([smhdw])(.*)$"
    if not number then fail("'" .. duration .. "' is no duration; 300, \"90s\" and \"1h30m\" are") end
    sum, rest = sum + tonumber(number) * UNITS[unit], more
  end
  return sum
end

local function time_of(text)
  if type(text) == "number" then return text end
  local year, month, day, rest = text:match "^(%d%d%d%d)-(%d%d)-(%d%d)(.*)$"
  local hour, minute, second = (rest or ""):match "^[ T](%d%d):(%d%d):?(%d*)Z?$"
  if not year or (rest ~= "" and not hour) then fail("'" .. text .. "' is no time; \"2026-03-01 09:00\" is") end
  return os.time {
    year = tonumber(year), month = tonumber(month), day = tonumber(day),
    hour = tonumber(hour or 0), min = tonumber(minute or 0), sec = tonumber(second ~= "" and second or 0),
  }
end

-- ---- the stage

local Stage = {}
Stage.__index = Stage

local function ask(stage, label, hook, facts)
  local d, why = core.ask(hook, facts)
  if not d then fail(label .. ": " .. why .. trace_text(stage.trace)) end
  return decision(stage.trace, label, d)
end

function Stage:at(time)
  core.set_time(time_of(time))
  return self
end

function Stage:after(duration)
  core.set_time(clock.now() + seconds_of(duration))
  return self
end

-- Other scripts than those of the scripts folder, or a file of them replaced.
function Stage:scripts(files)
  local fine, why = core.use(files)
  if not fine then fail("the scripts do not load: " .. why) end
  return self
end

-- t:policy(text), t:policy(story.file "examples/direct.lua")
function Stage:policy(text) return self:scripts { ["policy.lua"] = text } end

local TYPES = { "mx", "a", "aaaa", "txt", "ptr" }

local function records_of(type_name, value)
  if type(value) == "string" then value = { value } end
  if type_name ~= "mx" then return value end
  local records = json.list {}
  for i, mx in ipairs(value) do records[i] = type(mx) == "string" and { i * 10, mx } or mx end
  return records
end

-- t:dns { ["example.net"] = { mx = "mx.example.net", txt = { "v=spf1 -all" } }, ["192.0.2.1"] = { ptr = "a.example" }, ["slow.example"] = "timed out" }
-- A type that is not named is not there; a text instead of the types is why all of them fail for now.
function Stage:dns(zone)
  for _, name in ipairs(sorted_keys(zone)) do
    local types = zone[name]
    for key in pairs(type(types) == "table" and types or {}) do
      if not story.one_of(TYPES).test(key) then fail("dns: " .. name .. ": '" .. tostring(key) .. "' is no type; mx, a, aaaa, txt, ptr are") end
    end
    local is_address = name:find "^[%d.]+$" or name:find ":"
    for _, type_name in ipairs(TYPES) do
      local records = type(types) == "string" and types or records_of(type_name, types[type_name] or json.list {})
      if (type_name == "ptr") == (is_address ~= nil) then
        local fine, why = core.teach(name, type_name, records)
        if not fine then fail("dns: " .. why) end
      end
    end
  end
  return self
end

-- t:http { ["GET https://api.example.com/x"] = { status = 200, body = "..." } }: a body that is a table becomes JSON; a text instead is why there
-- is no answer for now; a list of them is given in turn. Hosts are those that the configuration allows.
function Stage:http(answers)
  local function with_text(answer)
    if type(answer) ~= "table" or type(answer.body) ~= "table" then return answer end
    return { status = answer.status, headers = answer.headers, body = json.encode(answer.body) }
  end
  for _, request in ipairs(sorted_keys(answers)) do
    local answer = answers[request]
    local list = type(answer) == "table" and #answer > 0
    for i, one in ipairs(list and answer or {}) do answer[i] = with_text(one) end
    local fine, why = core.teach(request, "http", list and answer or with_text(answer))
    if not fine then fail("http: " .. why) end
  end
  return self
end

-- t:users { ann = { password = "secret", from = "*@acme.example" } }: what the users file would say
function Stage:users(users)
  for name, line in pairs(users) do self.known[name] = line end
  return self
end

-- t:suppress "bob@example.net", t:suppress { address = "@example.net", scope = "stream:news", reason = "asked to", expires = "30d" }
function Stage:suppress(entry)
  if type(entry) == "string" then entry = { address = entry } end
  local fine, why = core.suppress(entry.address, entry.scope or "all", entry.reason or "", math.floor(seconds_of(entry.expires or 0)))
  if not fine then fail("suppress: " .. why) end
  return self
end

-- t:shelf("last/ann", { n = 1 }, "2h"): this is on the shelf; without a value it is taken off, without a duration it stays.
function Stage:shelf(key, value, duration)
  local fine, why = core.keep(key, value, math.floor(seconds_of(duration or 0)))
  if not fine then fail("shelf: " .. why) end
  return self
end

-- t:spend(limit.per_day("box/ann", 40)): all of it is used up now; t:spend(l, 38): so much of it. The key and the window count.
function Stage:spend(limit, n)
  local fine, why = core.spend(limit, n)
  if not fine then fail("spend: " .. why) end
  return self
end

-- t:exhaust(limit, "2h"): the peer has said that there is no room, whatever was counted.
function Stage:exhaust(limit, duration)
  local fine, why = core.fill(limit, math.floor(seconds_of(duration)))
  if not fine then fail("exhaust: " .. why) end
  return self
end

local function keep_all(d)
  for _, entry in ipairs(d.shelf or {}) do core.keep(entry.key, entry.value, entry.expires_s or 0) end
end

-- What answers asked to be put on the list and the shelf, as the gateway does it.
local function carry_out(stage, address, d)
  keep_all(d)
  local entry = d.suppress
  if not entry then return end
  local reason = entry.reason or d.because
  core.suppress(address, entry.scope, reason, entry.expires_s or 0) -- an address that no list can have is passed over, as live
end

-- Tells the settle hook.
function Stage:tell(event) return ask(self, "settle(" .. (event.type or "?") .. ")", "settle", { event = event }) end

-- ---- sessions

local Session = {}
Session.__index = Session

local function facts_of_user(line)
  local facts = {}
  for key, value in pairs(line or {}) do
    if key ~= "password" then facts[key] = value end
  end
  return facts
end

function Stage:session(given)
  self.sessions = self.sessions + 1
  local facts = {
    id = "c-" .. self.sessions, listener = "story", kind = "submission", client_ip = "192.0.2.10", client_port = 40000,
    local_ip = "192.0.2.1", local_port = 587, helo = "client.example", trusted_network = false,
  }
  for name, value in pairs(given or {}) do facts[name] = value end
  if facts.user and not facts.user_facts then facts.user_facts = facts_of_user(self.known[facts.user]) end
  return setmetatable({ stage = self, facts = facts }, Session)
end

function Session:connect() return ask(self.stage, "connect from " .. self.facts.client_ip, "connect", { session = self.facts }) end

-- s:login("ann", "secret") by t:users, or the facts: s:login { user = "ann", password_matches = true, known = { from = "*" } }
function Session:login(user, password)
  local login = user
  if type(user) == "string" then
    local line = self.stage.known[user]
    login = { user = user, password = password, known = facts_of_user(line), password_matches = line ~= nil and line.password == password }
  end
  login.mechanism = login.mechanism or "PLAIN"
  local d = ask(self.stage, "login of " .. login.user, "authenticate", { session = self.facts, login = login })
  if d.kind == "accept" then self.facts.user, self.facts.user_facts = login.user, d.facts or {} end
  return d
end

local function address_facts(address, more)
  local facts = { address = address }
  for name, value in pairs(more or {}) do facts[name] = value end
  return facts
end

function Session:sender(address, more)
  return ask(self.stage, "sender <" .. address .. ">", "sender", { session = self.facts, address = address_facts(address, more) })
end

function Session:recipient(address, more)
  return ask(self.stage, "recipient <" .. address .. ">", "recipient", { session = self.facts, address = address_facts(address, more) })
end

-- ---- messages

local Message = {}
Message.__index = Message

local function head_of(headers)
  local lines = {}
  for _, name in ipairs(sorted_keys(headers or {})) do
    local value = headers[name]
    if type(name) == "number" then name, value = value[1], value[2] end -- { { "Subject", "x" }, ... } keeps the order
    lines[#lines + 1] = name .. ": " .. value .. "\r\n"
  end
  return table.concat(lines)
end

-- Asks recipient for each; gives those that were accepted and the last refusal.
local function take_recipients(session, list)
  local taken, refused, last = {}, {}, nil
  for _, address in ipairs(list) do
    local d = session:recipient(address)
    if d.kind == "accept" then
      taken[#taken + 1] = address
    else
      refused[address], last = d, d
    end
  end
  return taken, refused, last
end

local function has_address(list, address)
  for _, one in ipairs(list) do
    if one:lower() == address:lower() then return true end
  end
  return false
end

local function recipient_states(addresses)
  local states = {}
  for i, address in ipairs(addresses) do states[i] = { address = address, number = i - 1, attempts = 0 } end
  return states
end

-- A whole transaction, as a client would go through it: sender, recipient for each, message.
--   s:message { from =, to = address or list, headers = {}, body = "", size =, expires = "5d" }
function Session:message(m)
  local stage = self.stage
  stage.messages = stage.messages + 1
  local self_ = { stage = stage, session = self, refused = {}, states = {}, tags = {}, taken = false }
  local message = setmetatable(self_, Message)
  message.decision = self:sender(m.from or "")
  if message.decision.kind ~= "accept" then return message end
  local taken, refused, last = take_recipients(self, type(m.to) == "table" and m.to or { m.to })
  message.refused = refused
  if #taken == 0 then
    message.decision = last or fail "a message needs a recipient: to = \"a@example.net\""
    return message
  end
  local head = m.head or head_of(m.headers)
  message.facts = {
    id = string.format("%016x", 0x65a4f81c00000000 + stage.messages), sender = m.from or "", user = self.facts.user or "", head = head,
    size = m.size or #head + 2 + #(m.body or ""), received_at = clock.now(), expires_at = clock.now() + seconds_of(m.expires or "5d"),
    recipients = taken, recipient_count = #taken,
  }
  local d = ask(stage, "message from <" .. message.facts.sender .. ">", "message", { session = self.facts, message = message.facts })
  message.decision, message.tags = d, d.tags or {}
  message.taken = d.kind == "accept" or d.kind == "hold"
  if d.kind == "accept" then keep_all(d) end
  for _, copy in ipairs(d.copies or {}) do
    if not has_address(taken, copy) then taken[#taken + 1] = copy end
  end
  message.states, message.facts.recipient_count = recipient_states(taken), #taken
  message.facts.head, d.head = d.head or head, nil
  message.facts.tags, message.facts.recipients = d.tags, nil
  if d.expires then message.facts.expires_at = message.facts.received_at + d.expires end
  return message
end

-- Of the answer that decided about the message: the first refusal, or what the message hook said.
function Message:expect(expected)
  self.decision:expect(expected)
  return self
end

-- The value of the first field of that name, as the message is stored; nil where there is none.
function Message:header(name)
  for line in (self.facts and self.facts.head or ""):gsub("\r\n[ \t]+", " "):gmatch "[^\r\n]+" do
    local found, value = line:match "^([^:]+):%s*(.*)$"
    if found and found:lower() == name:lower() then return value end
  end
  return nil
end

local function state_of(message, to)
  if not message.taken then fail("there is no such mail: " .. brief("the policy did not take it", message.decision)) end
  for _, state in ipairs(message.states) do
    if not to or state.address == to then return state end
  end
  fail("the message has no recipient " .. show(to))
end

local function recipient_facts(state)
  return { address = state.address, number = state.number, attempts = state.attempts, last_at = state.last_at, last = state.last }
end

-- What route says of this recipient (the first, where none is named) now.
function Message:route(to)
  local state = state_of(self, to)
  local facts = { session = self.session.facts, message = self.facts, recipient = recipient_facts(state) }
  state.plan = ask(self.stage, "route for <" .. state.address .. ">", "route", facts)
  carry_out(self.stage, state.address, state.plan)
  return state.plan
end

local function text_of(reply)
  if type(reply) ~= "table" then return reply end
  return reply.code .. (reply.status and " " .. reply.status or "") .. " " .. (reply.text or "")
end

-- The way that is taken, out of the plan and what stands behind it, as a decision of its own.
local function way_of(d)
  local plan, way = d, d.ways[d.goes]
  for _ = 2, d.goes do plan = plan.otherwise end
  local chosen = { kind = way["do"], where = way.where, because = way.because, version = d.version, way = d.goes, pause = d.pause_ms and d.pause_ms / 1000,
    lane = way.lane, wait = plan.wait_s, reply = text_of(plan.reply), ways = d.ways }
  for _, name in ipairs { "via", "identity", "tls", "connections", "per_connection", "spend", "suppress" } do chosen[name] = plan[name] end
  return chosen
end

-- What becomes of this recipient now: of route.first the way that is taken, or a wait where none has room.
function Message:goes(to)
  local state = state_of(self, to)
  local d, label = self:route(to), "the way of <" .. state.address .. ">"
  if d.kind ~= "send" then return d end
  if d.goes then
    state.plan = decision(self.stage.trace, label, way_of(d))
    carry_out(self.stage, state.address, state.plan)
    return state.plan
  end
  return decision(self.stage.trace, label, { kind = "wait", wait = d.waits_s, limit = d.waits_for, where = d.where, version = d.version,
    because = "no room: " .. d.waits_for, ways = d.ways })
end

-- What limits of the plan say of themselves by `exhausted_by`.
local function exhaustible_of(plan)
  local names = {}
  for _, limit in ipairs(plan.spend or {}) do
    if limit.exhausted_by then names[limit.exhausted_by] = true end
  end
  return names
end

-- As the ledger does: what the peer took, and where the limit counts attempts what it refused.
local function spend_of(plan, taken, asked)
  for _, limit in ipairs(plan.spend or {}) do
    if taken or asked and limit.count == "attempts" then core.spend(limit.key, limit.window_s, 1) end
  end
end

-- What the verdict counts, by account: "KEY/SECONDS".
local function tally(accounts)
  for _, account in ipairs(accounts or {}) do
    local key, window = account:match "^(.*)/(%d+)$"
    core.spend(key, math.tointeger(window), 1)
  end
end

local function exhaust(plan, exhausted)
  for _, limit in ipairs(exhausted and plan.spend or {}) do
    if limit.exhausted_by == exhausted.by then core.fill(limit.key, limit.window_s, exhausted.seconds) end
  end
end

local function reply_parts(reply)
  local code, rest = reply:match "^(%d%d%d) ?(.*)$"
  if not code then fail("'" .. reply .. "' is no reply; \"450 4.2.0 mailbox full\" is") end
  local status, text = rest:match "^([245]%.%d+%.%d+) ?(.*)$"
  return { code = tonumber(code), status = status, text = text or rest }
end

-- Now as an attempt that ended so: m:outcome("450 4.7.1 greylisted"), m:outcome("a@example.net", { reply = "...", stage = "data", peer = "..." }).
-- Gives what retry says of it; a 2xx is delivered and asks nobody.
function Message:outcome(to, what)
  if what == nil then to, what = nil, to end
  if type(what) == "string" then what = { reply = what } end
  local state = state_of(self, to)
  local parts = reply_parts(what.reply)
  local label = "outcome " .. parts.code .. " for <" .. state.address .. ">"
  local plan = state.plan or {}
  local outcome = {
    reply = what.reply, from_peer = what.from_peer ~= false, stage = what.stage or "rcpt", peer = what.peer or "mx.example.net [192.0.2.25]:25",
    identity = what.identity or plan.identity and plan.identity.name or "", lane = plan.lane or "", exhaustible = exhaustible_of(plan), attempt = state.attempts + 1,
    via = what.via or plan.via and plan.via.kind or "direct",
    age = clock.now() - self.facts.received_at, expires_at = self.facts.expires_at,
  }
  spend_of(plan, parts.code < 400, outcome.from_peer)
  if parts.code < 400 then return decision(self.stage.trace, label, { kind = "delivered", reply = what.reply }) end
  local facts = { session = self.session.facts, message = self.facts, recipient = recipient_facts(state), outcome = outcome }
  local d = ask(self.stage, label, "retry", facts)
  carry_out(self.stage, state.address, d)
  exhaust(plan, d.exhaust)
  tally(d.tally)
  if d.counts and not d.fault then state.attempts = state.attempts + 1 end
  state.last_at = clock.now()
  state.last = { reply = parts, stage = outcome.stage, ["local"] = not outcome.from_peer, peer = outcome.peer, identity = outcome.identity }
  return d
end

-- ---- delivering

local ROUNDS = 10000
local ENDS = { hold = "held", fail = "bounced", suppress = "suppressed", discard = "discarded" }

local function peer_of(peer)
  if type(peer) == "function" then return peer end
  local replies = type(peer) == "table" and peer or { peer }
  return function(_, attempt) return replies[math.min(attempt, #replies)] end
end

-- Goes on until the recipient is settled, moving the clock over every wait. `peer` answers attempts: a reply, a list of them in turn, or a
-- function(plan, attempt) that gives a reply or an outcome. Gives { fate =, attempts =, took = seconds, plans = {} }, which has expect too.
function Message:deliver(to, peer)
  if peer == nil then to, peer = nil, to end
  local state, answers = state_of(self, to), peer_of(peer)
  local begun, record = clock.now(), { attempts = 0, plans = {} }
  local function ended(fate)
    record.kind, record.fate, record.took = fate, fate, clock.now() - begun
    return decision(self.stage.trace, "delivery to <" .. state.address .. ">", record)
  end
  for _ = 1, ROUNDS do
    if clock.now() >= self.facts.expires_at then return ended "expired" end
    local next_step = self:goes(state.address)
    if next_step.kind == "send" then
      core.set_time(clock.now() + (next_step.pause or 0))
      record.attempts = record.attempts + 1
      record.plans[record.attempts] = next_step
      next_step = self:outcome(state.address, answers(next_step, record.attempts))
      if next_step.kind == "delivered" then return ended "delivered" end
      if next_step.kind == "give_up" then return ended "bounced" end
    end
    if ENDS[next_step.kind] then return ended(ENDS[next_step.kind]) end
    core.set_time(math.min(clock.now() + (next_step.wait or 0), self.facts.expires_at))
  end
  fail("after " .. ROUNDS .. " rounds <" .. state.address .. "> is still not settled" .. trace_text { self.stage.trace[#self.stage.trace] })
end

-- ---- telling

local function steps_of(trace)
  local steps = json.list {}
  for i, step in ipairs(trace) do steps[i] = { asked = step.label, decision = setmetatable(step.decision, nil) } end
  return steps
end

local function tell(body)
  local stage = setmetatable({ trace = {}, known = {}, sessions = 0, messages = 0 }, Stage)
  local fine, why = pcall(body, stage)
  if fine then return end
  if getmetatable(why) == Failure then
    core.fail(why.text, why.where, steps_of(stage.trace))
  else
    local text = tostring(why)
    core.fail(text .. trace_text(stage.trace), text:match "^([^:\n]+:%d+):" or "", steps_of(stage.trace))
  end
end

return setmetatable(story, {
  __call = function(_, title, body)
    if type(title) ~= "string" or type(body) ~= "function" then error("story: a title and a function are expected", 2) end
    core.add(title, function() tell(body) end)
  end,
})
