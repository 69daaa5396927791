-- SPDX-License-Identifier: MIT
local expect = require "expect"
local provider = require "provider"

-- At load, as an operator would.
provider.define { name = "partner", mx = { ".Mail.Partner.Example." }, domains = { "partner.example" }, source = "us" }
provider.define { name = "google", domains = { "our-workspace.example" }, source = "us" }

local t = {}

function t.well_known_domains()
  expect.equal(provider.by_domain("gmail.com"), "google")
  expect.equal(provider.by_domain("outlook.com"), "outlook")
  expect.equal(provider.by_domain("aol.com"), "yahoo")
  expect.equal(provider.by_domain("mail.gmail.com"), nil)
  expect.equal(provider.of("GMAIL.com."), "google")
  expect.equal(provider.of("our-workspace.example"), "google")
end

function t.suffixes_are_normalised_and_the_longest_wins()
  expect.equal(provider.by_host("ASPMX.L.Google.COM."), "google")
  expect.equal(provider.by_host("google.com"), "google")
  expect.equal(provider.by_host("notgoogle.com"), nil)
  expect.equal(provider.by_host("x.olc.protection.outlook.com"), "outlook")
  expect.equal(provider.by_host("acme-com.mail.protection.outlook.com"), "microsoft")
  expect.equal(provider.by_host("acme-com.n-v1.mx.microsoft"), "microsoft")
  expect.equal(provider.by_host("mx1.mail.partner.example"), "partner")
  expect.equal(provider.by_host("partner.example"), nil)
  expect.equal(provider.by_host(""), nil)
end

function t.dns_rolls_up()
  local group, how = provider.of("workspace.example")
  expect.equal(group, "google")
  expect.equal(how, "mx aspmx.l.google.com")
  expect.equal(provider.of("own.example"), "other")
  expect.equal(provider.of("nowhere.example"), "other")
  group, how = provider.of("trouble.example")
  expect.equal(group, "other")
  expect.equal(how, "dns: SERVFAIL")
  for _, domain in ipairs { "", "[192.0.2.1]", "." } do
    group, how = provider.of(domain)
    expect.equal(group, "other")
    expect.equal(how, "no domain")
  end
end

function t.mixed_mx()
  local group, how = provider.of("mixed.example")
  expect.equal(group, "other")
  expect.equal(how, "mx of several providers")
  expect.equal(provider.of("backup.example"), "microsoft")
  expect.equal(provider.by_mx { { host = "", preference = 0 } }, "other")
  expect.equal(provider.by_mx {}, "other")
  -- One that nobody knows beside a known one is a mixture too.
  expect.equal(provider.by_mx { { host = "mx.own.example", preference = 5 }, { host = "aspmx.l.google.com", preference = 5 } }, "other")
end

function t.every_value_has_its_origin()
  for _, group in ipairs(provider.groups()) do
    for _, row in ipairs(provider.show(group)) do
      expect.truth(row.source ~= "" and (row.date ~= "" or row.grade == "own"), row.name)
      expect.truth(row.where:match("^stdlib/data/providers%.lua:%d+$") or row.where:match("^provider_test%.lua:%d+$"), row.where)
    end
  end
  expect.equal(provider.show("partner")[1].where, "provider_test.lua:6")
  expect.equal(provider.show("partner")[1].layer, "operator")
end

function t.what_is_refused()
  expect.refused("provider_test.lua:72: provider.define: 'x': source is missing", function()
    provider.define { name = "x", mx = { "x.example" } }
  end)
  expect.refused("unknown field 'mxs' (known: date, domains, grade, mx, name, source)", function()
    provider.define { name = "x", mxs = { "x.example" }, source = "us" }
  end)
  expect.refused("neither domains nor mx", function() provider.define { name = "x", source = "us" } end)
  expect.refused("domains[1]: a domain name is expected", function()
    provider.define { name = "x", domains = { "a b" }, source = "us" }
  end)
  expect.refused("this is whoever has no group", function() provider.define { name = "other", mx = { "a.b" }, source = "us" } end)
  expect.refused("is in group 'partner' already (provider_test.lua:6)", function()
    provider.define { name = "y", domains = { "partner.example" }, source = "us" }
  end)
  expect.refused("provider.define: a table of fields is expected", function() provider.define("google") end)
  expect.refused("name: a string is expected, not a number", function() provider.define { name = 1, source = "us" } end)
  expect.refused("a name of lower-case letters", function() provider.define { name = "Go ogle", mx = { "a.b" }, source = "us" } end)
  expect.refused("mx[2]: a domain name is expected", function() provider.define { name = "z", mx = { "a.b", 5 }, source = "us" } end)
  expect.refused("date is missing", function() provider.define { name = "z", mx = { "a.b" }, source = "us", grade = "cited" } end)
  for _, date in ipairs { "2026", "2026-11-1", "26-11", 2026, "2026-11-01 " } do
    expect.refused("date: '2026-11'", function() provider.define { name = "z", mx = { "a.b" }, source = "us", date = date } end)
  end
  expect.refused("grade: one of cited, own, second-hand, vendor", function()
    provider.define { name = "z", mx = { "a.b" }, source = "us", date = "2026-11", grade = "sure" }
  end)
  expect.refused("source is missing", function() provider.define { name = "z", mx = { "a.b" }, source = "" } end)
  expect.truth(not provider.exists("z"), "what is refused leaves nothing")
  expect.refused("there is no group 'googel'", function() provider.show("googel") end)
end

return t
