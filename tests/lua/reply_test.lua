-- SPDX-License-Identifier: MIT
local expect = require "expect"
local reply = require "reply"

reply.define { class = "moved", fault = "recipient", codes = { 551 }, text = "moved to", permanent = true, source = "us" }

-- What peers say at their limits and when they refuse: reply, fault, class; then where it came from, if that matters.
local CASES = {
  -- quotas
  { "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to", "quota", "quota_day" },
  { "550 5.4.5 Daily sending quota exceeded - gsmtp", "unknown_or_network" },
  { "550 5.4.5 Daily user sending quota exceeded. x1sm1 - gsmtp", "quota", "quota_day" },
  { "550 5.4.5 Daily SMTP relay sending limit exceeded for user", "quota", "quota_day" },
  { "550 5.7.1 Daily SMTP relay limit exceeded for customer. For more information on SMTP relay", "quota", "quota_day" },
  { "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.", "quota", "quota_rate" },
  { "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message", "quota", "quota_day" },
  { "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit", "quota", "quota_day" },
  { "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit", "quota", "quota_day" },
  { "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", "quota", "quota_connections" },
  { "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "quota", "quota_connections" },
  { "454 Throttling failure: Daily message quota exceeded", "quota", "quota_day" },
  { "454 Throttling failure: Maximum sending rate exceeded.", "quota", "quota_rate" },
  { "451 Authentication failed: Maximum credits exceeded", "quota", "quota_day" },
  -- configuration
  { "550 5.7.26 This mail has been blocked because the sender is unauthenticated.", "configuration", "dmarc" },
  { "421 4.7.26 This mail has been rate limited because it is unauthenticated.", "configuration", "dmarc" },
  { "550 5.7.27 SPF did not pass", "configuration", "spf" },
  { "550 5.7.25 The IP address sending this message does not have a PTR record", "configuration", "ptr" },
  { "550 5.7.29 not sent over a TLS connection", "configuration", "tls" },
  { "421 4.7.0 TLS required for RCPT domain, closing connection.", "configuration", "tls" },
  { "550 5.7.30 DKIM did not pass", "configuration", "dkim" },
  { "550 5.7.30 Basic authentication is not supported for Client Submission.", "configuration", "login_off" },
  { "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled", "configuration", "login_off" },
  { "550 5.7.515 Access denied, sending domain example.org does not meet the required authentication level.", "configuration", "dmarc" },
  { "535 5.7.8 Username and Password not accepted", "configuration", "login" },
  { "530 Authentication required", "configuration", "login" },
  { "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException", "configuration", "our_mailbox_full" },
  { "554 Message rejected: Email address is not verified.", "configuration", "sender_unverified" },
  { "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "configuration", "send_as_denied" },
  { "550 5.7.1 Email rejected per DMARC policy for acme.example", "configuration", "dmarc" },
  { "550 SPF: 192.0.2.1 is not allowed to send mail from acme.example", "configuration", "spf" },
  { "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]", "configuration", "ptr" },
  { "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "configuration", "helo" },
  { "550 Verification failed for <ann@acme.example> Sender verify failed", "configuration", "sender_unverified" },
  -- identity
  { "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.", "identity", "blocked" },
  { "550 5.7.1 [TSS09] All messages from 192.0.2.1 will be permanently deferred", "identity", "blocked" },
  { "421 4.3.2 The maximum number of concurrent server connections has exceeded a per-source limit, closing", "identity", "connections" },
  { "421 4.7.28 Our system has detected an unusual rate of mail", "identity", "rate" },
  { "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume", "identity", "deferred" },
  { "553 5.7.1 [BL21] Connections not accepted from IP addresses on Spamhaus PBL", "identity", "blocked" },
  { "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. ... on our block list (S3150).", "identity", "blocked" },
  { "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", "identity", "rate" },
  { "550 5.1.8 Access denied, bad outbound sender AS(42004)", "identity", "blocked" },
  { "550 5.7.705 Access denied, tenant has exceeded threshold", "identity", "blocked" },
  { "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "identity", "blocked" },
  -- the recipient
  { "550 5.1.1 The email account that you tried to reach does not exist.", "recipient", "mailbox_unknown" },
  { "550 No such user here", "recipient", "mailbox_unknown" },
  { "554 5.7.9 delivery error: dd This user doesn't have a yahoo.com account", "recipient", "mailbox_unknown" },
  { "554 30 Sorry, your message to bob cannot be delivered. This mailbox is disabled (554.30).", "recipient", "mailbox_unknown" },
  { "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "recipient", "mailbox_unknown" },
  { "552 5.7.0 This message was blocked because its content presents a potential security issue.", "content", "attachment" },
  { "551 user has moved to <new@example.net>", "recipient", "moved" },
  { "552 5.2.2 The email account that you tried to reach is over quota and inactive.", "recipient", "mailbox_full" },
  { "452 4.2.2 The email account that you tried to reach is over quota.", "recipient", "mailbox_full" },
  { "450 4.2.1 The user you are trying to contact is receiving mail too quickly.", "recipient", "mailbox_rate" },
  { "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", "recipient", "mailbox_rate" },
  { "451 4.7.1 Greylisted, please try again in 5 minutes", "recipient", "greylisted" },
  { "550 5.2.1 The email account that you tried to reach is disabled.", "recipient", "mailbox_unknown" },
  -- the content
  { "552 5.3.4 Message size exceeds limit", "content", "too_large" },
  { "554 5.7.1 Message identified as SPAM", "content", "spam" },
  { "550 5.6.0 malformed", "content", "form" },
  -- by the standards
  { "451 4.3.0 Temporary System Problem", "network", "mail_system" },
  { "450 4.4.1 no answer", "network", "routing" },
  { "550 5.7.1 This message violates our email policy. - gcdp", "unknown", "policy" },
  { "421 closing", "network", "closing" },
  { "554 no", "recipient", "code_554" },
  -- what looks like a dead mailbox and is none
  { "552 5.1.1 <ann@there.example> recipient is overquota", "recipient", "mailbox_full" },
  { "550 5.7.1 inbox full, tell them by telephone", "recipient", "mailbox_full" },
  { "550 5.2.1 Mailbox unavailable. Your IP address 192.0.2.1 is blacklisted by us", "identity", "blocked" },
  { "550 5.2.1 our content filter keeps this message", "content", "spam" },
  { "550 5.2.122 this mailbox has had too many in the last hour", "recipient", "mailbox_rate" },
  { "550 This IP has sent too many messages this hour", "identity", "rate" },
  { "550 your host is on our blacklist", "identity", "blocked" },
  { "521 5.7.1 client [192.0.2.1] blocked using rbl.example.net", "identity", "blocked" },
  { "454 4.7.1 client host blocked using dnsbl.example.net", "identity", "blocked" },
  { "550 suspected spam IP", "identity", "blocked" },
  { "554 5.7.1 sender [a.example] blocked using multi.uribl.example: a URL in the message", "content", "spam" },
  { "550 5.1.0 <bob@acme.example>: Sender address rejected: user unknown", "configuration", "sender_domain" },
  { "553 there is a problem with the sender's domain", "configuration", "sender_domain" },
  { "553 this route requires encryption", "configuration", "tls" },
  { "550 authentication required for this", "configuration", "login" },
  { "550 too many recipients for one mail", "network", "too_many_recipients" },
  { "554 too many hops, 31 of 30", "network", "loop" },
  { "550 service not available, try again later", "network", "mail_system" },
  { "550 this server has exceeded the max emails per hour (101/100)", "quota", "quota_hour" },
  { "550 5.7.1 Email quota exceeded.", "quota", "quota_day" },
  { "550 message too large for us", "content", "too_large" },
  { "550 5.7.124 not on the list of who may write here", "recipient", "restricted" },
  { "550 you were blocked by the recipient", "recipient", "restricted" },
  { "550 Mailbox unavailable: rejected by policy", "recipient", "restricted" },
  { "550 5.7.1 your account has been suspended: sending limit", "unknown", "policy" },
  { "550 5.2.2 the account is full (quota exceeded)", "recipient", "mailbox_full" },
  { "550 Relaying denied", "configuration", "relay_denied" },
  { "550 5.1.2 there is no such host", "recipient", "domain_unknown" },
  { "550 mailbox unavailable, as we do not like the message", "recipient", "mailbox_unavailable" },
  { "550 mailbox unavailable: reject due to policy restrictions", "recipient", "restricted" },
  { "554 5.7.1 this person does not want your mail and it goes to a blacklist", "recipient", "restricted" },
  { "450 that user is receiving mail too quickly", "recipient", "mailbox_rate" },
  -- what does not look like one and is
  { "550 5.5.0 Requested action not taken: mailbox unavailable (S123)", "recipient", "mailbox_unknown" },
  { "550 5.1.1 user unknown here. Protected by Barracuda Networks", "recipient", "mailbox_unknown" },
  { "550 <nospam@blocked.example>: user unknown", "recipient", "mailbox_unknown" },
  { "550 <bob@there.example>...user unknown", "recipient", "mailbox_unknown" },
  { "550 5.7.1 by our policy for this address: no such user", "recipient", "mailbox_unknown" },
  { "550 Unrouteable address", "recipient", "mailbox_unknown" },
  { "550 #5.1.0 Address rejected.", "recipient", "code_550" },
  { "550 5.1.0 Address rejected.", "recipient", "mailbox_unknown" },
  { "550 destinataire inconnu", "recipient", "mailbox_unknown" },
  { "554 5.7.1 the account has been suspended", "recipient", "mailbox_unknown" },
  { "451 4.7.1 a temporary failure, please try again", "network", "mail_system" },
}

local function outcome_of(line, more)
  local code, status, text = line:match("^(%d%d%d) (%d%.%d+%.%d+) (.*)$")
  if not code then code, text = line:match("^(%d%d%d) (.*)$") end
  local o = { code = math.tointeger(tonumber(code)), status = status or "", text = text, stage = "rcpt", from_peer = true,
    peer = "mx.example.net [192.0.2.1]:25", attempt = 1 }
  o.permanent = o.code >= 500
  for name, value in pairs(more or {}) do o[name] = value end
  return o
end

local t = {}

function t.real_replies()
  for _, case in ipairs(CASES) do
    local v = reply.classify(outcome_of(case[1]))
    if case[2] ~= "unknown_or_network" and (v.fault ~= case[2] or v.class ~= case[3]) then
      error(case[1] .. ": expected " .. case[2] .. "/" .. case[3] .. ", got " .. v.fault .. "/" .. v.class .. " by " .. v.rule)
    end
  end
end

-- None of what is our quota, standing or configuration may ever count against a recipient, whatever its code.
function t.nothing_of_ours_blames_the_recipient()
  for _, case in ipairs(CASES) do
    local v = reply.classify(outcome_of(case[1]))
    if case[2] ~= "recipient" then expect.truth(not reply.blames_recipient(v), case[1]) end
    if case[2] == "quota" then
      expect.truth(not v.permanent, case[1])
      expect.equal(v.free_at, clock.now() + v.window)
    end
  end
  expect.truth(reply.blames_recipient(reply.classify(outcome_of("550 5.1.1 no such user"))))
  expect.truth(not reply.blames_recipient(reply.classify(outcome_of("552 5.2.2 full"))))
  expect.truth(not reply.blames_recipient(reply.classify(outcome_of("450 4.1.1 not now"))))
end

-- Who takes mail from some only, a domain that is gone, words that nobody knows: the mail comes back, and nobody is to blame.
function t.a_refusal_need_not_be_the_mailbox()
  for _, line in ipairs { "550 you were blocked by the recipient", "550 5.1.2 no such host", "550 gibberish", "554 5.2.4 the list is broken", "550 5.1.4 two of that name" } do
    local v = reply.classify(outcome_of(line))
    expect.truth(v.permanent and v.fault == "recipient" and not reply.blames_recipient(v), line)
  end
  expect.truth(reply.blames_recipient(reply.classify(outcome_of("550 5.2.1 it is closed"))))
end

-- The recipient's own host that will not relay does not know the domain; a smarthost that will not does not know us.
function t.who_will_not_relay()
  local v = reply.classify(outcome_of("554 5.7.1 <bob@there.example>: Relay access denied", { via = "direct" }))
  expect.equal(v.fault .. "/" .. v.class, "recipient/domain_refused")
  expect.truth(v.permanent and not reply.blames_recipient(v))
  v = reply.classify(outcome_of("554 5.7.1 <bob@there.example>: Relay access denied", { via = "smarthost" }))
  expect.equal(v.fault .. "/" .. v.class, "configuration/relay_denied")
end

function t.windows()
  local function wait(line) return reply.classify(outcome_of(line)).window end
  expect.equal(wait("550 5.4.5 Daily user sending limit exceeded"), 86400)
  expect.equal(wait("450 4.2.1 Peak SMTP relay limit exceeded for customer"), 600)
  expect.equal(wait("454 Throttling failure: Maximum sending rate exceeded"), 10)
  expect.equal(wait("550 5.1.1 nobody"), nil)
end

function t.our_own_words_are_no_providers()
  local v = reply.classify(outcome_of("454 4.4.2 Throttling failure", { from_peer = false, stage = "connect" }))
  expect.equal(v.fault, "network")
  v = reply.classify(outcome_of("550 5.1.1 no such user", { from_peer = false, stage = "dns" }))
  expect.equal(v.fault, "network")
end

function t.only_the_code_is_needed()
  expect.equal(reply.classify { code = 550 }.fault, "unknown")
  expect.equal(reply.classify { code = 450, stage = "rcpt" }.fault, "recipient")
  expect.equal(reply.classify { code = 450, text = "x", status = "nonsense" }.fault, "unknown")
end

function t.the_last_attempt()
  local function after(code, text, status) return { last = { reply = { code = code, text = text, status = status }, stage = "rcpt",
    peer = "mx.example.net [192.0.2.1]:25", identity = "box1" } } end
  expect.equal(reply.last {}, nil)
  expect.equal(reply.exhausted {}, nil)
  expect.equal(reply.last(after(550, "Daily user sending limit exceeded", "5.4.5")).fault, "quota")
  expect.equal(reply.exhausted(after(550, "Daily user sending limit exceeded", "5.4.5")), "box1")
  expect.equal(reply.exhausted(after(451, "Greylisted", "4.7.1")), nil)
end

function t.rules_say_where_they_come_from()
  for _, rule in ipairs(reply.show()) do
    expect.truth(rule.source ~= "" and rule.where:match("^[%w/_]+%.lua:%d+$"), rule.class)
  end
  local v = reply.classify(outcome_of("551 user has moved to <x@y>"))
  expect.equal(v.layer, "operator")
  expect.equal(v.rule, "reply_test.lua:5")
end

function t.what_is_refused()
  expect.refused("reply.define: 'x': fault: one of configuration, content", function()
    reply.define { class = "x", fault = "me", codes = { 550 }, source = "us" }
  end)
  expect.refused("neither codes, status nor text", function() reply.define { class = "x", fault = "quota", source = "us" } end)
  expect.refused("text: re:", function() reply.define { class = "x", fault = "quota", text = "(", source = "us" } end)
  expect.refused("reply.define: 'x': source is missing", function() reply.define { class = "x", fault = "quota", text = "y" } end)
  expect.refused("unknown field 'elswhere'", function() reply.hook { elswhere = true } end)
end

return t
