-- SPDX-License-Identifier: MIT
-- header: edits for answer.accept's `headers`, made from the message as it came.
--
--   headers = header.all(
--     header.complete(message, "example.org"),           -- From, Date and Message-ID, where they are missing
--     header.strip(message),                             -- Bcc and what betrays the sender's own network
--     header.unsubscribe { url = "https://example.org/u/" .. token, mailto = "unsubscribe@example.org" },
--     header.feedback_id("spring", "shop", "newsletter", "acme"))
--
-- Every function gives a list of edits; header.all joins them. None changes the message itself: what is returned is data for
-- the answer. header.from, header.date and header.message_id are the parts of header.complete.
--
--   header.token(secret, list, address)          a word for unsubscribe links that only we can have made
--   header.token_address(secret, list, token)    -> the address, or nil for a word that is not ours
local fact = require "fact"

local header = {}

-- A message without From is none (RFC 5322 section 3.6) and cannot be signed; machines send such. Who sent it is its sender.
function header.from(message)
  if message.sender == "" or message:header("From") then return {} end
  return { { add = "From", value = "<" .. message.sender .. ">" } }
end

-- RFC 5322 section 3.3; a message that came without a Date gets the time it came at.
function header.date(message)
  if message:header("Date") then return {} end
  local at = math.floor(message.received_at or clock.now())
  return { { add = "Date", value = os.date("!%a, %d %b %Y %H:%M:%S +0000", at) } }
end

-- RFC 5322 section 3.6.4: the left side is unique as the message's id is, the right side is a domain of ours.
function header.message_id(message, domain)
  if message:header("Message-ID") then return {} end
  if type(domain) ~= "string" or not domain:match("^[%w%-%.]+$") then error("header.message_id: a domain is expected", 2) end
  local unique = crypto.hex(crypto.sha256(message.id .. "/" .. (message.received_at or clock.now()))):sub(1, 12)
  return { { add = "Message-ID", value = "<" .. message.id .. "." .. unique .. "@" .. domain .. ">" } }
end

function header.all(...)
  local edits = {}
  for _, list in ipairs { ... } do
    for _, edit in ipairs(list) do edits[#edits + 1] = edit end
  end
  return edits
end

function header.complete(message, domain)
  return header.all(header.from(message), header.date(message), header.message_id(message, domain))
end

-- Bcc is the sender's secret (RFC 5322 3.6.3); the others name machines and people inside the house.
local PRIVATE = { "Bcc", "X-Originating-IP", "X-Originating-Email", "X-Sender-IP", "X-Client-IP", "X-Source-IP", "X-PHP-Script",
  "X-PHP-Originating-Script", "X-AuthUser", "X-Authenticated-Sender", "X-Authenticated-User", "X-MS-Exchange-Organization-AuthSource",
  "X-Get-Message-Sender-Via", "X-Source", "X-Source-Args", "X-Source-Dir" }
header.PRIVATE = PRIVATE

-- `more`: further names to remove.
function header.strip(message, more)
  local edits = {}
  for _, names in ipairs { PRIVATE, more or {} } do
    for _, name in ipairs(names) do
      if message:header(name) then edits[#edits + 1] = { remove = name } end
    end
  end
  return edits
end

-- RFC 2369 and RFC 8058. One click works with an https URL only, and receivers believe it only when DKIM signs both fields. The URL must
-- name list and recipient by itself: the mail program sends nothing along but "List-Unsubscribe=One-Click".
function header.unsubscribe(o)
  fact.check_fields(o, { url = "string", mailto = "?string" }, 2, "header.unsubscribe")
  if not o.url:match("^https://[%w%-%.]+[/:?][%w%-%._~:/?#@!$&'()*+,;=%%%[%]]*$") then
    fact.refuse(2, "header.unsubscribe: url: an https URL with a path is expected, not '%s'", o.url)
  end
  if o.mailto and not o.mailto:match("^[^%s<>,]+@[%w%-%.]+[^%s<>,]*$") then
    fact.refuse(2, "header.unsubscribe: mailto: an address is expected, not '%s'", o.mailto)
  end
  local value = (o.mailto and "<mailto:" .. o.mailto .. ">, " or "") .. "<" .. o.url .. ">"
  return { { set = "List-Unsubscribe", value = value }, { set = "List-Unsubscribe-Post", value = "List-Unsubscribe=One-Click" } }
end

-- Google's feedback loop: up to three identifiers of ours, then the sender, which stays the same over all campaigns.
function header.feedback_id(...)
  local parts = { ... }
  if #parts < 1 or #parts > 4 then error("header.feedback_id: one to three identifiers and the sender are expected", 2) end
  for i, part in ipairs(parts) do
    if type(part) ~= "string" or not part:match("^[%w%-_%.]*$") or #part > 60 then
      error("header.feedback_id: part " .. i .. ": letters, digits, '-', '_' and '.' are expected", 2)
    end
  end
  local sender = parts[#parts]
  if #sender < 5 or #sender > 15 then error("header.feedback_id: the sender has 5 to 15 characters", 2) end
  return { { set = "Feedback-ID", value = table.concat(parts, ":") } }
end

-- ---- unsubscribe tokens: the address and a MAC over it and the list, in characters that URLs and mailboxes bear

local function url_safe(text) return (text:gsub("+", "-"):gsub("/", "_"):gsub("=", "")) end

local function mac(secret, list, address)
  return url_safe(crypto.base64(crypto.hmac_sha256(secret, list .. "\n" .. address):sub(1, 15)))
end

local function check_secret(secret, who)
  if type(secret) ~= "string" or #secret < 16 then error(who .. ": a secret of 16 characters or more is expected", 3) end
end

function header.token(secret, list, address)
  check_secret(secret, "header.token")
  address = address:lower()
  return url_safe(crypto.base64(address)) .. "." .. mac(secret, list, address)
end

function header.token_address(secret, list, token)
  check_secret(secret, "header.token_address")
  local body, seal = tostring(token):match("^([%w%-_]+)%.([%w%-_]+)$")
  if not body then return nil end
  local padded = body:gsub("-", "+"):gsub("_", "/") .. ("="):rep(-#body % 4)
  local address = crypto.unbase64(padded)
  if address and crypto.equal(mac(secret, list, address), seal) then return address end
  return nil
end

return header
