-- SPDX-License-Identifier: MIT
-- sts: what a recipient's domain demands of who delivers to it: MTA-STS (RFC 8461).
--
--   local sts = require "sts"                        an error where http.hosts does not allow "mta-sts.*"
--   local said = sts.of(recipient.domain)            asks DNS, perhaps the web; suspends the hook
--   return route.send { via = route.direct { mx = said.mx }, tls = said.tls, shelf = said.shelf, because = said.because }
--
-- A domain in mode "enforce" gives `tls` ("dane_or_verify": its own DANE is never overruled, RFC 8461 2) and `mx` (its hosts); every other gives neither, so that the plan is what it would have
-- been. `shelf` is what is to be kept of it: the answer asks for it, the gateway writes it.
--
--   sts.record(texts)            the id that the TXT records of _mta-sts.DOMAIN say, or nil, why
--   sts.parse(text)              a policy file -> { mode, mx, max_age }, or nil, why
--
-- A policy that was had once holds until its max_age is over, whatever becomes of DNS and web meanwhile: that is its whole protection. It is
-- fetched again when the record has another id, and once a day (or after half of its time) as long as there is mail. A fetch that failed
-- is not tried again for five minutes.
local sts = {}

local PLACE = "/.well-known/mta-sts.txt"
if not http.allows("https://mta-sts.example" .. PLACE) then
  error('sts: policies are fetched from the recipients\' domains, which the configuration has to allow: http = { hosts = { "mta-sts.*" } }', 0)
end

local BODY_MAX, LIST_MAX, VALUE_MAX = 64 * 1024, 64, 3400 -- a policy's bytes, its hosts, what the shelf takes of it as JSON
local AGE_LEAST, AGE_MOST = 300, 31557600 -- RFC 8461 3.2 has the upper one
local FRESH, AGAIN, TIMEOUT = 86400, 300, 10 -- seconds
local MODES = { enforce = true, testing = true, none = true }

local function trim(text) return (text:gsub("^[ \t]+", ""):gsub("[ \t]+$", "")) end

-- RFC 8461 3.1. What does not begin like one is somebody else's text; two are none.
function sts.record(texts)
  local found
  for _, text in ipairs(texts) do
    if re.match(text, "^v=STSv1[ \\t]*(;|$)") then
      if found then return nil, "two records" end
      found = text
    end
  end
  if not found then return nil, "no record" end
  for field in (found .. ";"):gmatch "([^;]*);" do
    local id = trim(field):match "^id=(.*)$"
    if id then
      if re.match(id, "^[A-Za-z0-9]{1,32}$") then return id end
      return nil, "a record with a strange id"
    end
  end
  return nil, "a record without id"
end

local function is_host(name) -- of a policy's mx: a name, or one label of any name before it
  name = re.gsub(name, "^\\*\\.", "")
  return #name <= 253 and re.match(name, "^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$") ~= nil
end

local function add_host(policy, value)
  local host = value:lower():gsub("%.$", "")
  if not is_host(host) then return "an mx that is no host" end
  if #policy.mx == LIST_MAX then return "too many hosts" end
  policy.mx[#policy.mx + 1] = host
end

-- Of a field that comes twice the first one counts (RFC 8461 3.2); mx may.
local function add_field(policy, name, value)
  if name == "mx" then return add_host(policy, value) end
  if policy[name] or (name ~= "version" and name ~= "mode" and name ~= "max_age") then return end
  policy[name] = value
end

local function judge(policy)
  local age = re.match(policy.max_age or "", "^[0-9]{1,10}$")
  if policy.version ~= "STSv1" then return "no version STSv1" end
  if not MODES[policy.mode] then return "no mode that is known" end
  if not age then return "no max_age" end
  if #policy.mx == 0 and policy.mode ~= "none" then return "no mx" end
  policy.max_age = math.min(math.max(math.tointeger(tonumber(age)), AGE_LEAST), AGE_MOST)
end

-- Lines may end as they like, unknown fields may come; what cannot be understood makes the whole policy none: half of its hosts would be
-- mail that waits for nothing.
function sts.parse(text)
  local policy = { mx = {} }
  if #text > BODY_MAX then return nil, "larger than " .. BODY_MAX .. " bytes" end
  for line in (text:gsub("\r\n?", "\n") .. "\n"):gmatch "([^\n]*)\n" do
    local name, value = line:match "^([%w_.-]+)[ \t]*:(.*)$"
    local why = name and add_field(policy, name, trim(value))
    if why then return nil, why end
  end
  local why = judge(policy)
  if why then return nil, why end
  return { mode = policy.mode, mx = policy.mx, max_age = policy.max_age }
end

local function fetch(domain)
  local answer, why = http.request { url = "https://mta-sts." .. domain .. PLACE, timeout = TIMEOUT }
  if not answer then return nil, why end
  if answer.status ~= 200 then return nil, "HTTP status " .. answer.status end -- a redirect too (RFC 8461 3.3)
  if not re.match(answer.headers["content-type"] or "", "(?i)^text/plain[ \\t]*(;|$)") then return nil, "it is no text/plain" end
  return sts.parse(answer.body)
end

local function key_of(kind, domain) return kind .. (#domain <= 150 and domain or crypto.hex(crypto.sha256(domain))) end

local function answer(policy, words, shelf)
  local enforce = policy and policy.mode == "enforce"
  return { mode = policy and policy.mode, mx = enforce and policy.mx or nil, tls = enforce and "dane_or_verify" or nil, shelf = shelf, because = words }
end

local function in_words(policy, how) return "MTA-STS " .. policy.mode .. " (" .. how .. ")" end

-- A new one, or what there was before. One whose list is longer than an entry of the shelf may be holds for this mail only.
local function fetched(domain, id, kept)
  local failed = key_of("mta-sts-failed/", domain)
  if shelf.get(failed) == id then return kept and answer(kept, in_words(kept, "kept")) or answer(nil, "MTA-STS: a policy that cannot be had") end
  local policy, why = fetch(domain)
  if not policy then
    local entry = { shelf.put(failed, id, AGAIN) }
    if kept then return answer(kept, in_words(kept, "kept; a newer one: " .. why), entry) end
    return answer(nil, "MTA-STS: a policy that cannot be had: " .. why, entry)
  end
  local value = { id = id, mode = policy.mode, mx = policy.mx, at = math.floor(clock.now()), age = policy.max_age }
  local entry = #json.encode(value) <= VALUE_MAX and { shelf.put(key_of("mta-sts/", domain), value, math.min(policy.max_age, 365 * 86400)) } or nil
  return answer(policy, in_words(policy, "fetched"), entry)
end

function sts.of(domain)
  domain = domain:lower():gsub("%.$", "")
  if domain == "" or domain:sub(1, 1) == "[" or #domain > 244 then return answer(nil, "no MTA-STS") end
  local kept = shelf.get(key_of("mta-sts/", domain))
  local texts, why = dns.txt("_mta-sts." .. domain)
  local id
  if texts then id, why = sts.record(texts) end
  if not id then return kept and answer(kept, in_words(kept, "kept; " .. why)) or answer(nil, texts and "MTA-STS: " .. why or "no MTA-STS") end
  local fresh = kept and kept.id == id and clock.now() - kept.at < math.min(FRESH, kept.age / 2)
  if fresh then return answer(kept, in_words(kept, "kept")) end
  return fetched(domain, id, kept)
end

return sts
