-- SPDX-License-Identifier: MIT
-- Office devices that cannot log in: known by their network or their certificate, each tied to its own sender, to recipients inside, and to a
-- number of messages a day. What is over the number is kept and goes the next day; a printer gone mad harms nobody.
local answer = require "answer"
local identity = require "identity"
local route = require "route"

local INSIDE = { ["acme.example"] = true }
local devices = {
  { name = "printers", network = network.of "10.1.2.0/24", sender = "printer@acme.example", per_day = 500 },
  { name = "cameras", network = network.of { "10.1.3.0/24", "fd00:3::/64" }, sender = "camera@acme.example", per_day = 2000 },
  -- SHA-256 of the certificate, as in the log line of its first connection.
  { name = "erp", certificate = "3b7e0000000000000000000000000000000000000000000000000000000000aa", sender = "erp@acme.example",
    per_day = 10000, anywhere = true },
}
local by_name = {}
for _, device in ipairs(devices) do
  device.identity = identity.define { name = "device-" .. device.name }
  device.spend = { limit.per_day("device/" .. device.name, device.per_day, { per = "recipient" }) }
  by_name[device.name] = device
end

local function device_of(session)
  for _, device in ipairs(devices) do
    if device.certificate and session.client_certificate == device.certificate then return device end
    if device.network and device.network(session.client_ip) then return device end
  end
end

local policy = {}

function policy.connect(session)
  if session.kind == "relay" and session.tls_version == "" and not device_of(session) and not session.trusted_network then
    return answer.reject("554 5.7.1 this port is for our devices", "no device has " .. session.client_ip)
  end
  return answer.accept {}
end

function policy.sender(session, sender)
  local device = device_of(session)
  if session.user == "" and device and sender.address ~= device.sender then
    return answer.reject("553 5.7.1 this device sends as " .. device.sender, sender.address)
  end
  return answer.accept {}
end

function policy.recipient(session, to)
  if session.user ~= "" then return answer.accept {} end
  local device = device_of(session)
  if device and (device.anywhere or INSIDE[to.domain]) then return answer.accept {} end
  return answer.reject("550 5.7.1 devices write to us only", to.domain)
end

function policy.message(session, message)
  local device = session.user == "" and device_of(session)
  return answer.accept { tags = { device = device and device.name or nil }, expires = device and "2d" or nil }
end

function policy.route(message, recipient)
  local device = by_name[message.tags.device or ""]
  local way = INSIDE[recipient.domain] and route.lmtp { host = "unix:/run/dovecot/lmtp" } or route.direct {}
  if not device then return route.send { via = way, because = "a person's mail" } end
  return route.send { via = way, identity = device.identity, spend = device.spend, because = "device " .. device.name }
end

return policy
