-- SPDX-License-Identifier: MIT
-- A newsletter that keeps the large providers' rules (2024): one click unsubscribes, DKIM signs, the list's own suppression counts, and the
-- letters leave at a pace, behind everything else. The program that makes the letters says which list it is: "X-List: spring".
local answer = require "answer"
local header = require "header"
local identity = require "identity"
local provider = require "provider"
local reply = require "reply"
local route = require "route"
local shaping = require "shaping"
local suppression = require "suppression"

-- Any long text of your own; the page behind UNSUBSCRIBE checks it by header.token_address's rule.
local SECRET = "change me to something long"
local UNSUBSCRIBE = "https://news.acme.example/u/"
local KEY = "dkim/news.pem"

local news = identity.define {
  name = "news", source = "192.0.2.12", helo = "news.acme.example", return_path = "bounces@news.acme.example",
  dkim = identity.has_key(KEY) and { { domain = "news.acme.example", selector = "s2026", key = KEY } } or nil,
}

local policy = {}

function policy.message(session, message)
  local list = (message:header "X-List" or ""):match "^%s*([%w%-_]+)%s*$"
  if not list then return answer.reject("550 5.7.1 no X-List: which list is this?", "a letter without its list") end
  if #message.recipients > 1 then
    return answer.reject("550 5.7.1 one recipient for each letter: the unsubscribe link names them", "several recipients")
  end
  local token = header.token(SECRET, list, message.recipients[1])
  return answer.accept {
    tags = { stream = list, class = "bulk" },
    headers = header.all(header.complete(message, "news.acme.example"), header.strip(message, { "X-List" }),
      header.unsubscribe { url = UNSUBSCRIBE .. token, mailto = "unsubscribe@news.acme.example" },
      header.feedback_id(list, "news", "acme-news")),
    expires = "2d",
    because = "list " .. list,
  }
end

function policy.route(message, recipient)
  local refused = suppression.check(message, recipient, { identity = news })
  if refused then return refused end
  local group = provider.of(recipient.domain)
  local spend = shaping.limits(group, "news")
  spend[#spend + 1] = limit.per_hour("news", 20000)
  return route.send { via = route.direct {}, identity = news, spend = spend, lane = shaping.lane(group), tls = shaping.tls(group),
    priority = "bulk", turn = message.tags.stream, because = "list " .. (message.tags.stream or "?") .. " to " .. group }
end

policy.retry = reply.hook { ladder = { 900, 3600, 14400 }, suppress = suppression.bounces { scope = "stream", expires = "365d" } }

return policy
