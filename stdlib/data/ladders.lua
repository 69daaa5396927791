-- SPDX-License-Identifier: MIT
-- Data: published warmup schedules. `steps` are caps for day 1, 2, 3, ... in `unit`; `suits` what they were made for.
return function(define)
  define { name = "sendgrid-hourly", unit = "hour", suits = "address",
    steps = { 20, 28, 39, 55, 77, 108, 151, 211, 295, 413, 579, 810, 1000, 1587, 2222, 3111, 4356, 6098, 8583, 11953, 16734 },
    note = "a cap for each hour of the day; goes on by about 1.4 a day to day 41; what is over goes by other addresses",
    source = "SendGrid documentation, automated IP warmup", date = "2026-11", grade = "vendor" }
  define { name = "sendgrid-daily", unit = "day", suits = "address",
    steps = { 50, 100, 250, 500, 1000, 2500, 5000, 7500, 10000, 15000, 20000, 30000, 40000, 55000, 70000, 100000 },
    source = "tables derived from SendGrid's", date = "2026-11", grade = "second-hand" }
  define { name = "gated", unit = "day", suits = "address", steps = { 50, 200, 1000, 5000, 20000, 50000, 100000 },
    note = "a step up only while bounces are below 2 % and complaints below 0.05 %: use it with warm:advance",
    source = "practice reported by several senders", date = "2026-11", grade = "second-hand" }
  define { name = "omailer", unit = "day", suits = "address",
    steps = { 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 4500, 6000, 8000, 10000 },
    note = "pauses itself above 2 % bounces", source = "OMailer plug-in documentation", date = "2026-11", grade = "second-hand" }
  define { name = "smartlead", unit = "day", suits = "mailbox",
    steps = { 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 29, 31, 33, 36, 38, 41, 43, 45, 48, 50 },
    note = "5 to 50 a day by day 20; the steps between are ours", source = "Smartlead documentation", date = "2026-11",
    grade = "second-hand" }
  define { name = "instantly", unit = "day", suits = "mailbox",
    steps = { 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30 }, note = "two more each day to 30",
    source = "Instantly documentation", date = "2026-11", grade = "second-hand" }
  define { name = "revrep", unit = "day", suits = "mailbox",
    steps = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 5, 6, 8, 9, 11, 13, 14, 16, 17, 19, 20, 22, 23, 25 },
    note = "no mail to strangers for 14 days, then about 3 to 25 by day 29; a tenth more or less, fixed for each mailbox and day",
    source = "Revrep", date = "2026-11", grade = "second-hand" }
  define { name = "agency-google", unit = "day", suits = "mailbox", steps = { 5, 8, 11, 14, 17, 20, 23, 25 },
    note = "25 to 30 a day for a Google mailbox; the way up is ours", source = "practice of agencies", date = "2026-11",
    grade = "second-hand" }
  define { name = "agency-microsoft", unit = "day", suits = "mailbox", steps = { 3, 4, 6, 8, 10, 12, 14, 16, 18, 20 },
    note = "10 to 20 a day for a Microsoft mailbox; the way up is ours", source = "practice of agencies", date = "2026-11",
    grade = "second-hand" }
end
