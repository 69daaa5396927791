-- SPDX-License-Identifier: MIT
-- retry: what the retry hook returns, and the ladder for those who have none.
--
--   retry.wait(600, "why")          again in so many seconds
--   retry.elsewhere("why")          at once, by the next way that route names
--   retry.give_up("why")            the sender gets a report with what the peer said
--   retry.give_up("why", "550 5.4.1 nobody there")   ... or with this
--
--   retry.give_up("why", nil, { scope = "all", reason = "no such user" })      ... and put the recipient on the suppression list
--
--   retry.give_up { because = "why", tally = { limit.per_day("bounces/acme", 1) } }     ... and it is counted there, full or not: limit.used reads it
--
--   retry.wait { seconds = 600, lane = { rest = "2h" } }       ... and the lane rests for all mail: { rest = time }, or slows down:
--                                                 { connections = 1, rate = "10/minute", lasts = "30m" } (one of the two, or both)
--
--   retry.wait { seconds = 600, pause = "1h" }                 ... and all mail of the plan's identity stops for so long (elsewhere too)
--
--   retry.give_up { about = { fault = "recipient", class = "mailbox_unknown" } }      ... and the event says so as its `verdict`
--
--   retry.default(message, recipient, outcome)       the hook itself
--   retry.ladder{ 60, 300, 3600 }                 the same hook with steps of your own
--   retry.ladder{ suppress = suppression.bounces{} }      ... that lets a hard bounce add to the suppression list
local core = require "core.retry"

local retry = {
  wait = core.wait,
  elsewhere = core.elsewhere,
  give_up = core.give_up,
}

-- Seconds before the second attempt, the third, ...; the last one stays.
local STEPS = { 300, 600, 1200, 2400, 3600, 7200, 14400 }

-- A share of the step, up or down, that is always the same for this recipient and attempt: messages that failed
-- together come back apart, and what was announced does not change when it is asked again.
local function jitter(message, recipient, step)
  local seed = message.id .. "/" .. recipient.number .. "/" .. recipient.attempts
  local sum = crypto.sha256(seed)
  local share = (sum:byte(1) * 256 + sum:byte(2)) / 65535 -- 0 to 1
  return math.floor(step * (0.9 + 0.2 * share))
end

local function climb(steps, rule, message, recipient, outcome, lane, about)
  if outcome.permanent then
    return retry.give_up("a permanent refusal", nil, rule and rule(message, recipient, outcome), lane, nil, nil, about)
  end
  local attempt = math.max(outcome.attempt, 1)
  local step = steps[math.min(attempt, #steps)]
  local wait = math.max(1, jitter(message, recipient, step))
  if outcome.expires_at and clock.now() + wait >= outcome.expires_at then
    local left = math.floor(outcome.expires_at - clock.now())
    -- One last attempt near the end, if there is time for it.
    if left < 60 then return retry.give_up("no success before it expired", nil, nil, lane, nil, nil, about) end
    wait = math.max(1, left - 30)
  end
  return retry.wait(wait, "attempt " .. attempt .. " failed, next in " .. wait .. " s", nil, nil, lane, nil, nil, about)
end

-- options: a list of seconds (none: the default's), and `suppress`, a rule as suppression.bounces makes it.
function retry.ladder(options)
  if type(options) ~= "table" or (#options == 0 and not options.suppress) then
    error("retry.ladder: a list of seconds is expected", 2)
  end
  local own = {}
  for name, step in pairs(options) do
    if name == "suppress" then
      if type(step) ~= "function" then error("retry.ladder: suppress: a rule is expected (suppression.bounces{})", 2) end
    elseif math.type(name) ~= "integer" then
      error("retry.ladder: unknown field '" .. tostring(name) .. "' (known: suppress)", 2)
    elseif math.type(step) ~= "integer" or step < 1 then
      error("retry.ladder: step " .. name .. ": a whole number of seconds is expected", 2)
    end
  end
  for i, step in ipairs(options) do own[i] = step end
  local steps, rule = #own > 0 and own or STEPS, options.suppress
  return function(message, recipient, outcome, lane, about) return climb(steps, rule, message, recipient, outcome, lane, about) end
end

function retry.default(message, recipient, outcome, lane, about) return climb(STEPS, nil, message, recipient, outcome, lane, about) end

return retry
