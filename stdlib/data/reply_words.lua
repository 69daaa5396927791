-- SPDX-License-Identifier: MIT
-- Data: what receivers say in words, where the rules of providers (replies.lua, tried first) know nothing. Codes help little here: the
-- same 550 5.7.1 stands for a block list, a quota, spam and a dead mailbox. The order matters, as the first that fits counts: what could
-- be taken for a dead mailbox is sorted out before dead mailboxes are looked for. Addresses were taken out of the text before.
local HOUR, MINUTE = 3600, 60
local MANY = "texts of many receivers, read in the test data of bounce parsers (Sisimai, Mail::DeliveryStatus::BounceParser, flufl.bounce, ZoneMTA, KumoMTA)"
local POSTFIX = "default texts of Postfix, Exim, sendmail, qmail and Exchange"

local function any(list) return table.concat(list, "|") end

return function(define)
  local function words(entry)
    entry.source, entry.date, entry.grade = entry.source or MANY, "2026-11", entry.grade or "cited"
    define(entry, 3)
  end

  -- ---- what says of itself that it is for now, by a code for good or not
  words { class = "greylisted", fault = "recipient", codes = { 450, 451, 421 }, text = "gr[ea]y-?list", wait = 5 * MINUTE,
    source = "RFC 6647", grade = "vendor" }

  -- ---- a mailbox that is full, whatever the code: many say 550 5.1.1 or 5.7.1 for it
  words { class = "mailbox_full", fault = "recipient", status = { "2.2" }, wait = 4 * HOUR, blame = false,
    source = "RFC 3463 3.3", grade = "vendor" }
  words { class = "mailbox_full", fault = "recipient", wait = 4 * HOUR, blame = false,
    text = "^(?!.*\\b(sending|submission|outgoing|daily|hourly|per (hour|day))\\b)(?!.*message (file )?size).*(" .. any {
      "over ?quota", "over (the |their |its )?(allowed |disk |mail |mailbox )?quota",
      "(mailbox|inbox|mailfolder|maildir|account) (is )?(\\w+ )?full", "full mailbox",
      "(exceed\\w*|out of|not enough|no|reached|would exceed).{0,40}(quota|storage|(disk|local) (space|limit|quota)|"
        .. "allowed storage)",
      "does not have enough space", "quota (exceeded|violation|usage|reached)",
      "(disk|disc|mail|mailbox|domaindisk|userdisk) quota", "(space has been|limit) used up",
      "mailbox size( limit)? exceed", "mailbox.{0,20}exceed\\w*.{0,25}(size|limit|space|capacity)", "mail file size exceeds", "exceeded the local limit",
      "(too many|zu ?viele) (messages|mails) (on|auf)", "too much mail data",
      "destinataire pleine", "casella piena", "buz[o\\x{f3}]n lleno", "postfach (ist )?voll", "exceeding receiving limits",
    } .. ")" }

  -- ---- a dead mailbox, where code and words agree
  words { class = "mailbox_unknown", fault = "recipient", codes = { 511, 521, 550, 551, 552, 553, 554 }, status = { "1.1", "1.0",
    "1.6", "1.10", "2.1" },
    permanent = true, text = "^(?!.*\\b(sender|reputation|black|blocked using|banned))(.*\\b)?(" .. any {
      "(user|recipient|mailbox|address|account|alias|customer|e-?mail).{0,40}(unknown|not found|does ?n.?t exist|"
        .. "do not exist|no longer|not exist|invalid|illegal|disabled|inactive|closed|deactivated|suspended|terminated)",
      "(unknown|no such|invalid|inactive|bad) (or illegal )?(user|mailbox|recipient|address|account|alias|local|e-?mail)",
      "no mailbox", "not our customer", "address rejected\\.?( <>)?$", "^<?>?:? ?(user |recipient )?unknown",
      "RecipientNotFound" } .. ")" }
  words { class = "mailbox_unknown", fault = "recipient", codes = { 550, 554 }, permanent = true,
    source = "recipient's hosts that ask the next one: Postfix reject_unverified_recipient",
    text = "undeliverable address: host .{0,200}(5\\.1\\.1|user unknown|no such user)" }

  words { class = "mailbox_unknown", fault = "recipient", codes = { 550 }, permanent = true,
    text = "the account or domain may not exist", source = "cPanel, Exim's words for an unknown recipient" }
  words { class = "sender_address", fault = "content", status = { "1.7" }, codes = { 501, 550, 553, 554 },
    source = "RFC 3463 3.2", grade = "vendor" }

  -- ---- a recipient who takes mail from some only
  words { class = "restricted", fault = "recipient", blame = false, text = "mailbox unavailable\\W.{0,20}reject(ed)? (due to|by) (\\w+ )?policy",
    source = "GMX and web.de" }
  words { class = "restricted", fault = "recipient", blame = false, text = "unavailable or access denied",
    source = "Tencent QQ: an unknown mailbox or one that refuses us, which is not said" }
  words { class = "restricted", fault = "recipient", blame = false,
    text = any { "(blacklisted|blocked|rejected|banned|refused) by (the |this |our )?(recipient|user|addressee)",
    "(members?|subscribers?)[- ]only", "non-?member", "closed mailing list",
      "not (a )?(subscribed|member|permitted to post|allowed to post)", "allowed-senders list",
      "(recipient|user).{0,20}(list of senders|allow ?list|bypass list to accept)",
      "recipient (does not|doesn.t|is not) accept(ing)? (e?-?mails?|messages?)",
      "(sender|envelope).{0,30}(is|are) (in|on) my (black|block)", "sender not pre-approved",
      "envelope (blocked|rejected) .{0,5}(user|block policy)", "blocked senders", "senderfilterconfig",
      "rule imposed mailbox access", "delivery not authorized", "delivery restriction",
      "administrative prohibition", "mail address management", "valid-address-filter", "organizational settings",
      "by organization policy", "solving a captcha", "only accepting mail from", "user rules", "recipient preferences",
      "user reject", "refuse to receive", "refuses to accept your", "by recipients?$", "account is protected",
      "does not want your mail", "user in blacklist" } }

  -- ---- what is in the message: a URL on a list is not our address on a list
  words { class = "spam", fault = "content", text = any { "\\b(uribl|surbl|urlbl)", "\\bdbl\\.",
    "\\bUR[LI] in (this|the|your) (e?mail|message)", "spamassassin", "spamprofiler", "spam ?points?",
    "spam (score|content|pattern)",
      "spam confidence", "spamtext", "DT:SPM", "help_spam_16",
      "(identified|classified|considered|detected|suspected|looked like|looks like|rejected|message is|likely|possible|"
        .. "suspicion of|due to) (to be |as )?(be )?spam(?!mer|ming)(?!\\w* ?(ip|incident|-?like|activity|"
          .. "list))(?!.{0,60}reputation)",
      "spam message rejected", "anti-?spam", "mass mailer", "bulk[ .](e?mail|advertising)", "^(554 5.7.0 )?reject, id=",
      "system has detected that this message is$", "mail content denied", "content filter", "recurrent pattern", "phish",
      "likely (unsolicited|suspicious)",
      "appears to be unsolicited", "dspam", "spammy" } }

  -- ---- identity: who says that too much came
  words { class = "too_many_recipients", fault = "network", permanent = false, wait = 5 * MINUTE,
    text = "too many recipients(?! received)|recipient list, exceeds", source = "RFC 5321 4.5.3.1.10" }
  words { class = "loop", fault = "network", text = any { "mail ?loop", "(forwarding|routing) loop", "too many hops",
    "hop ?count", "\\d+ hops", "loops? back", "message looping", "too many .?received", "loop count", "loop was found",
      "aliasing/forwarding", "depth exceeded" }, permanent = true, codes = { 550, 552, 553, 554 } }
  words { class = "relay_rate", fault = "identity", permanent = false, wait = HOUR,
    text = "sending (limit|rate) (to|for) this (domain|host)|mail send limit|send(ing)? limit is exceeded|"
      .. "exceed\\w* .{0,30}sending limit" }
  words { class = "blocked", fault = "identity", permanent = false, wait = 6 * HOUR, text = "permanently deferred",
    source = "Yahoo" }
  words { class = "connections", fault = "identity", permanent = false, wait = 5 * MINUTE,
    source = "Exchange Server, receive connectors; and others",
    text = "(concurrent|simultaneous).{0,30}connections|per-source limit|exceeds per-domain connection limit" }
  words { class = "rate", fault = "identity", permanent = false, wait = 30 * MINUTE,
    text = any { "temporarily deferred", "rate[- ]?limit", "server busy", "frequency limited", "throttl", "slow down",
    "connection rate", "rejected due to (too many|volume)",
      "too many (smtp )?(connections|sessions|concurrent|simultaneous|messages|unwanted|e?-?mails?\\b|errors|spams|"
        .. "bad commands|invalid|recipients received|to too many)",
      "too much (mail|fail)", "threshold exceeded", "trop de connexions",
      "exceed\\w* (the |your |allowable |its |their )?(max(imum)? |allowed |configured )?(number of |"
        .. "per-domain )?(connection|messages? (sub|rate|per)|e?mails?\\b|rate|limit for)",
      "submission rate", "(messages|emails|mails) (per|this) (hour|day|session)",
      "(connection|outbound thread) limit", "multiple messages? per", "ratelimit", "too many in a single", "messages per session",
      "(received|sent) too many", "last .{0,10}minutes.{0,40}too many" } }
  words { class = "blocked", fault = "identity", permanent = false, wait = 6 * HOUR,
    text = any { "\\b(spam(haus|cop)|sorbs|barracudacentral|barracudanetworks|uceprotect|invaluement|ivmsip|hostkarma|"
      .. "junkemailfilter|senderscore|abuseat|dsbl\\.org|drbl|cobion|cloud-?security\\.net|backscatterer)",
      "spamrl\\.com", "csi\\.(cloudmark|mimecast)", "by CSI", "ipcheck\\.proofpoint", "proofpoint\\.com/dnsbl", "trend micro rbl",
      "block(ed)? ?list", "black ?list", "\\bR?BL\\b|DNSBL|DNSRBL|dns_rbl|\\brbl[_ ]?\\d", "reputation",
      "blocked (using|for abuse|- see|by (spamhaus|ivm|cbl))",
      "refused - see", "(poor|bad) (reputation|ip)\\b", "\\blisted (at|in|as|by|on) (?!one)", "spam statistics", "abus detecte",
      "sending spam", "(spam|identified as spammer|suspected spam).{0,8}\\bips?\\b", "identified as spammer",
      "spam(ming)? (issues|incident|-?like)",
      "incident de spam", "sender is (a )?spammer", "like spammer", "banned (send|ip|by country)",
      "\\bip (in prison|is (hangup|rejected))", ": invalid ip$", "geographical location|geoip",
      "\\b(ip|server|host|mta|network)( address)?\\b.{0,50}\\b(block|blocked|ban|banned|denied|forbidden|not (allowed|"
        .. "permitted|authori[sz]ed))\\b",
      "(bad|blocked|banned|reject\\w*|refused?) (sender )?ip\\b", "ip (address )?(temporarily |was )?(rejected|block|ban)",
      "(dynamic|zombied|residential|unverif\\w+).{0,30}\\bips?\\b", "dynamic ip", "open proxy",
      "insecure mail relay|open relay not allowed",
      "client host (\\S+ )?(rejected|blocked|refused)(?!.{0,20}(cannot find|authenticated))", "n[o']t allowed to connect",
      "connection (denied|refused by|refused\\.)", "access to (submit|this mail system)", "to submit messages to this",
      "suspicious activity", "not accepting messages from your",
      "A problem occurred\\. ?\\(?Ask", "no smtp service", "use (the )?smtp (server |relay )?of your", "please use the smtp",
      "remotehost looks", "confirm this mail server|server requires confirmation", "may not be mail exchanger",
      "permanent failure .{0,60}:blocked",
      "recipient not authorized, your ip", "does not have permissions to submit", "blocked by (the )?\\S+\\.(org|net|com)",
      "service permits \\d+ unverif", "sending paused", "local (ct )?ip reputation", "symantec zodiac",
      "mail from (<> ?)?\\[?[\\d.]+\\]? (was )?(refused|rejected)",
      "not (currently )?accepting (mail|messages|connections) from your|not accepting connections$",
      "no access from mail server|not in whitelist", "blocked?( for spam)?\\. Please see|block for spam",
      "^(said: 550 )?blocked$|<>:blocked" } }

  -- ---- configuration: what we do not prove, and who we say we are
  words { class = "dmarc", fault = "configuration",
    text = "\\bDMARC\\b|(pass|fails? to pass|failed) authentication checks|sender is unauthenticated|unauthenticated email|"
      .. "spoof|sender or the message has not passed|has not passed validation|domain owner policy" }
  words { class = "spf", fault = "configuration",
    text = "\\bSPF\\b.{0,60}(fail|reject|not (allowed|permitted|authori[sz]ed)|record|settings)|(fail|reject|invalid|"
      .. "not (allowed|permitted|authori[sz]ed)).{0,40}\\bSPF\\b|openspf|sender policy framework|"
        .. "purported responsible address|mismatches client ip|spf\\.pobox|invalid ip for sending mail" }
  words { class = "dkim", fault = "configuration",
    text = "\\bDKIM\\b.{0,60}(fail|invalid|reject|missing|required|did ?n.t pass)|(fail|invalid|no valid).{0,30}\\bDKIM\\b" }
  words { class = "ptr", fault = "configuration", source = POSTFIX .. "; " .. MANY,
    text = "(cannot|can't|could not) (find|resolve) your (reverse )?(host ?name|address)|\\bPTR\\b|reverse ?(dns|lookup|"
      .. "hostname|name)|\\brDNS\\b|ip name lookup failed|unresolvable relay host|_108\\b|connecting ip address domain name" }
  words { class = "helo", fault = "configuration", source = POSTFIX,
    text = "\\b(HELO|EHLO)\\b.{0,60}(reject|invalid|must|need|should|require|bad|host not found|wrong|argument)|(bad|wrong|"
      .. "invalid|value if command).{0,30}\\b(HELO|EHLO)\\b" }
  words { class = "tls", fault = "configuration",
    text = "(requires?|required|must (use|support|issue)|needed).{0,30}(\\bTLS\\b|encryption|high-strength cipher)|(TLS|"
      .. "STARTTLS|encryption)\\b.{0,40}(is )?(required|needed|not-supported)|tlsa-invalid|dnssec-invalid|"
        .. "certificate-(expired|host-mismatch)|high-strength ciphers|configuration is invalid for this certificate|"
          .. "restrictdomainsto(ip|cert)" }
  words { class = "login", fault = "configuration", codes = { 421, 451, 454, 500, 501, 503, 530, 535, 550, 553, 554, 571 },
    text = any { "(smtp )?authenticat(e|ion).{0,30}(required|requi?se|fail\\w*|invalid|unsuccessful|turned on|error|first)",
    "authentification (requise|invalide)", "d' ?authentification",
    "(requires?|without|please (turn on|enable)|need|you (must|don.t)) (smtp )?authenticat",
    "(username|credentials?).{0,20}(not accepted|invalid|rejected)",
      "client was not authenticated", "authentication credentialsinvalid", "not authori[sz]ed to (send mail|perform)",
      "exchange server authentication", "mail sending denied", "account not subscribed", "cannot decode response",
      "not a registered gateway user", "sender was not authenticated" } }
  words { class = "sender_unverified", fault = "configuration", source = POSTFIX .. "; " .. MANY,
    text = any { "sender ver", "verification fail", "verification failed for <", "sender callout",
    "(address|envelope|mail from|sender)( \\S+)? (is )?(not owned|not verified)",
    "(cannot|could ?n.t|unable to|was unable to) (check|verify) (the )?(sender|that it came)", "(un|not )rout\\w+ sender",
    "send as a different",
      "blocked from sending", "does not match a verified", "not allowed to send", "mail from not owned" } }
  words { class = "sender_domain", fault = "configuration", source = POSTFIX .. "; " .. MANY,
    text = any { "domain of (the )?sender",
    "(sender'?s? domain|envelope sender domain|from: ?domain|sender domain).{0,40}(invalid|empty|must|mx|not|problem|"
      .. "resolve|exist|dead|failed|does)",
    "with the sender's domain", "valid sender domain", "sender address (rejected|invalid)", "sender.{0,60}(no A|DNS records)",
      "emetteur invalide", "fake sender", "invalid (sender|from\\b|domain, see)",
      "sender (is )?(email )?(address )?(rejected|denied|invalid|refused|unknown|blocked)",
      "(blank|empty|null) (from|sender|envelope)", "from: (address|header).{0,30}(invalid|not allowed)|allowed as a from",
      "unknown sender", "envelope sender has been denied", "bogus mail from", "valid from\\b",
      "domain \\S+ is a dead domain", "\\bMX records? for", "recursive cname", "address used to send your message",
      "not accept mail from (?!host|dyn)", "empty email address", "fully qualified email address",
      "is not accepted from this domain", "not accepted from this domain",
      "no third-party dsn|unsigned dsn|returned mail not accepted|\\bBATV\\b|bouncedeny|backscatter protection" } }

  -- ---- the content
  words { class = "too_large", fault = "content", source = POSTFIX,
    text = "(message|mail|e-?mail|header|line|attachment).{0,30}(too (big|large)|exceeds? .{0,40}(size|maximum|limit|"
      .. "databytes))|size limit|SIZE=.{0,20}too big|max(imum)? (inbound )?(message|email|mail) size|(message|"
        .. "email) size exceed|line limit exceeded|larger than the maximum|length exceeds|taille limite|"
          .. "exceeds maximum fixed|message file too big" }
  words { class = "virus", fault = "content",
    text = "\\b(virus|malware|trojan|infected)|email rejected due to security policies|eicar" }
  words { class = "attachment", fault = "content", source = "Google Help, answer 6590; " .. MANY,
    text = "potential security issue|illegal attachment|executable attachment|content presents a potential|(attachment|file|"
      .. "images).{0,40}(not allowed|blocked|prohibited|rejected|forbidden|not accept)|not accept messages containing" }
  words { class = "spam", fault = "content", codes = { 500, 501, 550, 551, 552, 553, 554 },
    text = "\\bspam|unsolicited|(unacceptable|banned|mail|message|suspicious) content|content (reject|restrict|denied|"
      .. "policy|examination)|content .{0,20}reject|message (filtered|refused|content)|rejecting (mail|banned)|"
        .. "blocked by (our )?filter|temporarily blocked by our filter|message rejected as|mail rejete" }
  words { class = "form", fault = "content", codes = { 500, 501, 550, 552, 553, 554 },
    text = any { "RFC ?(2?822|5322|2045|2047|compliant)", "malformed(?! (or unexpected )?name)",
    "(bare|invalid) (line ?feed|LF|CR|character)", "barelinefeeds", "MIME (header|complexity|part)", "invalid mime",
    "base64 encoding", "8-?bit data in", "NUL characters?", "missing a valid", "(multiple|duplicate).{0,20}(addresses in )?from",
    "header error",
      "binary content", "invalid message content", "too many related errors", "header size exceeds", "header are not accepted",
      "messages with multiple addresses", "invalid characters" } }
  words { class = "form", fault = "content", status = { "6.0", "6.1", "6.11", "7.7", "7.512" }, codes = { 550, 554 },
    source = "RFC 3463", grade = "vendor" }

  -- ---- a host that is not in charge of this domain: of its DNS, or of our login there
  words { class = "domain_refused", fault = "recipient", blame = false, permanent = true, codes = { 550, 551, 553, 554 },
    via = "direct", source = POSTFIX,
    text = any { "relay(ing)? (access )?(denied|not permitted|is not|prohibited|mail)", "relaying (denied|disallowed|to )",
    "(unable|not (allowed|permitted|configured)) to relay", "rcpthosts?", "as a relay", "not a gateway", "not an open relay",
    "not local host", "don'?t handle mail for", "non-accepted domain", "mail gate is forbidden", "to a non-local" } }
  words { class = "relay_denied", fault = "configuration", codes = { 450, 451, 454, 550, 551, 553, 554, 571 }, source = POSTFIX,
    text = any { "relay(ing)? (access )?(denied|not permitted|is not|prohibited|mail)", "relaying (denied|disallowed|to )",
    "(unable|not (allowed|permitted|configured)) to relay", "rcpthosts?", "as a relay", "not a gateway", "not an open relay",
    "not local host", "don'?t handle mail for", "non-accepted domain", "mail gate is forbidden", "to a non-local" } }

  -- ---- no domain
  words { class = "domain_unknown", fault = "recipient", permanent = true, blame = false, status = { "1.2", "1.10", "7.18" },
    codes = { 550, 551, 552, 553, 554, 556 },
    source = "RFC 3463 3.2; RFC 7505 for x.1.10; RFC 7293 for x.7.18", grade = "vendor" }
  words { class = "domain_unknown", fault = "recipient", permanent = true, blame = false, codes = { 550, 553, 554, 556 },
    text = any { "(host|domain)( name| mentioned in email address)? .{0,20}(unknown|not found|does ?n.t exist|not exist|"
      .. "not reachable|unreachable)",
    "(unknown|no such) (host|domain)", "unknown domain name",
    "recipient domain must exist|^: ?domain must exist|^domain must exist", "unrouteable mail domain",
    "name or service not known", "mail-enabled subscriptions", "tenant or domain not found" } }

  -- ---- the other side's trouble
  words { class = "mail_system", fault = "network", codes = { 550, 552, 553, 554 }, permanent = false, wait = 30 * MINUTE,
    text = "(?<!not )try again|(please )?try (sending )?(again )?later|temporar|essayer plus tard|service (is )?(currently |"
      .. "not )unavailable|currently unavailable|closing transmission channel|transmission channel|timed? ?out|"
        .. "interrupted system call|can't be processed|account service|service refuse" }

  -- ---- a dead mailbox, by its words
  words { class = "mailbox_unknown", fault = "recipient", codes = { 500, 501, 505, 511, 521, 550, 551, 552, 553, 554, 585 },
    permanent = true,
    text = "^(?!.*\\b(sender|helo|envelope|black ?list|your account|sending (limit|quota|rate|spam|too)))(?!.*from (address|header)).*(" .. any {
      "(user|recipient|mailbox|mail-box|address|account|alias).{0,30}(unknown|not found|does ?n.?t exist|do not exist|"
        .. "no longer|not exist|not known|invalid|illegal|disabled|inactive|deactivated|suspended|terminated|expired|closed|"
          .. "unrecognized|not present|is not valid|not active|not activated|not listed|not on server|removed|blocked|"
            .. "archived|may not exist)",
      "(rcpt|spectator|recipient|address) (<> )?(does not|doesn.t) exist", "^<> (not found|does not exist)",
      "is (currently |a |has been )*(suspended|deactivated|frozen|locked)|has been suspended|(mailbox|account) is (frozen|"
        .. "locked)|suspend the service",
      "unknown (e-?mail|or illegal|virtual)|unknown virtual user", "(bad|valid)(rcptto|recipientto)|badrcpt|bad_recipient",
      "no one at this|no mail ?box|not found recipient|address could not be found|in name directory|can.t accept user|"
        .. "not an active address|not email addresses|recipient not (ok|local)|recipient is not local",
      "extended inactivity|not used for more|archived recipient|bounced address|missing home directory|RecipientNotFound",
      "no such (user|mailbox|recipient|account|address|person|id)|no valid (user|mailbox|account)",
      "(unknown|invalid|bad|inactive|non[- ]?existent|nonexisting) (or illegal |local )?(user|mailbox|mail ?box|recipient|"
        .. "account|local part|address(?! syntax)|alias|destinataire)",
      "no mail-?box", "mailbox found|no account", "not our customer", "badrcptto|bad recipient",
      "(not|isn.t) a (valid|known|local) (user|mailbox|recipient|address)", "unroutable address|unrouteable address",
      "has left (the|our) ", "user not local", "cannot deliver mail for", "recipient (is )?not on", "undeliverable address",
      "(utilisateur|destinataire).{0,20}(inconnu|invalide|archiv|bloqu)",
      "(benutzer|empf(ae|\\x{e4})nger|adresse).{0,20}unbekannt", "unbekannter", "usuario.{0,20}(no existe|desconocido)",
      "no existe", "gebruiker onbekend", "utente (sconosciuto|simile)", "nessun utente",
      "(destinatario|caixa) (desconhecid|inexistent)", "not our customer|account closed", "<> is no longer valid",
      "not in (the )?recipient list", "no user found",
      "user hangup", "bad destination mailbox", "addr?essee unknown", "cuda_nsu",
    } .. ")" }

  -- RFC 5321's own words for 550, "e.g., mailbox not found, no access, or command rejected for policy reasons": alone they are said of dead
  -- mailboxes; with something behind them they may stand for anything, and nobody goes on the suppression list for that.
  words { class = "mailbox_unknown", fault = "recipient", codes = { 550 }, permanent = true,
    source = "outlook.com, GMX; RFC 5321 4.2.3",
    text = "^(requested (mail )?action (not taken|aborted):? ?)?mailbox unavailable\\.?( \\(S\\d+\\)\\.?)?( \\[[^\\]]*\\])?$" }
  words { class = "mailbox_unavailable", fault = "recipient", codes = { 550, 553, 554 }, permanent = true,
    source = "RFC 5321 4.2.3",
    text = "^(?!.*\\b(sender|helo|envelope|limit))(?!.*from (address|header)).*(mailbox|user|recipient|account|"
      .. "address) (<> )?(is )?(currently )?(unavailable|not available)" }

  -- ---- what nobody can say more of
  words { class = "mail_system", fault = "network",
    text = any { "internal (server )?(error|resources)", "configuration error|config error|misconfig",
    "(system|disk) (is )?full|insufficient (system|disk)", "exceeded storage allocation", "queue file write error",
    "lookup (fail|error)",
    "no route|unable to resolve|unreachable|could not connect|name server reply|dns records for the destination",
      "connection (dropped|reset|was dropped)", "local (error|problem|configuration)",
      "expired|delivery attempts|giving up|has been delayed|not reachable within|allowed queue",
      "server did not respond|unable to (process|deliver)", "transaction failed", "encountered an error", "DNS (check|query)",
      "output file", "could not load|load drd", "IPv6",
      "message ended early", "host (name|not)",
      "failing for a long time|long failure period|not been collected|in the queue too long|could not be delivered for more|"
        .. "numerous attempts|failed to deliver to domain|gateway for" } }
  words { class = "policy", fault = "unknown", permanent = true, codes = { 550, 552, 553, 554, 571 },
    text = "(for|due to|violates?|violation of|denied by|local|security|protocol|restrictions?|this) ?(our |local |email |"
      .. "organi[sz]ation )?(policy|policies|policy restrictions|protocol) ?(violation|reasons|restrictions)?|"
        .. "policy (violation|reasons|restrictions|rejection)|violation detected|message given low priority|"
          .. "no data before greeting" }

  -- ---- what is left to the codes
  words { class = "mailbox_unknown", fault = "recipient", status = { "1.1", "1.3", "1.6" }, codes = { 550, 551, 552, 553, 554 },
    permanent = true, source = "RFC 3463 3.2", grade = "vendor" }
  words { class = "mailbox_unknown", fault = "recipient", status = { "7.17" }, codes = { 550, 551, 553, 554 }, permanent = true,
    source = "RFC 7293: the mailbox has another owner", grade = "vendor" }
  words { class = "mail_system", fault = "network", codes = { 421, 450, 451, 452 },
    text = "try again|try later|come back later|temporar|service refuse|currently unavailable|ended early|unable to process" }
end
