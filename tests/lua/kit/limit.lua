-- SPDX-License-Identifier: MIT
-- A stand-in for the ledger's module: limits are plain tables, and `limit.used` says what is spent of an account.
local limit = { used = {} }

local function make(key, n, seconds, o)
  assert(type(key) == "string" and math.type(n) == "integer" and n >= 1, "limit: a key and a number from 1 are expected")
  return { key = key, n = n, seconds = seconds, per = o and o.per or "message" }
end

function limit.per_second(key, n, o) return make(key, n, 1, o) end
function limit.per_minute(key, n, o) return make(key, n, 60, o) end
function limit.per_hour(key, n, o) return make(key, n, 3600, o) end
function limit.per_day(key, n, o) return make(key, n, 86400, o) end
function limit.rolling(key, n, seconds, o) return make(key, n, seconds, o) end
function limit.left(l) return math.max(0, l.n - (limit.used[l.key] or 0)) end

return limit
