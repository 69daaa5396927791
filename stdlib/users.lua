-- SPDX-License-Identifier: MIT
-- users: what the users file says of a user, for hooks.
--
-- A line of the users file is `name:hash[:key=value ...]`. Its keys arrive in the authenticate hook as login.known, and, once
-- accepted, in all later hooks as session.user_facts (message.session.user_facts in route). The key `from` lists what the
-- user may send as: addresses, *@domain, or * for anything, with commas between.
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

return users
