-- SPDX-License-Identifier: MIT
-- Data: services that send for others. `transport` is "starttls" or "implicit"; `quotas` are what they publish, `per` says whether they
-- count messages or recipients.
local RELAY_HELP = "Google Workspace Admin Help 2956491"
local MAILBOX_HELP = "Google Workspace Admin Help 166852"
local EXCHANGE = "Exchange Online limits; learn.microsoft.com smtp-submission-improvements"
local SES = "Amazon SES developer guide"

return function(define)
  define { name = "gmail_relay", host = "smtp-relay.gmail.com", port = 587, transport = "starttls", connections = 5, per_connection = 50,
    note = "an address on the allow list needs no login; EHLO or MAIL FROM must name a registered domain",
    quotas = {
      { name = "user_messages_day", n = 10000, window = "day", per = "message", source = RELAY_HELP, date = "2026-11", grade = "vendor" },
      { name = "user_recipients_day", n = 10000, window = "day", per = "recipient", source = RELAY_HELP, date = "2026-11", grade = "vendor" },
      { name = "organisation_10min", n = 319444, window = 600, per = "message", source = RELAY_HELP, date = "2026-11", grade = "vendor" },
    },
    source = RELAY_HELP .. "; connections as shaped for google", date = "2026-11", grade = "vendor" }

  define { name = "gmail_mailbox", host = "smtp.gmail.com", port = 587, transport = "starttls", connections = 2, per_connection = 20,
    needs_login = true, note = "a trial account has 500 a day: quota = { messages_day = 500 }; at most 100 recipients in one message",
    quotas = {
      { name = "messages_day", n = 2000, window = "day", per = "message", source = MAILBOX_HELP, date = "2026-11", grade = "vendor" },
      { name = "recipients_day", n = 10000, window = "day", per = "recipient", source = MAILBOX_HELP, date = "2026-11", grade = "vendor" },
      { name = "external_day", n = 3000, window = "day", per = "recipient", source = MAILBOX_HELP, date = "2026-11", grade = "vendor" },
    },
    source = MAILBOX_HELP .. "; connections are ours", date = "2026-11", grade = "vendor" }

  define { name = "microsoft365", host = "smtp.office365.com", port = 587, transport = "starttls", connections = 3, per_connection = 30,
    needs_login = true, note = "passwords are switched off by tenants more and more; use a token",
    quotas = {
      { name = "messages_minute", n = 30, window = "minute", per = "message", source = EXCHANGE, date = "2026-11", grade = "vendor" },
      { name = "recipients_day", n = 10000, window = "day", per = "recipient", source = EXCHANGE, date = "2026-11", grade = "vendor" },
    },
    source = EXCHANGE, date = "2026-11", grade = "vendor" }

  define { name = "ses", host = "email-smtp.REGION.amazonaws.com", port = 587, transport = "starttls", connections = 10, per_connection = 100,
    needs_login = true, region = { pattern = "email-smtp.REGION.amazonaws.com", known = "us-east-1, eu-west-1, eu-central-1, ..." },
    note = "the quota is the account's: give per_day and per_second; a sandbox has 200 and 1; 50 recipients in one message",
    source = SES .. "; connections are ours", date = "2026-11", grade = "vendor" }

  define { name = "sendgrid", host = "smtp.sendgrid.net", port = 587, transport = "starttls", connections = 10, per_connection = 5000,
    needs_login = true, user = "apikey", note = "the user is the word apikey, the password is the key",
    source = "SendGrid documentation, SMTP API; of 10,000 connections we take 10", date = "2026-11", grade = "vendor" }

  define { name = "mailgun", host = "smtp.mailgun.org", port = 587, transport = "starttls", connections = 10, per_connection = 100,
    needs_login = true, region = { default = "us", us = "smtp.mailgun.org", eu = "smtp.eu.mailgun.org", known = "us, eu" },
    source = "Mailgun documentation, SMTP; connections are ours", date = "2026-11", grade = "cited" }

  define { name = "postmark", host = "smtp.postmarkapp.com", port = 587, transport = "starttls", connections = 5, per_connection = 100,
    needs_login = true, note = "user and password are both the server's token; newsletters go to smtp-broadcasts.postmarkapp.com",
    source = "Postmark developer documentation, send email with SMTP; connections are ours", date = "2026-11", grade = "vendor" }
end
