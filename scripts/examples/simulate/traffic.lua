-- SPDX-License-Identifier: MIT
-- Example of what `tidegate simulate --traffic` reads: about 20,000 messages a day. Hours are UTC.
return {
  streams = {
    { name = "shop", per_day = 6000, user = "shop", sender = "orders@example.org",
      hours = { 1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 10, 9, 8, 8, 9, 10, 12, 12, 10, 7, 4, 2 },
      weekdays = { sat = 1.3, sun = 1.2 },
      to = { ["gmail.com"] = 45, ["yahoo.com"] = 12, ["outlook.com"] = 20, ["icloud.com"] = 6, ["example.net"] = 17 },
      addresses = 40000, size = "30kB", headers = { Subject = "Your order" } },

    { name = "newsletter", per_day = 13000, user = "news", sender = "news@news.example.org",
      hours = { from = 7, to = 11 }, weekdays = { sat = 0, sun = 0, tue = 1.5 },
      to = { ["gmail.com"] = 55, ["yahoo.com"] = 15, ["outlook.com"] = 20, ["icloud.com"] = 10 },
      addresses = 60000, size = "60kB",
      headers = { Subject = "This week", ["List-Id"] = "<news.example.org>", ["List-Unsubscribe"] = "<https://example.org/u>" } },

    -- Nobody logs in: a scanner in a trusted network. To several people at once.
    { name = "devices", per_day = 1000, sender = { ["scan@example.org"] = 3, ["alarm@example.org"] = 1 },
      hours = { from = 6, to = 18 }, weekdays = { sat = 0.2, sun = 0.2 }, client_ip = "10.0.0.17",
      to = { ["example.net"] = 3, ["gmail.com"] = 1 }, addresses = 200, recipients = { 1, 4 }, size = "400kB" },
  },
}
