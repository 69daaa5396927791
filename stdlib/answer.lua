-- SPDX-License-Identifier: MIT
-- answer: what connect, authenticate, sender, recipient and message return.
--
--   answer.accept{}                                   go on
--   answer.accept{ tags = {}, headers = {}, ... }     go on, and note or change this
--   answer.accept{ spend = { limit.per_hour(...) } }  go on if these limits have room, else 452 with when to come back
--   answer.reject("550 5.7.1 not today", "why")       no, and do not come back with it
--   answer.defer("451 4.7.1 later", "why")            not now
--   answer.hold("why"), answer.discard("why")         message only
--
-- The checks are in C (gateway/policy/bind_answer.c); stdlib/README.md has every field.
local core = require "core.answer"

return {
  accept = core.accept,
  reject = core.reject,
  defer = core.defer,
  hold = core.hold,
  discard = core.discard,
}
