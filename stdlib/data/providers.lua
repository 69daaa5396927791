-- SPDX-License-Identifier: MIT
-- Data: which domains and MX hosts belong to which provider. A suffix matches the host itself and all below it.
--
-- "outlook" is Microsoft's consumer service (outlook.com, hotmail.com, ...), "microsoft" is Microsoft 365 with customers' own
-- domains: their limits and their opinions of a sender differ.
local BASE = "KumoMTA assets/policy-extras/shaping.toml"
local COMMUNITY = "KumoMTA assets/community/shaping.toml"
local LISTS = "several public lists for telling providers by MX agree"

return function(define)
  define { name = "google", mx = { "google.com", "googlemail.com" }, source = BASE, date = "2026-11", grade = "second-hand" }
  define { name = "google", domains = { "gmail.com", "googlemail.com" }, source = "Google Help, answer 81126", date = "2026-11",
    grade = "vendor" }

  define { name = "yahoo", mx = { "yahoodns.net" }, source = BASE, date = "2026-11", grade = "second-hand" }
  define { name = "yahoo", domains = { "yahoo.com", "ymail.com", "rocketmail.com", "aol.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de",
    "yahoo.it", "yahoo.es", "yahoo.ca", "yahoo.com.br", "yahoo.co.in" }, source = "senders.yahooinc.com", date = "2026-11",
    grade = "cited" }
  define { name = "yahoo_japan", domains = { "yahoo.co.jp", "ybb.ne.jp" }, mx = { "mail.yahoo.co.jp" }, source = COMMUNITY,
    date = "2026-11", grade = "cited" }

  define { name = "outlook", mx = { "olc.protection.outlook.com" }, source = BASE, date = "2026-11", grade = "second-hand" }
  define { name = "outlook", domains = { "outlook.com", "hotmail.com", "live.com", "msn.com" },
    source = "Microsoft Defender for Office 365 blog, requirements for high-volume senders", date = "2026-11", grade = "vendor" }
  define { name = "outlook", domains = { "hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it", "hotmail.es", "live.co.uk",
    "live.fr", "live.nl", "outlook.de", "outlook.fr" }, source = "Microsoft's regional consumer domains", date = "2026-11",
    grade = "cited" }
  define { name = "microsoft", mx = { "mail.protection.outlook.com", "mx.microsoft" }, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }

  define { name = "apple", mx = { "icloud.com" }, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  define { name = "apple", domains = { "icloud.com", "me.com", "mac.com" }, source = "Apple Support 102322", date = "2026-11",
    grade = "vendor" }

  define { name = "comcast", domains = { "comcast.net" }, mx = { "comcast.net" }, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  define { name = "orange", domains = { "orange.fr", "wanadoo.fr" }, mx = { "orange.fr" }, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  define { name = "gmx", domains = { "gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de" },
    mx = { "gmx.net", "web.de" }, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  define { name = "mail_com", domains = { "mail.com" }, mx = { "mail.com" }, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  define { name = "qq", domains = { "qq.com", "foxmail.com" }, mx = { "qq.com" }, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  define { name = "netease", domains = { "163.com", "126.com" }, mx = { "163mx.com", "netease.com" }, source = COMMUNITY,
    date = "2026-11", grade = "cited" }
  define { name = "kpn", mx = { "kpnmail.nl" }, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  define { name = "netvigator", domains = { "netvigator.com" }, mx = { "netvigator.com" }, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }

  -- Filters in front of somebody's own servers: what counts is what the filter thinks of us.
  define { name = "mimecast", mx = { "mimecast.com", "mimecast.co.za", "mimecast-offshore.com" }, source = COMMUNITY, date = "2026-11",
    grade = "cited" }
  define { name = "barracuda", mx = { "barracudanetworks.com" }, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  define { name = "proofpoint", mx = { "pphosted.com", "ppe-hosted.com" }, source = LISTS, date = "2026-11",
    grade = "second-hand" }
  define { name = "cisco", mx = { "iphmx.com" }, source = LISTS, date = "2026-11", grade = "cited" }
  define { name = "broadcom", mx = { "messagelabs.com" }, source = LISTS, date = "2026-11", grade = "cited" }
  define { name = "rackspace", mx = { "emailsrvr.com" }, source = LISTS, date = "2026-11", grade = "cited" }
  define { name = "zoho", domains = { "zoho.com", "zohomail.com" }, mx = { "zoho.com", "zoho.eu", "zoho.in" }, source = LISTS,
    date = "2026-11", grade = "cited" }
  define { name = "sophos", mx = { "hydra.sophos.com" }, source = LISTS, date = "2026-11", grade = "cited" }
  define { name = "trend_micro", mx = { "tmes.trendmicro.com", "tmes.trendmicro.eu" }, source = LISTS, date = "2026-11",
    grade = "cited" }
end
