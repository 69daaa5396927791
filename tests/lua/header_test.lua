-- SPDX-License-Identifier: MIT
local expect = require "expect"
local header = require "header"

local function message(fields, sender)
  return { sender = sender or "ann@acme.example", id = "00ab", received_at = 1763821800.5, header = function(_, name) return fields[name] end }
end

local t = {}

function t.what_is_missing_is_added()
  local edits = header.complete(message {}, "acme.example")
  expect.same(edits[1], { add = "From", value = "<ann@acme.example>" })
  expect.same(edits[2], { add = "Date", value = "Sat, 22 Nov 2025 14:30:00 +0000" })
  expect.equal(edits[3].add, "Message-ID")
  expect.truth(edits[3].value:match("^<00ab%.%x+@acme%.example>$"), edits[3].value)
  expect.equal(#header.from(message({}, "")), 0) -- whoever sent a report has not said
  expect.same(header.complete(message {}, "acme.example"), edits) -- the same when asked again
  expect.equal(#header.complete(message { From = "z", Date = "x", ["Message-ID"] = "y" }, "acme.example"), 0)
  expect.refused("a domain is expected", function() header.message_id(message {}, "a b") end)
end

function t.private_fields_go()
  expect.same(header.strip(message { Bcc = "a@b", ["X-Originating-IP"] = "[10.0.0.1]", Subject = "x" }),
    { { remove = "Bcc" }, { remove = "X-Originating-IP" } })
  expect.same(header.strip(message { ["X-House"] = "1" }, { "X-House", "X-Other" }), { { remove = "X-House" } })
end

function t.one_click()
  expect.same(header.unsubscribe { url = "https://acme.example/u/abc?x=1", mailto = "u+abc@acme.example?subject=u" }, {
    { set = "List-Unsubscribe", value = "<mailto:u+abc@acme.example?subject=u>, <https://acme.example/u/abc?x=1>" },
    { set = "List-Unsubscribe-Post", value = "List-Unsubscribe=One-Click" } })
  for _, url in ipairs { "http://acme.example/u", "https://acme.example", "https://a/u>,<x", "https://a/u v", "https://a/u\r\nBcc: x" } do
    expect.refused("an https URL with a path", function() header.unsubscribe { url = url } end)
  end
  expect.refused("mailto: an address", function() header.unsubscribe { url = "https://a/u", mailto = "x" } end)
  expect.refused("url is missing", function() header.unsubscribe {} end)
end

function t.feedback()
  expect.same(header.feedback_id("spring", "shop", "news", "acme1"), { { set = "Feedback-ID", value = "spring:shop:news:acme1" } })
  expect.refused("5 to 15 characters", function() header.feedback_id("x", "ab") end)
  expect.refused("part 1", function() header.feedback_id("a:b", "acme1") end)
  expect.refused("one to three", function() header.feedback_id() end)
  expect.refused("one to three", function() header.feedback_id("a", "b", "c", "d", "acme1") end)
  expect.refused("5 to 15 characters", function() header.feedback_id("x", "abcdefghijklmnop") end)
  expect.refused("part 1", function() header.feedback_id(("x"):rep(61), "acme1") end)
  expect.equal(header.feedback_id(("x"):rep(60), "abcdefghijklmno")[1].value, ("x"):rep(60) .. ":abcdefghijklmno")
end

function t.tokens()
  local secret = "0123456789abcdef"
  local token = header.token(secret, "news", "Bob+x@Example.NET")
  expect.truth(token:match("^[%w%-_%.]+$"), token)
  expect.equal(header.token_address(secret, "news", token), "bob+x@example.net")
  expect.equal(header.token_address(secret, "other", token), nil)
  expect.equal(header.token_address("another secret!!", "news", token), nil)
  expect.equal(header.token_address(secret, "news", token .. "x"), nil)
  expect.equal(header.token_address(secret, "news", "x"), nil)
  for length = 1, 9 do -- all paddings
    local address = ("a"):rep(length) .. "@b.example"
    expect.equal(header.token_address(secret, "n", header.token(secret, "n", address)), address)
  end
  expect.refused("a secret of 16 characters", function() header.token("short", "n", "a@b") end)
end

return t
