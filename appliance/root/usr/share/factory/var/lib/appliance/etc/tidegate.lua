-- Tidegate's configuration on the appliance: values only. What to do with mail is the policy's affair: scripts/policy.lua.
--
-- Names, addresses, ports and the relay are settings of the appliance (tidegate-setup); what is here is yours to change.
-- tidegate.conf(5) explains every key, `tidegate check` finds what is wrong, `tidegate reload` brings changes in.
return {
    listeners = {
        { kind = "submission", address = "0.0.0.0:587" },
        { kind = "submission", address = "[::]:587" },
        { kind = "submissions", address = "0.0.0.0:465" },
        { kind = "submissions", address = "[::]:465" },
        -- Who may send here without a login is the setting relay_from; the firewall lets port 25 in when the setting ports has it.
        { kind = "relay", address = "0.0.0.0:25", allow = { "127.0.0.0/8", "::1" } }, -- kept by tidegate-setup
        { kind = "relay", address = "[::]:25", allow = { "127.0.0.0/8", "::1" } }, -- kept by tidegate-setup
    },

    certificate = "tls/cert.pem",    -- tidegate-setup --certificate puts yours here
    key = "tls/key.pem",
    users = "users",                 -- who may log in: `tidegate passwd NAME` writes it
    scripts = "scripts",             -- the policy, under git
    stdlib = "/usr/share/tidegate/stdlib",
    control = "/run/tidegate/control.sock",
    log = "info",                    -- to the journal

    -- All that grows with mail is on the partition of the queue.
    store = { path = "/var/lib/tidegate/queue/store" },
    capture = "/var/lib/tidegate/queue/capture",
    events = "/var/lib/tidegate/queue/log/events.jsonl",

    -- The resolver on this machine validates.
    dns = { servers = { "127.0.0.1" }, trust_ad = true },
    limits = { memory_in_flight = "64MiB" },
}
