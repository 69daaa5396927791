-- SPDX-License-Identifier: MIT
-- Printers, cameras and scripts that cannot log in: known by their network, tied to one sender, and kept inside.
local answer = require "answer"
local route = require "route"

local INSIDE = { ["acme.example"] = true }
local devices = {
  { ip = "^10%.1%.2%.", sender = "printer@acme.example" },
  { ip = "^10%.1%.3%.", sender = "camera@acme.example" },
}

local function device_of(session)
  for _, device in ipairs(devices) do
    if session.client_ip:find(device.ip) then return device end
  end
end

local policy = {}

function policy.connect(session)
  if session.kind == "relay" and not device_of(session) then
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
  if session.trusted_network and INSIDE[to.domain] then return answer.accept {} end
  return answer.reject("550 5.7.1 devices write to us only", to.domain)
end

function policy.message(session, message)
  return answer.accept { tags = { from = session.user ~= "" and "person" or "device" }, expires = "1d" }
end

function policy.route(message, recipient)
  if INSIDE[recipient.domain] then
    return route.send { via = route.lmtp { host = "unix:/run/dovecot/lmtp" }, because = "our own mailboxes" }
  end
  return route.send { via = route.direct {}, because = "a person's mail, tag " .. (message.tags.from or "none") }
end

return policy
