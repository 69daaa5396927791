-- SPDX-License-Identifier: MIT
local story = require "story"
local users = require "users"

story("the key from lists what a user may send as", function()
  local function may(from, address, otherwise) return users.may_send_as({ from = from }, address, otherwise) end
  story.expect(may("ann@acme.example", "ann@acme.example"), true)
  story.expect(may("ann@acme.example", "Ann@ACME.example"), true)
  story.expect(may("ann@acme.example", "bob@acme.example"), false)
  story.expect(may("*@acme.example", "bob@acme.example"), true)
  story.expect(may("*@acme.example", "bob@evilacme.example"), false)
  story.expect(may("*@acme.example", "bob@sub.acme.example"), false)
  story.expect(may("ann@acme.example,*@b.example", "x@b.example"), true)
  story.expect(may("*", "x@anywhere.example"), true)
  story.expect(may("*acme.example", "bob@acme.example"), false)
end)

story("without the key the policy decides", function()
  story.expect(users.may_send_as({}, "a@b.example"), false)
  story.expect(users.may_send_as({}, "a@b.example", true), true)
  story.expect(users.may_send_as(nil, "a@b.example", true), true)
end)

story("what the users file says reaches every hook", function(t)
  t:policy [[
    local answer, route, users = require "answer", require "route", require "users"
    return {
      sender = function(s, x)
        if users.may_send_as(s.user_facts, x.address) then return answer.accept {} end
        return answer.reject "553 5.7.1 not you"
      end,
      route = function(m) return route.hold(m.session.user .. " of " .. m.session.user_facts.team) end,
    }]]
  t:users { ann = { password = "p", from = "*@acme.example", team = "red" } }
  local s = t:session()
  s:login("ann", "p"):expect "accept"
  s:sender "x@b.example":expect { code = 553 }
  s:message { from = "ann@acme.example", to = "c@d.example" }:route():expect { because = "ann of red" }
end)

story("per_minute, per_hour and per_day are limits in recipients", function()
  local function limits(facts) return users.limits { user = "ann", user_facts = facts } end
  story.expect(limits {}, nil)
  story.expect(#limits { per_minute = "5", per_hour = 20, per_day = "100" }, 3)
  story.expect(users.limits { user = "" }, nil)
  story.expect(pcall(limits, { per_day = "many" }), false)
  story.expect(pcall(limits, { per_day = "1.5" }), false)
end)
