// SPDX-License-Identifier: MIT
// warmup_policy: the policy of a warmup that is watched for a month: three identities of different age in a pool, each with its
// ladder, and what none may send goes to a relay.
#pragma once

// Lua. last, first: the ladder's steps are first * 1.09^day up to that day. more: fields of each member's warmup beside those here.
#define WARMUP_POLICY(last, first, more)                                                                                          \
    "local identity, pool, provider, route = require 'identity', require 'pool', require 'provider', require 'route'\n"          \
    "local warmup = require 'warmup'\n"                                                                                           \
    "local ladder = {}\n"                                                                                                         \
    "for day = 1, " last " do ladder[day] = math.floor(" first " * 1.09 ^ day) end\n"                                             \
    "local members = {}\n"                                                                                                        \
    "for i, name in ipairs { 'a', 'b', 'c' } do\n"                                                                                \
    "  members[i] = { name = name, identity = identity.define { name = name },\n"                                                 \
    "    warm = warmup.new { name = name, ladder = ladder, start = '2026-11-01', age = i - 1, overflow = 'relay', " more " } }\n" \
    "end\n"                                                                                                                       \
    "local team = pool.new { members = members, size = 3, caps = function(m, ask) return m.warm:limits(ask.provider) end }\n"     \
    "local relay = route.send { via = route.relay { host = 'relay.example' }, because = 'relay' }\n"                              \
    "return { route = function(message, recipient)\n"                                                                             \
    "  local group = provider.by_domain(recipient.domain) or 'other'\n"                                                           \
    "  return team:first({ message = message, recipient = recipient, provider = group }, function(member, spend)\n"               \
    "    return route.send { via = route.direct {}, identity = member.identity, spend = spend, because = member.name }\n"         \
    "  end, relay)\n"                                                                                                             \
    "end }"
