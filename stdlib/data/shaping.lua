-- SPDX-License-Identifier: MIT
-- Data: what providers bear, and what their complaints ask for. The values of the "default" group are for everyone whose group
-- does not say.
local BASE = "KumoMTA assets/policy-extras/shaping.toml"
local COMMUNITY = "KumoMTA assets/community/shaping.toml"

return function(set, react)
  set { provider = "default", connections = 10, per_connection = 100, rate = "100/second", tls = "opportunistic", source = BASE,
    date = "2026-11", grade = "second-hand" }

  -- Consumer and Workspace mailboxes share these hosts, and Google asks for TLS from everyone.
  set { provider = "google", connections = 5, per_connection = 50, source = BASE, date = "2026-11", grade = "second-hand" }
  set { provider = "google", tls = "encrypt", source = "Google Help, answer 81126", date = "2026-11", grade = "vendor" }
  set { provider = "yahoo", per_connection = 20, source = "senders.yahooinc.com", date = "2026-11", grade = "vendor" }
  set { provider = "yahoo_japan", connections = 2, per_connection = 20, rate = "10/second", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "outlook", connections = 5, per_connection = 50, source = BASE, date = "2026-11", grade = "second-hand" }
  set { provider = "microsoft", connections = 5, per_connection = 50, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "apple", connections = 10, per_connection = 5, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  set { provider = "comcast", connections = 25, per_connection = 1000, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "mimecast", connections = 10, per_connection = 100, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "mail_com", per_connection = 100, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  set { provider = "orange", connections = 2, per_connection = 100, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "gmx", connections = 4, per_connection = 20, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "barracuda", connections = 10, per_connection = 15, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "qq", connections = 4, per_connection = 8, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
  set { provider = "netease", connections = 4, per_connection = 7, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "kpn", connections = 10, per_connection = 10, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  set { provider = "netvigator", connections = 5, per_connection = 10, tls = "encrypt", source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }

  react { provider = "yahoo", text = [=[\[TSS\d?4\]]=], action = "pause", seconds = 7200, source = BASE, date = "2026-11",
    grade = "second-hand" }
  react { provider = "yahoo", text = [=[\[(TSS05|IPTS0[45]|TS0[1-4])\]]=], action = "pause", seconds = 7200,
    source = "senders.yahooinc.com lists the codes; the pause is that of TSS04", date = "2026-11", grade = "cited" }
  react { provider = "comcast", text = "RL000010", action = "pause", seconds = 300, source = COMMUNITY, date = "2026-11",
    grade = "second-hand" }
  react { provider = "comcast", text = "RL0000", action = "slow", rate = "10000/hour", seconds = 7200, source = COMMUNITY,
    date = "2026-11", grade = "second-hand" }
  react { provider = "orange", text = "OFR005_104", action = "slow", rate = "60/minute", seconds = 1800,
    source = "zone-mta issue 443: too many connections", date = "2026-11", grade = "second-hand" }
  react { provider = "google", status = "4.7.28", action = "slow", rate = "10/minute", seconds = 3600,
    source = "Google Help, answer 81126: an unusual rate of mail; the figures are ours", date = "2026-11", grade = "cited" }
  react { provider = "outlook", text = [[4\.7\.650|S77(5|8)]], action = "pause", seconds = 3600,
    source = "Microsoft sender support lists the codes; the pause is ours", date = "2026-11", grade = "cited" }
  -- "I close the channel now": whoever says that to a mail that was under way has had too much at once.
  react { provider = "default", code = 421, stage = "mail", action = "slow", connections = 1, seconds = 600,
    source = "RFC 5321 section 3.8 has the code; the figures are ours", date = "2026-11", grade = "cited" }
  react { provider = "default", code = 421, stage = "rcpt", action = "slow", connections = 1, seconds = 600,
    source = "RFC 5321 section 3.8 has the code; the figures are ours", date = "2026-11", grade = "cited" }
  react { provider = "default", text = "temporarily deferred|rate limit|server busy|too many (messages|connections)", action = "slow",
    rate = "1/minute", seconds = 5400, source = COMMUNITY, date = "2026-11", grade = "second-hand" }
end
