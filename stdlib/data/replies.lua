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

-- "7.606" to "7.649", as Microsoft gives out its codes.
local function range(subject, first, last)
  local list = {}
  for detail = first, last do list[#list + 1] = subject .. "." .. detail end
  return list
end

return function(define)
  -- ---- quotas of relays: our account is exhausted, the recipient has nothing to do with it

  define { class = "quota_day", fault = "quota", status = { "4.5" },
    text = "(daily|user) .*(sending|relay) .*(quota|limit)|DailyLimitExceeded",
    window = DAY, source = "Google Workspace Admin Help 166852, 6140680", date = "2026-11", grade = "vendor",
    note = "a mailbox or relay user; rolling 24 h" }
  define { class = "quota_day", fault = "quota", status = { "7.1" }, text = "daily SMTP relay (sending )?limit exceeded",
    window = DAY,
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
    text = "maximum credits exceeded|exceeded your (messaging|sending|daily|hourly) (limit|quota)s?|(account(?! is full)|"
      .. "plan).{0,30}(quota|limit) (exceeded|reached)",
    window = DAY, source = "texts of SendGrid, Mailgun and others", date = "2026-11", grade = "cited" }

  define { class = "quota_day", fault = "quota", status = { "7.1" }, text = "^email quota exceeded", window = DAY,
    source = GOOGLE_SMTP,
    date = "2026-11", grade = "vendor", note = "the sender's, not the recipient's" }
  define { class = "quota_day", fault = "quota", status = { "1.90" }, window = DAY, source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor",
    note = "the daily recipients of one mailbox" }
  define { class = "quota_day", fault = "quota", status = { "7.508", "2.2" },
    text = "submission quota exceeded|exceeded permitted limits", window = DAY,
    source = EXCHANGE_TEAM, date = "2026-11", grade = "cited" }
  define { class = "quota_hour", fault = "quota", window = HOUR, source = "texts of cPanel, OVH, Mailgun, SES and other relays",
    date = "2026-11", grade = "cited",
    text = "exceeded the max(imum)? (defers|emails?|messages) per hour|hourly .{0,20}(limit|quota) (reached|exceeded)|"
      .. "(allowed|number of) outgoing messages|"
      .. "^maximum sending rate exceeded" }
  define { class = "quota_day", fault = "quota", window = DAY, source = "texts of many relays and mailbox providers",
    date = "2026-11", grade = "cited",
    text = "(daily|monthly) (message|sending|email|mail) (limit|quota)|^sending quota exceeded|"
      .. "sending limit exceeded for your|throttling failure.*daily|"
      .. "reached your (daily|monthly|hourly) (sending|message|email)" }

  -- ---- configuration: ours to mend

  define { class = "ptr", fault = "configuration", status = { "7.23", "7.25" }, text = "\\bPTR\\b|reverse|forward DNS",
    source = GOOGLE_RULES, date = "2026-11",
    grade = "vendor" }
  define { class = "spf", fault = "configuration", status = { "7.27", "7.23", "7.24" }, source = GOOGLE_RULES .. "; RFC 7372",
    date = "2026-11", grade = "vendor" }
  define { class = "ptr", fault = "configuration", status = { "7.25" }, source = "RFC 7372", date = "2026-11", grade = "vendor" }
  define { class = "tls", fault = "configuration", status = { "7.29" }, source = GOOGLE_RULES, date = "2026-11", grade = "vendor" }
  define { class = "tls", fault = "configuration", text = "TLS (is )?required|must issue a STARTTLS", source = GOOGLE_SMTP,
    date = "2026-11", grade = "vendor" }
  define { class = "login_off", fault = "configuration", status = { "7.30" },
    text = "basic authentication|SmtpClientAuthentication",
    source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor", note = "the tenant has SMTP AUTH with passwords switched off" }
  define { class = "login_off", fault = "configuration", status = { "7.139" }, source = EXCHANGE_TEAM, date = "2026-11",
    grade = "cited" }
  define { class = "dkim", fault = "configuration", status = { "7.30", "7.20", "7.21", "7.22" },
    source = GOOGLE_RULES .. "; RFC 7372",
    date = "2026-11", grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.26", "7.31", "7.32", "7.40" }, source = GOOGLE_RULES,
    date = "2026-11",
    grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.509" }, source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor" }
  define { class = "helo", fault = "configuration", status = { "7.506" }, source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.515" }, source = "Microsoft Support, NDR 550 5.7.515",
    date = "2026-11",
    grade = "vendor" }
  define { class = "dmarc", fault = "configuration", status = { "7.9" }, text = "DMARC|authentication checks|AUTH0",
    source = YAHOO,
    date = "2026-11", grade = "cited" }
  define { class = "our_mailbox_full", fault = "configuration", status = { "2.2" }, text = "STOREDRV\\.Submission",
    source = EXCHANGE_LIMITS,
    date = "2026-11", grade = "vendor", note = "the sending mailbox is full of sent mail" }
  define { class = "relay_denied", fault = "configuration", text = "mail relay denied|invalid credentials for relay",
    source = GOOGLE_RELAY, date = "2026-11", grade = "vendor" }
  define { class = "sender_unverified", fault = "configuration", codes = { 550, 553, 554 },
    text = "Email address is not verified|unauthenticated senders not allowed|does not match a verified Sender|sender signature",
    source = "texts of Amazon SES, SendGrid, Postmark", date = "2026-11", grade = "cited" }
  define { class = "send_as_denied", fault = "configuration",
    text = "SendAsDenied|not allowed to send as|sender address rejected: not owned",
    source = EXCHANGE_TEAM, date = "2026-11", grade = "cited" }

  define { class = "send_as_denied", fault = "configuration", status = { "7.60" }, text = "send as this sender",
    source = EXCHANGE_TEAM,
    date = "2026-11", grade = "cited" }

  -- ---- identity: our standing with them

  define { class = "rate", fault = "identity", status = { "7.28" }, permanent = false, wait = HOUR, source = GOOGLE_RULES,
    date = "2026-11",
    grade = "vendor", note = "an unusual rate of mail" }
  define { class = "rate", fault = "identity", codes = { 421, 450, 451 }, text = "unusual rate of|rate of unsolicited mail",
    permanent = false,
    wait = HOUR, source = GOOGLE_SMTP, date = "2026-11", grade = "vendor" }
  define { class = "deferred", fault = "identity", text = [=[\[(TSS?0[1-5]|IPTS\d\d|GL01)\]]=], permanent = false, wait = 2 * HOUR,
    source = YAHOO, date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", text = [=[\[TSS?\d\d\]]=], permanent = false, wait = 6 * HOUR, source = YAHOO,
    date = "2026-11",
    grade = "vendor" }
  define { class = "blocked", fault = "identity", codes = { 553, 554 }, text = [=[\[BL\d+\]]=], permanent = false, wait = 6 * HOUR,
    source = YAHOO, date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", text = [[\(?(S3140|S3150)\)?]], permanent = false, wait = 6 * HOUR,
    source = "Microsoft sender support", date = "2026-11", grade = "vendor" }
  define { class = "rate", fault = "identity", status = range("7", 850, 899), permanent = false, wait = HOUR,
    source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor", note = "suspicious activity, looked at" }
  define { class = "rate", fault = "identity", status = { "7.500", "7.650", "7.651", "7.652", "7.700" }, permanent = false,
    wait = HOUR,
    source = "Microsoft sender support", date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", status = { "1.8", "7.705", "7.750", "7.501", "7.502", "7.503", "7.708" },
    text = "access denied|threshold|unregistered domain|bad outbound sender", permanent = false, wait = 6 * HOUR,
    source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor", note = "Microsoft has blocked this mailbox or tenant" }
  define { class = "rate", fault = "identity", codes = { 451 }, text = "access denied, please try again later",
    status = range("7", 501, 699),
    permanent = false, wait = HOUR, source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor" }
  define { class = "blocked", fault = "identity", status = range("7", 606, 649), permanent = false, wait = 6 * HOUR,
    source = EXCHANGE_TEAM,
    date = "2026-11", grade = "vendor", note = "this address is on their list" }
  define { class = "blocked", fault = "identity", status = { "7.511" }, permanent = false, wait = 6 * HOUR,
    source = EXCHANGE_TEAM, date = "2026-11",
    grade = "vendor" }
  define { class = "blocked", fault = "identity", text = "(RP|DY|OU|SC)-00[1-4]\\b", permanent = false, wait = 6 * HOUR,
    source = "Microsoft sender support, older codes; zone-mta config/bounces.txt", date = "2026-11", grade = "second-hand" }
  define { class = "blocked", fault = "identity",
    text = "very low reputation of the sending|not authorized to send email directly to our servers", permanent = false,
    wait = 6 * HOUR, source = GOOGLE_SMTP, date = "2026-11", grade = "vendor" }
  define { class = "rate", fault = "identity", text = "unsolicited mail originating from your", permanent = false, wait = 2 * HOUR,
    source = GOOGLE_SMTP, date = "2026-11", grade = "vendor", note = "comes as 421 and as 550" }
  define { class = "ptr", fault = "configuration", text = "\\b(RTR:RD|IB108)\\b", source = "error codes of AOL and GoDaddy",
    date = "2026-11", grade = "second-hand" }
  define { class = "blocked", fault = "identity", text = "\\b(RTR|RLY|CON|DYN):[A-Z]\\w", permanent = false, wait = 6 * HOUR,
    source = "AOL postmaster, older codes", date = "2026-11", grade = "second-hand" }
  define { class = "rate", fault = "identity",
    text = "\\bIB(007|504|510|607)\\b|CX(CNCT|MXRT|THRT)\\b|OFR005_104|(LPN|OFR)\\d+_104|RL0000", permanent = false,
    wait = 30 * MINUTE,
    source = "error codes of GoDaddy, Cox, Orange and Comcast", date = "2026-11", grade = "second-hand" }
  define { class = "blocked", fault = "identity",
    text = "\\bIB1(0[3-6]|1[0-3])\\b|\\bIPBL[01]{4}\\b|CX(BL|MJ)\\b|CDRBL\\b|_10[12]\\b|DNSBL:(ATT)?RBL|#BL0000",
    permanent = false, wait = 6 * HOUR,
    source = "error codes of GoDaddy, Cox, Laposte and AT&T", date = "2026-11", grade = "second-hand" }
  define { class = "blocked", fault = "identity", text = [=[\[?(HM08|CS01)\]?]=], permanent = false, wait = 2 * HOUR,
    source = "Apple Support 102322 and reports about it", date = "2026-11", grade = "second-hand" }

  -- ---- the recipient, where the code alone would say something else

  define { class = "mailbox_unknown", fault = "recipient", codes = { 550, 554 },
    text = "does ?n.t have an? .{0,40}account|this mailbox is disabled", permanent = true,
    source = YAHOO, date = "2026-11", grade = "cited" }
  define { class = "mailbox_unknown", fault = "recipient", status = { "4.1" }, codes = { 550 },
    text = "recipient address rejected: access denied", permanent = true,
    source = "learn.microsoft.com non-delivery reports in Exchange Online: directory based edge blocking", date = "2026-11",
      grade = "vendor" }

  define { class = "mailbox_rate", fault = "recipient", text = "receiving mail (too quickly|at a rate)|ReceivingRate",
    permanent = false,
    wait = HOUR, source = GOOGLE_SMTP, date = "2026-11", grade = "vendor" }
  define { class = "mailbox_rate", fault = "recipient", status = { "2.121", "2.122" }, permanent = false, wait = HOUR,
    source = EXCHANGE_TEAM,
    date = "2026-11", grade = "vendor", note = "what one recipient may get in an hour" }
  define { class = "restricted", fault = "recipient", status = { "7.12", "7.120", "7.124", "7.129", "7.133", "7.134", "7.135",
    "7.136", "7.507", "7.513" },
    blame = false, source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor", note = "this recipient takes mail from some only" }
  define { class = "restricted", fault = "recipient",
    text = "RESOLVER\\.RST\\.(Sender|NotAuthorized|Restricted)|TRANSPORT\\.RULES\\.RejectMessage|using customer block ?list",
    blame = false, source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor" }
  define { class = "mailbox_unknown", fault = "recipient", status = { "7.504", "7.505", "7.13" }, text = "recipient|user account",
    source = EXCHANGE_TEAM .. "; RFC 4954",
    date = "2026-11", grade = "vendor" }
  define { class = "mailbox_rate", fault = "recipient", codes = { 432, 451 }, status = { "3.2", "2.1" },
    text = "recipient thread limit|STOREDRV\\.Deliver", permanent = false,
    wait = 5 * MINUTE, source = EXCHANGE_TEAM, date = "2026-11", grade = "vendor" }
end
