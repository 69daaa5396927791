-- SPDX-License-Identifier: MIT
-- Data: replies whose meaning their code does not tell. The first that fits counts; `status` is written without its class ("7.26"
-- is 4.7.26 and 5.7.26). Patterns are Perl's, caseless.
local DAY, HOUR, MINUTE = 86400, 3600, 60
local GOOGLE_RELAY = "Google Workspace Admin Help 2956491, 6140680"
local GOOGLE_SMTP = "Google Workspace Admin Help 3726730"
local GOOGLE_RULES = "Google Help, answer 81126"
local EXCHANGE_LIMITS = "Exchange Online limits; learn.microsoft.com smtp-submission-improvements"
local EXCHANGE_TEAM = "Exchange team blog; learn.microsoft.com non-delivery reports in Exchange Online"
local SES = "Amazon SES developer guide, manage-sending-quotas-errors"
local YAHOO = "senders.yahooinc.com/smtp-error-codes"

return function(define)
  -- ---- quotas of relays: our account is exhausted, the recipient has nothing to do with it

  define { class = "quota_day", fault = "quota", status = { "4.5" }, text = "(daily|user) .*(sending|relay) .*(quota|limit)|DailyLimitExceeded",
    window = DAY, source = "Google Workspace Admin Help 166852, 6140680", date = "2026-11", grade = "vendor",
    note = "a mailbox or relay user; rolling 24 h" }
  define { class = "quota_day", fault = "quota", status = { "7.1" }, text = "daily SMTP relay (sending )?limit exceeded", window = DAY,
    source = GOOGLE_RELAY, date = "2026-11", grade = "vendor", note = "the organisation's limit at smtp-relay.gmail.com" }
  define { class = "quota_rate", fault = "quota", status = { "2.1" }, text = "peak SMTP relay limit", window = 10 * MINUTE,
    source = GOOGLE_RELAY, date = "2026-11", grade = "vendor" }
  define { class = "quota_day", fault = "quota", text = "SubmissionQuotaExceeded", window = DAY, source = EXCHANGE_LIMITS,
    date = "2026-11", grade = "vendor", note = "10,000 recipients a day of one mailbox" }
  define { class = "quota_day", fault = "quota", status = { "7.232", "7.233" }, window = DAY, source = EXCHANGE_TEAM,
    date = "2026-11", grade = "vendor", note = "external recipients of the whole tenant; rolling 24 h" }
  define { class = "quota_connections", fault = "quota", codes = { 432, 421, 451 }, status = { "3.2" },
    text = "concurrent connections? limit|sender thread limit", window = MINUTE, source = EXCHANGE_LIMITS, date = "2026-11",
    grade = "vendor", note = "three at a time for a mailbox" }
  define { class = "quota_day", fault = "quota", codes = { 454 }, text = "Throttling failure.*daily", window = DAY, source = SES,
    date = "2026-11", grade = "vendor" }
  define { class = "quota_rate", fault = "quota", codes = { 454 }, text = "Throttling failure", window = 10, source = SES,
    date = "2026-11", grade = "vendor", note = "back off 5, 10, 30 s" }
  define { class = "quota_day", fault = "quota", codes = { 451, 452, 550, 554 },
    text = "maximum credits exceeded|exceeded your (messaging|sending|daily|hourly) (limit|quota)s?|(account|plan).{0,30}(quota|limit) (exceeded|reached)",
    window = DAY, source = "texts of SendGrid, Mailgun and others", date = "2026-11", grade = "cited" }

  -- ---- configuration: ours to mend

  define { class = "ptr", fault = "configuration", status = { "7.23", "7.25" }, text = "\\bPTR\\b|reverse|forward DNS", source = GOOGLE_RULES, date = "2026-11",
    grade = "vendor" }
  define { class = "spf", fault = "configuration", status = { "7.27", "7.23", "7.24" }, source = GOOGLE_RULES .. "; RFC 7372",
    date = "2026-11", grade = "vendor" }
  define { class = "ptr", fault = "configuration", status = { "7.25" }, source = "RFC 7372", date = "2026-11", grade = "vendor" }
  define { class = "tls", fault = "configuration", status = { "7.29" }, source = GOOGLE_RULES, date = "2026-11", grade = "vendor" }
  define { class = "tls", fault = "configuration", text = "TLS (is )?required|must issue a STARTTLS", source = GOOGLE_SMTP,
    date = "2026-11", grade = "vendor" }
  define { class = "login_off", fault = "configuration", status = { "7.30" }, text = "basic authentication|SmtpClientAuthentication",
    source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor", note = "the tenant has SMTP AUTH with passwords switched off" }
  define { class = "login_off", fault = "configuration", status = { "7.139" }, source = EXCHANGE_TEAM, date = "2026-11", grade = "cited" }
  define { class = "dkim", fault = "configuration", status = { "7.30", "7.20", "7.21", "7.22" }, source = GOOGLE_RULES .. "; RFC 7372",
    date = "2026-11", grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.26", "7.31", "7.32", "7.40" }, source = GOOGLE_RULES, date = "2026-11",
    grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.515" }, source = "Microsoft Support, NDR 550 5.7.515", date = "2026-11",
    grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.9" }, text = "DMARC|authentication checks|AUTH0", source = YAHOO,
    date = "2026-11", grade = "cited" }
  define { class = "our_mailbox_full", fault = "configuration", status = { "2.2" }, text = "STOREDRV\\.Submission", source = EXCHANGE_LIMITS,
    date = "2026-11", grade = "vendor", note = "the sending mailbox is full of sent mail" }
  define { class = "relay_denied", fault = "configuration", text = "mail relay denied|invalid credentials for relay",
    source = GOOGLE_RELAY, date = "2026-11", grade = "vendor" }
  define { class = "sender_unverified", fault = "configuration", codes = { 550, 553, 554 },
    text = "Email address is not verified|unauthenticated senders not allowed|does not match a verified Sender|sender signature",
    source = "texts of Amazon SES, SendGrid, Postmark", date = "2026-11", grade = "cited" }
  define { class = "send_as_denied", fault = "configuration", text = "SendAsDenied|not allowed to send as|sender address rejected: not owned",
    source = EXCHANGE_TEAM, date = "2026-11", grade = "cited" }

  define { class = "send_as_denied", fault = "configuration", status = { "7.60" }, text = "send as this sender", source = EXCHANGE_TEAM,
    date = "2026-11", grade = "cited" }
  define { class = "dmarc", fault = "configuration", codes = { 421, 450, 451, 550, 554 }, text = "\\bDMARC\\b", source = "texts of many receivers that code it 5.7.1",
    date = "2026-11", grade = "cited" }
  define { class = "spf", fault = "configuration", codes = { 421, 450, 451, 550, 554 },
    text = "\\bSPF\\b.{0,60}(fail|reject|not (allowed|permitted|authori[sz]ed))|(fail|reject|not (allowed|permitted|authori[sz]ed)).{0,40}\\bSPF\\b|openspf",
    source = "texts of many receivers that code it 5.7.1", date = "2026-11", grade = "cited" }
  define { class = "ptr", fault = "configuration", codes = { 421, 450, 451, 550, 554 },
    text = "cannot find your (reverse )?hostname|(no|missing|without|invalid|regarding) (a )?(reverse DNS|rDNS|PTR)|reverse DNS (lookup )?(fail|record)",
    source = "Postfix reject_unknown_client_hostname, and others", date = "2026-11", grade = "cited" }
  define { class = "helo", fault = "configuration", codes = { 450, 501, 504, 550, 554 }, text = "\\b(HELO|EHLO)\\b.{0,30}(reject|invalid|must|need)",
    source = "Postfix reject_*_helo_hostname, and others", date = "2026-11", grade = "cited" }
  define { class = "sender_unverified", fault = "configuration", codes = { 450, 550, 553 }, text = "sender verify failed|verification failed for <|sender callout",
    source = "Exim, sender verification", date = "2026-11", grade = "cited" }

  -- ---- identity: our standing with them

  define { class = "rate", fault = "identity", status = { "7.28" }, permanent = false, wait = HOUR, source = GOOGLE_RULES, date = "2026-11",
    grade = "vendor", note = "an unusual rate of mail" }
  define { class = "rate", fault = "identity", codes = { 421, 450, 451 }, text = "unusual rate of|rate of unsolicited mail", permanent = false,
    wait = HOUR, source = GOOGLE_SMTP, date = "2026-11", grade = "vendor" }
  define { class = "deferred", fault = "identity", text = [=[\[(TSS?0[1-5]|IPTS0[45])\]]=], permanent = false, wait = 2 * HOUR,
    source = YAHOO, date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", codes = { 553, 554 }, text = [=[\[BL\d+\]]=], permanent = false, wait = 6 * HOUR,
    source = YAHOO, date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", text = [[\(?(S3140|S3150)\)?]], permanent = false, wait = 6 * HOUR,
    source = "Microsoft sender support", date = "2026-11", grade = "vendor" }
  define { class = "rate", fault = "identity", status = { "7.500", "7.650", "7.651", "7.652", "7.700" }, permanent = false, wait = HOUR,
    source = "Microsoft sender support", date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", status = { "1.8", "7.705", "7.750", "7.501", "7.502", "7.503", "7.708" },
    text = "access denied|threshold|unregistered domain|bad outbound sender", permanent = false, wait = 6 * HOUR, source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor", note = "Microsoft has blocked this mailbox or tenant" }
  define { class = "blocked", fault = "identity", status = { "7.511", "7.606", "7.607", "7.608", "7.609" }, permanent = false,
    wait = 6 * HOUR, source = "Microsoft sender support", date = "2026-11", grade = "cited" }
  define { class = "blocked", fault = "identity", text = [=[\[?(HM08|CS01)\]?]=], permanent = false, wait = 2 * HOUR,
    source = "Apple Support 102322 and reports about it", date = "2026-11", grade = "second-hand" }
  define { class = "blocked", fault = "identity", codes = { 550, 554, 571 },
    text = "(spamhaus|spamcop|barracudacentral|sorbs|block ?list|blacklist|\\bRBL\\b|DNSBL)", permanent = false, wait = 6 * HOUR,
    source = "texts of many receivers that ask block lists", date = "2026-11", grade = "cited" }
  define { class = "rate", fault = "identity", codes = { 421, 450, 451, 452 },
    text = "temporarily deferred|rate limit|too many (messages|connections)|OFR005_104|RL0000", permanent = false, wait = 30 * MINUTE,
    source = "KumoMTA assets/community/shaping.toml", date = "2026-11", grade = "second-hand" }

  define { class = "blocked", fault = "identity", codes = { 421, 550, 554 }, text = "poor reputation|access to this mail system has been rejected|permanently deferred",
    permanent = false, wait = 6 * HOUR, source = "texts of Cisco ESA (sender groups) and Yahoo", date = "2026-11", grade = "cited" }
  define { class = "connections", fault = "identity", codes = { 421, 450, 451 }, text = "(concurrent|simultaneous).{0,30}connections|per-source limit", permanent = false,
    wait = 5 * MINUTE, source = "Exchange Server, receive connectors; and others", date = "2026-11", grade = "cited" }

  -- ---- the recipient, where the code alone would say something else

  define { class = "mailbox_unknown", fault = "recipient", codes = { 550, 554 }, text = "does ?n.t have an? .{0,40}account|this mailbox is disabled", permanent = true,
    source = YAHOO, date = "2026-11", grade = "cited" }
  define { class = "mailbox_unknown", fault = "recipient", status = { "4.1" }, codes = { 550 }, text = "recipient address rejected: access denied", permanent = true,
    source = "learn.microsoft.com non-delivery reports in Exchange Online: directory based edge blocking", date = "2026-11", grade = "vendor" }

  define { class = "mailbox_rate", fault = "recipient", status = { "2.1" }, text = "receiving mail (too quickly|at a rate)", permanent = false,
    wait = HOUR, source = GOOGLE_SMTP, date = "2026-11", grade = "vendor" }
  define { class = "mailbox_rate", fault = "recipient", codes = { 432 }, text = "STOREDRV\\.Deliver|recipient thread limit", permanent = false,
    wait = 5 * MINUTE, source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor" }
  define { class = "mailbox_full", fault = "recipient", status = { "2.2" }, wait = 4 * HOUR, source = "RFC 3463 3.3",
    date = "2026-11", grade = "vendor" }
  define { class = "mailbox_unknown", fault = "recipient", status = { "1.1", "1.2", "1.3", "1.6", "1.10" }, codes = { 550, 551, 552, 553, 554 },
    permanent = true, source = "RFC 3463 3.2; RFC 7505 for x.1.10", date = "2026-11", grade = "vendor" }
  define { class = "mailbox_unknown", fault = "recipient", codes = { 550, 551, 553, 554 },
    text = "(user|recipient|mailbox|address|account).{0,30}(unknown|not found|does ?n.t exist|no longer|not exist|invalid|disabled|inactive|unavailable)|no such (user|mailbox|recipient|account)|unknown (user|recipient|mailbox|local part)",
    permanent = true, source = "texts of many receivers without enhanced codes", date = "2026-11", grade = "cited" }
  define { class = "greylisted", fault = "recipient", codes = { 450, 451, 421 }, text = "gr[ea]y-?list|try again (in|later)", permanent = false,
    wait = 5 * MINUTE, source = "RFC 6647", date = "2026-11", grade = "vendor" }

  -- ---- the content

  define { class = "spam", fault = "content", codes = { 550, 552, 554 }, text = "\\bspam\\b|unsolicited|content rejected|phish",
    permanent = true, source = "texts of many receivers", date = "2026-11", grade = "cited" }
  define { class = "virus", fault = "content", codes = { 550, 552, 554 }, text = "virus|malware|infected", permanent = true,
    source = "texts of many receivers", date = "2026-11", grade = "cited" }
  define { class = "attachment", fault = "content", codes = { 550, 552, 554 }, text = "potential security issue|(attachment|file).{0,40}(not allowed|blocked|prohibited|rejected)",
    permanent = true, source = "Google Help, answer 6590; and others", date = "2026-11", grade = "vendor" }
  define { class = "form", fault = "content", status = { "6.0", "7.7" }, codes = { 550, 554 }, permanent = true, source = "RFC 3463", date = "2026-11",
    grade = "vendor" }
end
