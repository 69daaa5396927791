-- Tidegate's configuration: values only. What to do with mail is the policy's affair: /etc/tidegate/scripts/policy.lua.
--
-- tidegate.conf(5) explains every key with its default and bounds; keys that are not here have their defaults.
-- `tidegate check` finds what is wrong, `systemctl reload tidegate` brings changes in (keys marked "restart" excepted).
--
-- Relative paths start at /etc/tidegate. Sizes are numbers of bytes, or "50MiB"; durations are numbers of seconds, or
-- "90s", "30m", "2h", "5d".
return {
    -- The name this gateway gives itself: it should resolve, forward and back, to the address mail leaves from.
    -- Default: the system's name.
    -- hostname = "mail.example.org",

    -- Where mail comes in (restart). Kinds: submission and submissions for who logs in, relay for machines known by their
    -- address, lmtp.
    listeners = {
        { kind = "submission", address = "0.0.0.0:587" },
        { kind = "submission", address = "[::]:587" },
        { kind = "submissions", address = "0.0.0.0:465" },
        { kind = "submissions", address = "[::]:465" },
        { kind = "relay", address = "127.0.0.1:25", allow = { "127.0.0.0/8" } },
        -- Printers, scanners and applications of your network that cannot log in:
        -- { kind = "relay", address = "10.0.0.1:25", allow = { "10.0.0.0/8", "fd00::/8" } },
    },

    -- The certificate shown to clients and its key, PEM. The first start makes this pair, self-signed; put your own in
    -- its place, or name other files that the user tidegate may read. Read again on every reload.
    certificate = "/var/lib/tidegate/tls/cert.pem",
    key = "/var/lib/tidegate/tls/key.pem",

    users = "users",                 -- who may log in: `tidegate passwd NAME` writes it
    scripts = "scripts",             -- the policy
    stdlib = "/usr/share/tidegate/stdlib",
    control = "/run/tidegate/control.sock",
    capture = "/var/lib/tidegate/capture", -- Maildir of route.capture
    events = "/var/log/tidegate/events.jsonl",
    log = "info",                    -- to the journal: error | warning | notice | info | trace

    -- The queue (restart). A message is acknowledged only once it is synced here.
    store = {
        path = "/var/lib/tidegate/queue",
        -- ceiling = "20GiB",        -- most it may take on disk; default: what the disk has
    },

    -- Asking DNS (restart). Best is a validating resolver on this machine, such as unbound; then DANE can be trusted too.
    dns = {
        -- servers = { "127.0.0.1" }, -- default: those of /etc/resolv.conf
        -- trust_ad = true,
    },
}
