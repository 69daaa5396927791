-- Tidegate's configuration: values only. What to do with mail is the policy's affair: scripts/policy.lua.
--
-- As it stands this file serves `make run`, from a checkout and without root: it listens on loopback only, and
-- all that is written goes below var/. Every key is here; what is commented out shows its default, or what it
-- could be in production. conf/README.md has the bounds of each, `tidegate check` finds what is wrong, and
-- `tidegate reload` brings changes in (keys marked "restart" excepted).
--
-- Relative paths start at the folder that holds conf/. Sizes are numbers of bytes, or "50MiB"; durations are
-- numbers of seconds, or "90s", "30m", "2h", "5d".
return {
    -- The name this gateway gives itself: in the banner, in Received, in reports, and in EHLO where an identity has none
    -- of its own. It should resolve, forward and back, to the address mail leaves from. Default: the system's name.
    -- hostname = "mail.example.org",

    -- Where mail comes in (restart, but for what is said about TLS, trust and limits). Keys of a listener:
    --   kind           submission: people and programs that log in, STARTTLS
    --                  submissions: the same, TLS from the start
    --                  relay: machines known by their address
    --                  lmtp: RFC 2033
    --   address        "127.0.0.1:2587", "[::]:25", "unix:/run/tidegate/lmtp"
    --   name           what policy, events and status call it; default: the kind and a number
    --   certificate, key   PEM files of its own; default: the common ones below
    --   certificates   further ones of its own; default: the common ones below
    --   client_ca      PEM file: ask clients for certificates signed by it
    --   greeting       text behind the name in the banner
    --   allow          networks trusted without AUTH
    --   proxy_from     networks whose connections begin with a PROXY protocol header
    --   auth_required  AUTH before MAIL; default: true for submission and submissions
    --   tls_required   TLS before MAIL; default: true for submission (AUTH always needs it)
    --   size_max       largest message here; default: limits.message_size
    listeners = {
        { kind = "submission", address = "127.0.0.1:2587" },
        { kind = "submissions", address = "127.0.0.1:2465" },
        { kind = "relay", address = "127.0.0.1:2525", allow = { "127.0.0.0/8" } },
        -- In production:
        -- { kind = "submission", address = "0.0.0.0:587" },
        -- { kind = "submission", address = "[::]:587" },
        -- { kind = "submissions", address = "0.0.0.0:465" },
        -- { kind = "relay", address = "10.0.0.1:25", allow = { "10.0.0.0/8", "fd00::/8" } },
        -- { kind = "relay", address = "10.0.0.1:26", proxy_from = { "10.0.0.2" }, allow = { "10.1.0.0/16" } },
    },

    -- The certificate chain shown to clients and its private key, PEM. Read again on every reload.
    certificate = "var/tls/cert.pem", -- "/etc/tidegate/tls/fullchain.pem"
    key = "var/tls/key.pem",          -- "/etc/tidegate/tls/privkey.pem"
    -- Further ones, for clients that connect to a name which is in them (SNI).
    -- certificates = { { certificate = "/etc/tidegate/tls/other.pem", key = "/etc/tidegate/tls/other.key" } },

    -- Roots that servers' certificates are verified against when mail is delivered. Default: the system's.
    -- ca = "/etc/ssl/certs/ca-certificates.crt",

    -- Who may log in: names, password hashes, facts for the policy. `tidegate passwd` writes it. Default: nobody.
    users = "var/users", -- "/etc/tidegate/users"

    -- The system user to become once the listeners are bound, when started as root (restart). Default: stay who started it.
    -- user = "tidegate",

    workers = 0,                   -- threads (restart); 0: one for each core
    scripts = "scripts",           -- the policy;                       "/etc/tidegate/scripts"
    stdlib = "stdlib",             -- the library that ships with it;   "/usr/share/tidegate/stdlib"
    control = "var/control.sock",  -- socket of the verbs (restart);    "/run/tidegate/control.sock"
    capture = "var/capture",       -- Maildir of route.capture;         "/var/lib/tidegate/capture"
    events = "var/events.jsonl",   -- a line for each fate (restart);   "/var/log/tidegate/events.jsonl"
    log = "info",                  -- on stderr: error | warning | notice | info | trace

    -- The queue. A message is acknowledged only once it is synced here (restart).
    store = {
        path = "var/queue",        -- "/var/lib/tidegate/queue"
        ceiling = 0,               -- most it may take on disk; 0: what the disk has. Beyond it new mail gets 452 4.3.1
        reserve = "128MiB",        -- free space below which no new mail is taken
        segment = "64MiB",         -- size of a file of bodies
    },

    -- What was decided, and what became of it: for `queue show`, `explain` and `replay`.
    journal = {
        max = 200000,              -- entries of about 1 KiB, the oldest fall out (restart)
        keep = "7d",               -- none is kept for longer (restart)
        decisions = true,          -- kept so that they can be decided again; false: outcomes alone
        -- headers = { "From", "List-ID" }, -- header fields kept with a message, or "none"; default: eleven that say what mail it is
    },

    -- Limits of a minute and more that several gateways share, in a Redis (restart). conf/operations.md says what it must be told.
    ledger = {
        -- redis = "10.0.0.5:6379",       -- or "unix:/run/redis/redis.sock"; default: none, they are this gateway's own
        -- password = "conf/redis-password", -- file with the password, or with "USER PASSWORD"
        -- tls = true,                    -- its certificate must hold
        -- tls_name = "redis.acme.example", -- the name it must have; default: its address
        -- ca = "tls/redis-ca.pem",       -- the roots it is verified against; default: `ca`
    },

    -- Asking DNS (restart).
    dns = {
        -- servers = { "127.0.0.1", "[::1]:5353" }, -- default: those of /etc/resolv.conf; best is one on this machine
        timeout = "1s",            -- for the first answer, then it asks again or elsewhere
        trust_ad = false,          -- believe the resolver that an answer was validated (DNSSEC): DANE needs it
    },

    -- Web requests: of scripts (http.request), and for access tokens (XOAUTH2).
    http = {
        -- whom scripts may ask, by https, as "api.example.com", "*.example.org", "10.0.0.5:8443"; default: nobody. This is what MTA-STS needs (stdlib/README.md)
        hosts = { "mta-sts.*" },
        -- ca = "/etc/tidegate/tls/roots.pem", -- trusted roots (restart); default: as `ca` above
        private = false,           -- also to loopback and private addresses (restart)
    },

    -- Sending.
    delivery = {
        expire = "5d",             -- then a message is given up and reported to its sender
        report_delay = 0,          -- tell senders of waiting after this; 0: only who asked for it (RFC 3461), after 4 hours
        family = "both",           -- "both", "4" or "6"
        connections = 500,         -- out, at once, in all
        in_memory = 1000,          -- deliveries a worker holds at once; the others wait on disk
        bodies_in_memory = "64MiB", -- of messages just accepted, until their first attempt; beyond it the disk is read
        connect_timeout = "30s",   -- to one address
        timeout = 0,               -- longest wait for a reply; 0: as RFC 5321 has it, by command
        idle = "5s",               -- how long a connection is kept for the lane's next message
        port = 25,                 -- of MX hosts (other: for a lab)
        private_mx = false,        -- deliver to an MX on loopback or a private address (for a lab)
    },

    -- What `tidegate doctor` may look at outside of this machine and DNS; default: nothing.
    doctor = {
        -- probe = "mx.example.net",  -- a mail server of yours elsewhere: is port 25 open on the way out?
        -- blocklists = { "zen.example.org" }, -- are our addresses on these?
    },

    -- What a client may take. Each has its own reply.
    limits = {
        message_size = "50MiB",
        header_size = "256KiB",
        line_length = 1000,        -- of a command
        text_line_length = "64KiB", -- of a message, with CRLF (RFC 5321: 1000)
        recipients = 1000,         -- of a transaction
        commands = 10000,          -- of a session, as the next two
        errors = 20,
        messages = 0,              -- 0: any number
        login_delay = "2s",        -- before a refused login is answered
        received = 30,             -- Received fields: more are a loop
        idle = "5m",               -- silence
        session = "1h",            -- in all
        connections = 10000,       -- at once, all clients
        connections_per_address = 100,
        memory_in_flight = "256MiB", -- of messages being received
    },

    -- What a script may take. Beyond it mail is deferred, never let pass and never bounced.
    hooks = {
        steps = 5000000,           -- Lua instructions of one hook
        time = "30s",              -- of one hook, waiting for DNS included
        memory = "64MiB",          -- of the scripts, in each worker
    },
}
