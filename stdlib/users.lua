-- SPDX-License-Identifier: MIT
-- users: what the users file says of a user, for hooks.
--
-- A line of the users file is `name:hash[:key=value ...]`. Its keys arrive in the authenticate hook as login.known, and, once
-- accepted, in all later hooks as session.user_facts (message.session.user_facts in route). The key `from` lists what the
-- user may send as: addresses, *@domain, or * for anything, with commas between. The keys per_minute, per_hour and per_day say how
-- many recipients the user may write to.
local users = {}

local function matches(pattern, address)
  pattern = pattern:lower()
  address = address:lower()
  if pattern == "*" or pattern == address then return true end
  return pattern:sub(1, 2) == "*@" and address:sub(-(#pattern - 1)) == pattern:sub(2)
end

-- True when `facts` (session.user_facts or login.known) lets its user send as `address`. Without a `from` key: `otherwise`,
-- false if that is not given.
function users.may_send_as(facts, address, otherwise)
  local from = facts and facts.from
  if type(from) ~= "string" then return otherwise == true end
  for pattern in from:gmatch("[^,%s]+") do
    if matches(pattern, address) then return true end
  end
  return false
end

local WINDOWS = { { key = "per_minute", limit = limit.per_minute }, { key = "per_hour", limit = limit.per_hour }, { key = "per_day", limit = limit.per_day } }

-- The limits that the user of this session has by the keys per_minute, per_hour and per_day of his line in the users file
-- (recipients; `per_hour=200`), for `spend`. In answer.accept, what is over is refused with 452 and the time to come back; in
-- route.send, it is taken and paced. nil where the line has none, and for a session without login. A key that is no number
-- is a fault: a limit that is misspelt must not be none.
function users.limits(session)
  local list
  for _, window in ipairs(WINDOWS) do
    local n = session.user ~= "" and session.user_facts and session.user_facts[window.key]
    if n then
      local cap = math.tointeger(tonumber(n)) or error(("users file: %s: %s=%s is no whole number"):format(session.user, window.key, n), 2)
      list = list or {}
      list[#list + 1] = window.limit("user/" .. session.user, cap, { per = "recipient" })
    end
  end
  return list
end

return users
