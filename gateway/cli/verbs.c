// SPDX-License-Identifier: MIT
#include "cli/verbs.h"

#include "cli/families.h"

#include <sysexits.h>

static const struct option_row tool_rows[] = {
    {"conf", 'c', OPTION_FILE, "FILE",
     "the configuration [$TIDEGATE_CONF, conf/tidegate.lua, /etc/tidegate/tidegate.lua]", false},
    {"socket", 'S', OPTION_FILE, "PATH",
     "the gateway's control socket [$TIDEGATE_SOCKET, what the configuration says]", false},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object a line, for programs", false},
    {0},
};

static const struct option_row run_rows[] = {
    {"virtual-clock", 0, OPTION_FLAG, NULL, "let the control socket move the gateway's clock: for tests only",
     false},
    {0},
};

static const struct option_row check_rows[] = {
    {"keys", 'k', OPTION_FLAG, NULL, "print every key of the configuration with its default, and stop",
     false},
    {"store", 0, OPTION_FLAG, NULL,
     "check the queue on disk too, record by record; the gateway must not be running", false},
    {"strict", 0, OPTION_FLAG, NULL, "a warning is a fault: exit 78 where there is one", false},
    {0},
};

static const struct option_row test_rows[] = {
    {"scripts", 's', OPTION_FILE, "FOLDER", "the policy to test [what the configuration says]", false},
    {"only", 'o', OPTION_TEXT, "TEXT", "only stories with this in their title", false},
    {"coverage", 0, OPTION_FLAG, NULL, "say which lines of the scripts never ran", false},
    {"junit", 0, OPTION_FILE, "FILE", "write the results there too, as JUnit's XML", false},
    {"watch", 'w', OPTION_FLAG, NULL, "tell them again whenever a file changes, until Ctrl-C", false},
    {0},
};

static const struct option_row simulate_rows[] = {
    {"days", 'd', OPTION_NUMBER, "N", "so many days [30]", false},
    {"traffic", 't', OPTION_FILE, "FILE", "the mail that comes in: streams (Lua), or a recorded day (.jsonl)", false},
    {"peers", 0, OPTION_FILE, "FILE", "what the other servers do [they take everything]", false},
    {"scripts", 's', OPTION_FILE, "FOLDER", "the policy to play [what the configuration says]", false},
    {"start", 0, OPTION_TEXT, "TIME", "when the first day begins, UTC: 2026-11-24, 2026-11-24T08:00Z [the coming midnight]", false},
    {"seed", 0, OPTION_NUMBER, "N", "another seed, another month of the same kind [1]", false},
    {"csv", 0, OPTION_FILE, "FILE", "write a line for each day, identity and provider there", false},
    {"svg", 0, OPTION_FILE, "FILE", "draw what each identity sent a day there", false},
    {0},
};

static const struct option_row replay_rows[] = {
    {"scripts", 's', OPTION_FILE, "FOLDER", "the candidate policy [what the configuration says]", false},
    {"since", 0, OPTION_DURATION, "TIME", "messages received so long ago at most [24h]", false},
    {"sample", 0, OPTION_TEXT, "N|P%", "so many of them, or that share, spread over all [all]", false},
    {"fail-if", 0, OPTION_TEXT, "CONDITION", "end with exit code 1 where it holds: 'fault > 0 or changed > 2%'", false},
    {"examples", 'e', OPTION_NUMBER, "N", "print so many of each class, up to 20 [3]", false},
    {0},
};

static const struct option_row reload_rows[] = {
    {"test", 0, OPTION_FLAG, NULL, "only if the policy's stories hold", false},
    {"replay", 0, OPTION_DURATION, "TIME", "only if what was decided in that time is decided the same, nearly", false},
    {"sample", 0, OPTION_TEXT, "N|P%", "of so many messages, or that share, spread over all [all]", false},
    {"fail-if", 0, OPTION_TEXT, "CONDITION",
     "what 'nearly' is not, see replay [fault > 0 or changed > 5% or mean_us > 2000]", false},
    {"canary", 0, OPTION_TEXT, "P%", "try them on that share of new messages first", false},
    {"for", 0, OPTION_DURATION, "TIME", "for so long [10m]", false},
    {"margin", 0, OPTION_TEXT, "P%", "take them back when a rate is more than that above the other's [5%]", false},
    {"least", 0, OPTION_NUMBER, "N", "judge them by no fewer decisions [50]", false},
    {"promote", 0, OPTION_FLAG, NULL, "end the trial: what is on trial is in force", false},
    {"withdraw", 0, OPTION_FLAG, NULL, "end the trial: take it back", false},
    {0},
};

static const struct option_row explain_rows[] = {
    {"from", 'f', OPTION_TEXT, "ADDRESS", "the envelope sender; <> for none", false},
    {"to", 't', OPTION_TEXT, "ADDRESS", "a recipient", true},
    {"user", 'u', OPTION_TEXT, "NAME", "logged in as this user, with the right password", false},
    {"client", 0, OPTION_TEXT, "IP", "from this address [127.0.0.1]", false},
    {"helo", 0, OPTION_TEXT, "NAME", "which says this in EHLO [its address]", false},
    {"listener", 'l', OPTION_TEXT, "NAME", "at this listener [submission with --user, else relay]", false},
    {"message", 'm', OPTION_FILE, "FILE", "this message, header and all; - is stdin [a small one]", false},
    {"at", 0, OPTION_TEXT, "TIME", "as if it were then: '2026-03-01 09:00', with Z for UTC, or +2h [now]", false},
    {"as", 0, OPTION_TEXT, "ID", "with this id: pools that draw by message draw by it [one of now]", false},
    {"offline", 0, OPTION_FLAG, NULL, "by configuration and scripts alone, without the gateway's limits and lists", false},
    {"scripts", 's', OPTION_FILE, "FOLDER", "the same with the policy of this folder", false},
    {0},
};

static const struct option_row classify_rows[] = {
    {"verify", 'v', OPTION_FLAG, NULL, "look whether DKIM vouches for its sender (asks DNS)", false},
    {"apply", 'a', OPTION_FLAG, NULL, "add to the running gateway's suppression list what the policy would; only what is believed", false},
    {"trust", 't', OPTION_TEXT, "DOMAIN", "believe what this domain signs about any recipient; 'any': believe what nobody signed", true},
    {"facts", 'f', OPTION_FLAG, NULL, "only what the message says: no policy is asked and no configuration is needed", false},
    {"scripts", 's', OPTION_FILE, "FOLDER", "the policy to ask [what the configuration says]", false},
    {0},
};

static const struct option_row send_rows[] = {
    {"server", 's', OPTION_TEXT, "HOST:PORT", "where to [the first submission listener of the configuration]",
     false},
    {"from", 'f', OPTION_TEXT, "ADDRESS", "the envelope sender; <> for none [the user, or you at this host]",
     false},
    {"to", 't', OPTION_TEXT, "ADDRESS", "a recipient", true},
    {"user", 'u', OPTION_TEXT, "NAME", "log in with AUTH", false},
    {"password", 'p', OPTION_TEXT, "PASSWORD", "its password [$TIDEGATE_PASSWORD, or asked for]", false},
    {"tls", 0, OPTION_CHOICE, "starttls|implicit|none",
     "how to be private [implicit on port 465 and 2465, else starttls]", false},
    {"insecure", 'k', OPTION_FLAG, NULL, "take any certificate [the default for a server on loopback]",
     false},
    {"subject", 0, OPTION_TEXT, "TEXT", "the Subject field [a test from ...]", false},
    {"header", 'H', OPTION_TEXT, "'NAME: TEXT'", "one more header field", true},
    {"body", 'b', OPTION_TEXT, "TEXT", "the text of the message", false},
    {"file", 'F', OPTION_FILE, "FILE", "send this message as it is, header and all; - is stdin", false},
    {"lmtp", 0, OPTION_FLAG, NULL, "speak LMTP", false},
    {"count", 'n', OPTION_NUMBER, "N", "send it so many times over one connection [1]", false},
    {"timeout", 0, OPTION_DURATION, "TIME", "how long to wait for the server at each step [60s]", false},
    {"verbose", 'v', OPTION_FLAG, NULL, "print the dialogue", false},
    {0},
};

static const struct option_row limit_rows[] = {
    {"count", 'n', OPTION_NUMBER, "N", "add so much to each KEY instead of listing", false},
    {"window", 'w', OPTION_DURATION, "TIME", "of the window it is added to: 1h, 1d [1d]", false},
    {0},
};

static const struct option_row log_rows[] = {
    {"lines", 'n', OPTION_NUMBER, "N", "so many of the last events [20]", false},
    {"follow", 'f', OPTION_FLAG, NULL, "go on with what happens, until Ctrl-C", false},
    {"id", 'i', OPTION_TEXT, "ID", "only of this message", false},
    {"type", 't', OPTION_TEXT, "TYPE",
     "only of this type: received, refused, delivered, deferred, bounced, held, fault, reloaded, ...", false},
    {"address", 'a', OPTION_TEXT, "ADDRESS", "only what is from or to this address, or @domain", false},
    {"identity", 0, OPTION_TEXT, "NAME", "only what was decided to go as this identity", false},
    {0},
};

static const struct option_row passwd_rows[] = {
    {"users", 'U', OPTION_FILE, "FILE", "the users file [what the configuration says]", false},
    {"set", 's', OPTION_PAIR, "KEY=VALUE",
     "a fact scripts will see, such as from=*@example.org; replaces all that were there", true},
    {"lock", 'L', OPTION_FLAG, NULL, "keep the user but let no password fit", false},
    {"delete", 'D', OPTION_FLAG, NULL, "take the user out of the file", false},
    {0},
};

static const struct option_row doctor_rows[] = {
    {"identity", 'i', OPTION_TEXT, "NAME", "only this identity of the policy [all]", false},
    {"from", 'f', OPTION_TEXT, "DOMAIN", "a domain of From: [those that the identity's keys sign for]", true},
    {"source", 0, OPTION_TEXT, "ADDRESS", "the address as the world sees it, behind NAT [the identity's, else the system's]", true},
    {"relayed", 'r', OPTION_FLAG, NULL, "mail leaves through a relay: names, SPF and lists of our own address do not matter", false},
    {"probe", 'p', OPTION_TEXT, "HOST[:PORT]", "try whether this mail server can be reached [doctor.probe]", false},
    {"blocklist", 'b', OPTION_TEXT, "ZONE", "look into this blocklist too, beside doctor.blocklists", true},
    {"offline", 0, OPTION_FLAG, NULL, "ask no DNS and connect to nobody but the gateway", false},
    {0},
};

static const struct option_row status_rows[] = {
    {"prometheus", 0, OPTION_FLAG, NULL, "the figures in Prometheus' text format", false},
    {0},
};

static const struct option_row top_rows[] = {
    {"once", '1', OPTION_FLAG, NULL, "print one picture and stop", false},
    {0},
};

static const struct option_row help_rows[] = {
    {"manual", 'm', OPTION_FILE, "FOLDER", "write the manual's pages into this folder: tidegate.1, tidegate.conf.5, ...", false},
    {0},
};

static const struct option_row *const tool_options[] = {tool_rows, NULL};
static const struct option_row *const run_options[] = {run_rows, NULL};
static const struct option_row *const check_options[] = {check_rows, NULL};
static const struct option_row *const test_options[] = {test_rows, NULL};
static const struct option_row *const simulate_options[] = {simulate_rows, NULL};
static const struct option_row *const replay_options[] = {replay_rows, NULL};
static const struct option_row *const reload_options[] = {reload_rows, NULL};
static const struct option_row *const explain_options[] = {explain_rows, NULL};
static const struct option_row *const classify_options[] = {classify_rows, NULL};
static const struct option_row *const send_options[] = {send_rows, NULL};
static const struct option_row *const limit_options[] = {limit_rows, NULL};
static const struct option_row *const log_options[] = {log_rows, NULL};
static const struct option_row *const passwd_options[] = {passwd_rows, NULL};
static const struct option_row *const doctor_options[] = {doctor_rows, NULL};
static const struct option_row *const status_options[] = {status_rows, NULL};
static const struct option_row *const top_options[] = {top_rows, NULL};
static const struct option_row *const help_options[] = {help_rows, NULL};

static const int exits_run[] = {EX_UNAVAILABLE, EX_SOFTWARE, EX_OSERR, EX_NOPERM, EX_CONFIG, 0};
static const int exits_check[] = {EX_DATAERR, EX_UNAVAILABLE, EX_CONFIG, 0};
static const int exits_explain[] = {EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL, EX_CONFIG, 0};
static const int exits_test[] = {1, EX_NOINPUT, EX_UNAVAILABLE, EX_CANTCREAT, EX_CONFIG, 0};
static const int exits_simulate[] = {1, EX_DATAERR, EX_CANTCREAT, EX_CONFIG, 0};
static const int exits_replay[] = {1, EX_UNAVAILABLE, EX_CONFIG, 0};
static const int exits_reload[] = {1, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};
static const int exits_send[] = {EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM,
                                 EX_CONFIG,  0};
static const int exits_classify[] = {EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};
static const int exits_limit[] = {1, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};
static const int exits_doctor[] = {1, 2, EX_DATAERR, EX_CONFIG, 0};
static const int exits_help[] = {EX_CANTCREAT, 0};
static const int exits_passwd[] = {EX_DATAERR, EX_CANTCREAT, EX_CONFIG, 0};

static const struct verb table[] = {
    {.name = "run",
     .summary = "the gateway, in the foreground",
     .arguments = "",
     .options = run_options,
     .run = verb_run,
     .about = "Starts the gateway and stays until it is told to stop. SIGTERM or SIGINT: finishes or gives back what is under way, then "
              "ends; a second one ends at once. SIGHUP: as `tidegate reload`. SIGUSR1: opens the file of events anew, and nothing else, "
              "for whoever rotates it. Nothing that was acknowledged is ever lost by stopping.",
     .examples = "  tidegate run\n  tidegate run --conf /etc/tidegate/tidegate.lua",
     .exits = exits_run},
    {.name = "check",
     .summary = "are the configuration and the scripts right?",
     .arguments = "",
     .options = check_options,
     .run = verb_check,
     .about = "Reads the configuration, the users file and the certificates, compiles every script, loads them as the "
              "gateway would, and asks each hook about made-up mail: at every listener, with a login and without, and about what attempts come to. Lists "
              "every fault with file, key or line, and what would be right; and names the hooks to which no made-up mail came. "
              "Warns of what is right but does nothing: an identity or a relay that nothing uses, a limit that is asked for and never spent, or is for an "
              "identity or a user that does not exist. Changes nothing.",
     .examples =
         "  tidegate check && tidegate reload\n  tidegate check --strict\n  tidegate check --keys > keys.md\n  tidegate check --store",
     .exits = exits_check},
    {.name = "explain",
     .summary = "what would become of a message, or what became of one, and why",
     .arguments = "[ID [N]]",
     .most = 2,
     .options = explain_options,
     .run = verb_explain,
     .about = "Asks each hook as live mail would ask it, with the running gateway's policy, limits, lanes, suppression list and resolvers, and shows "
              "what it was told, what it looked up, what it answered and by which line; of route.first and pools each alternative, and why it "
              "is not taken; each limit with what is used and when there is room; and what would happen now. Nothing is sent, spent or written. With an "
              "ID (and a recipient's number): what was decided about that message, and what it waits for and until when. Without a gateway, "
              "or with --offline, configuration and scripts are all there is. Assumed: TLS where the listener wants it, a password that is right.",
     .examples = "  tidegate explain --from ann@example.org --to bob@example.net --user ann\n"
                 "  tidegate explain --from shop@example.org --to bob@example.net --client 10.1.2.3 --at '2026-12-24 08:00'\n"
                 "  tidegate explain 0065a4f81c008003",
     .exits = exits_explain},
    {.name = "test",
     .summary = "tell the policy's stories: does it do what was written down?",
     .arguments = "[FILE...]",
     .most = -1,
     .options = test_options,
     .run = verb_test,
     .about = "Runs *.story.lua of the scripts folder, or the files that are named, against the policy there: the same hooks, asked as live "
              "mail asks them, with a clock that stands still, a DNS of the story's own and nothing sent. One line for each story; one "
              "that fails says what was expected, what came, and everything that was decided on the way. Times are UTC. stdlib/README.md has "
              "the kit, scripts/policy.story.lua is an example.",
     .examples = "  tidegate test && tidegate reload\n  tidegate test --watch\n  tidegate test --only greylist --coverage\n"
                 "  tidegate test --junit results.xml scripts/policy.story.lua",
     .exits = exits_test},
    {.name = "doctor",
     .summary = "what would receivers say? looked at before any mail is sent",
     .arguments = "",
     .options = doctor_options,
     .run = verb_doctor,
     .about = "Looks at what receivers look at, for each identity that the policy defines: the address' name and back, the EHLO name, SPF, "
              "DKIM keys, DMARC and whether the three fit, blocklists, port 25; and at the machine: clock, disk, resolver, certificates, the "
              "running gateway, its queue and limits. Each finding says what follows from it, how to mend it, and the record to paste. Nothing "
              "is changed and no mail is sent.\n\nThe exit code is 0 when all is well, 1 when something should be looked at, 2 when something is "
              "wrong.",
     .examples = "  tidegate doctor\n  tidegate doctor --identity acme --probe mx.example.net\n"
                 "  tidegate doctor --source 203.0.113.7 --from example.org    # behind NAT\n"
                 "  tidegate doctor --json | jq 'select(.level == \"fail\")'",
     .exits = exits_doctor},
    {.name = "key",
     .summary = "DKIM keys: make one, show what to publish",
     .arguments = "",
     .verbs = key_verbs,
     .about = "The private key stays in its file, which an identity of the policy names; the record goes to DNS.",
     .examples = "  tidegate key new --domain example.org --selector s2026 --output /etc/tidegate/dkim/s2026.pem",
     .exits = exits_key},
    {.name = "simulate",
     .summary = "play days of traffic through the policy, by a clock that does not wait",
     .arguments = "",
     .options = simulate_options,
     .run = verb_simulate,
     .about = "Runs the gateway's own rooms (hooks, runner, lanes, limits, outcomes) in this process, on a clock that goes from one thing to "
              "the next: a month takes a minute. The mail comes from --traffic, the other servers behave as --peers says, nothing leaves this "
              "machine and no running gateway is touched. Prints what was received, sent, put off, bounced and left waiting each day, and what "
              "each identity sent to each provider; 'waited' had to wait for a limit, 'elsewhere' went by an alternative. Every limit is "
              "counted again from the other servers' side; the exit code is 1 if one was ever over its cap.\n\n"
              "The same files, start and seed give the same result. scripts/README.md describes both files, scripts/examples/simulate/ has one "
              "of each.",
     .examples = "  tidegate simulate --traffic scripts/examples/simulate/traffic.lua --days 7\n"
                 "  tidegate simulate --traffic traffic.lua --peers peers.lua --start 2026-12-01 --csv month.csv --svg month.svg\n"
                 "  tidegate log --type received --lines 100000 --json > day.jsonl && tidegate simulate --traffic day.jsonl --scripts candidate",
     .exits = exits_simulate},
    {.name = "replay",
     .summary = "what would these scripts have decided?",
     .arguments = "",
     .options = replay_options,
     .run = verb_replay,
     .about = "Takes the decisions that the journal keeps and asks the candidate's hooks the same again: at the same time, with the same facts, "
              "and with what was looked up then for an answer (DNS, limits, suppression list, web). Says how many would differ, by class, with "
              "examples. A decision that looks up what was not looked up then, or a header field that was not kept, is not guessed: it is "
              "`unknown`. Reads the store beside the running gateway and changes nothing.\n\n"
              "Classes: route (another way, host or TLS demand), identity, limit, refusal (refused, held or given up, or the other way round), "
              "fault (the hook fails), other (tags, headers, waiting times, sizes of a lane). Where several differ, the first of identity, "
              "route, limit counts.\n\n"
              "CONDITION has these figures: decisions, messages, changed (all classes but unknown), unknown, incomplete, route, identity, "
              "limit, refusal, fault, other, mean_us and longest_us (microseconds of CPU a decision); compared by > >= < <= = != with a number or, "
              "with %, a share of all decisions; joined by and, or, and brackets. Exit code 1: it holds.",
     .examples = "  tidegate replay --scripts ~/new-policy\n"
                 "  tidegate replay --scripts new --since 1h --fail-if 'fault > 0 or changed > 2%'\n"
                 "  tidegate replay --sample 10% --json",
     .exits = exits_replay},
    {.name = "send",
     .summary = "send a message to a server: a small client, for trying things",
     .arguments = "",
     .options = send_options,
     .run = verb_send,
     .about = "Sends one message by SMTP and prints what the server said, and the id under which a Tidegate queued it. Without --body "
              "and --file, a text on stdin is the body; with a terminal there, a short text is made up.\n\n"
              "A header is made (Date, From, To, Subject, Message-ID) unless --file brings its own.",
     .examples = "  tidegate send --user demo --password demo --to someone@example.net\n"
                 "  tidegate send --server mx.example.net:25 --tls starttls --from a@example.org --to "
                 "b@example.net -v\n"
                 "  tidegate send --to b@example.net --file message.eml --count 100",
     .exits = exits_send},
    {.name = "classify",
     .summary = "a bounce or complaint that came back: about whom, why, whose fault, to be suppressed?",
     .arguments = "[FILE...]",
     .most = -1,
     .options = classify_options,
     .run = verb_classify,
     .about = "Reads messages from stdin, files, mbox files and folders (a maildir is one) and says of each what it is: bounce, delayed, delivered, relayed, "
              "complaint, auto_reply, unsubscribe, or other. Of each recipient that is named: address, status, the server's words; whose fault the policy's rules say it is; "
              "and the entry that the policy would add to the suppression list: for a bounce what its retry hook asks for, for complaints and "
              "unsubscriptions what stdlib/returned.lua says.\n\n"
              "Anyone can write a bounce. With --verify it is `authentic` when a DKIM signature holds whose domain fits From; with --apply (which verifies too) an entry is "
              "added only if such a signer speaks about a mailbox of its own domain, or is named by --trust. A recipient that neither the report names nor the return path it came to (bounces+ann=example.net@...) is never added.\n\n"
              "Exit code 65: no message was any kind of report; 77: with --apply, something was not believed and not added.",
     .examples = "  tidegate classify --json < bounce.eml | jq '.recipients[] | {address, status, verdict}'\n"
                 "  tidegate classify --verify ~/Maildir/new\n"
                 "  tidegate classify --apply --trust google.com --trust yahoo.com    # in a mailbox's pipe, see scripts/README.md",
     .exits = exits_classify},
    {.name = "status",
     .summary = "how the gateway is doing",
     .arguments = "",
     .options = status_options,
     .run = verb_status,
     .about = "One look at the running gateway: version and policy, listeners, connections, the queue by "
              "state, counters, the store, disk and memory. \"full in\" says how long the disk lasts until no new mail is "
              "taken (store.reserve, store.ceiling), if it goes on filling as it did in the last hour; ten minutes after a "
              "start at the earliest, and only while it fills. \"the oldest\" is the message that has been in the queue for "
              "longest, held ones included.\n\n"
              "With --prometheus the figures are metrics (tidegate_queue_oldest_seconds, tidegate_delivered_recipients_total, ...), for the text file "
              "collector of node_exporter. Where no gateway answers, tidegate_up is 0 and the exit code is 69.",
     .examples = "  tidegate status\n  tidegate status --json | jq .recipients\n"
                 "  tidegate status --json | jq .disk,.memory,.limits\n"
                 "  tidegate status --prometheus > metrics/tidegate.new; mv metrics/tidegate.new metrics/tidegate.prom",
     .exits = exits_control},
    {.name = "queue",
     .summary = "look at what waits, and change it",
     .arguments = "",
     .verbs = queue_verbs,
     .about = "Everything here works on recipients: a message to three people waits three times.",
     .examples =
         "  tidegate queue list\n  tidegate queue show 0065a4f81c008003\n  tidegate queue hold --domain "
         "example.net",
     .exits = exits_control},
    {.name = "top",
     .summary = "what goes on, live",
     .arguments = "",
     .options = top_options,
     .run = verb_top,
     .about = "Redraws every second until q or Ctrl-C: how much comes in and goes out, the queue, the lanes that send most and those where most "
              "waits, limits that are nearly used up, and the last faults of scripts. Where stdout is no terminal, or with --once, one picture "
              "is printed: its rates are those of a second.",
     .examples = "  tidegate top\n  tidegate top --once | mail -s 'the gateway at noon' ops@example.org",
     .exits = exits_control},
    {.name = "lane",
     .summary = "the ways out that have work just now: look, pause, resume",
     .arguments = "",
     .verbs = lane_verbs,
     .about = "A lane is one way out: an identity, a next hop, a demand for TLS. It rests after its peer could not be reached or pushed "
         "back, goes on slower where the policy says so, and stops where you do.",
     .examples = "  tidegate lane list\n  tidegate lane pause --domain example.net --for 2h --because 'their server moves'",
     .exits = exits_control},
    {.name = "limit",
     .summary = "what is used of each limit",
     .arguments = "[KEY...]",
     .most = -1,
     .options = limit_options,
     .run = verb_limit,
     .about = "Lists the accounts of the ledger: one for each key and window that a plan's `spend` has named. USED counts what was sent "
         "within the window and what is being sent now, and how much of it elsewhere, by other gateways that share the limit (ledger.redis); CAP is the one asked for last. NEXT FREE is when some of it falls out of "
         "the window, ALL FREE when everything has. With KEYs, only theirs. Who waits for a limit is listed by `queue list --lane "
         "limit:KEY/SECONDS/CAP`. With --count nothing is listed: so much is added to KEY, for what no message of ours shows, such as a "
         "complaint that a provider's feedback loop has told of (stdlib/README.md, warmup).",
     .examples = "  tidegate limit\n  tidegate limit acme/google --json\n  tidegate limit complaints/acme/google --count 1",
     .exits = exits_limit},
    {.name = "suppression",
     .summary = "who must not be written to: look, add, import",
     .arguments = "",
     .verbs = suppression_verbs,
     .about = "An entry is an address or a @domain, in a scope (" FAMILY_SCOPES "), with a reason and perhaps an end. The policy asks the list "
              "before every attempt (stdlib/README.md, suppression), and may add what bounced.",
     .examples = "  tidegate suppression add bob@example.net --reason 'asked by phone'\n"
                 "  tidegate suppression has bob@example.net\n  tidegate suppression import bounces.csv",
     .exits = exits_control},
    {.name = "shelf",
     .summary = "values that scripts keep: look, set, delete",
     .arguments = "",
     .verbs = shelf_verbs,
     .about = "What `shelf.get` reads in a policy, and what its answers put there (stdlib/README.md, shelf): by key, with an end.",
     .examples = "  tidegate shelf list\n  tidegate shelf set mode careful --expires 2h",
     .exits = exits_control},
    {.name = "identity",
     .summary = "who we are for peers, and how our logins do: list, show, pause",
     .arguments = "",
     .verbs = identity_verbs,
     .run = verb_identity,
     .about = "Alone it lists them, as `identity list` does. Who we are is what identity.define made (stdlib/README.md): source addresses, HELO name, "
              "DKIM keys and return path under one name, and the logins of the relays that its plans use.",
     .examples = "  tidegate identity\n  tidegate identity show acme\n  tidegate identity pause acme --for 2h",
     .exits = exits_control},
    {.name = "warmup",
     .summary = "how far each warmup is at each provider, and what holds it",
     .arguments = "[NAME]",
     .most = 1,
     .run = verb_warmup,
     .about = "A line for each warmup of the policy (warmup.new, stdlib/README.md) and each provider that it names or has sent to. CAP, USED and LEFT are "
              "today's, of the ledger; BOUNCED and COMPLAINTS the last 24 hours' rates where it has gates. STATE: climbing; top: on the last "
              "step; done: no cap any more; demoted, floor: a rate is above its gate; idle; not begun. NEXT is the cap after the day's end, "
              "if the rates stay as they are.",
     .examples = "  tidegate warmup\n  tidegate warmup acme --json | jq '{provider, cap, left, state}'",
     .exits = exits_of_one},
    {.name = "reload",
     .summary = "bring in changed scripts, configuration, users and certificates",
     .arguments = "",
     .options = reload_options,
     .run = verb_reload,
     .about = "All of it or nothing: a fault changes nothing and is printed with file and line. No connection is dropped; what has begun "
              "ends on the version it began on. Says which version runs now, what changed and how long it took.\n\n"
              "With --test, --replay or --canary the scripts pass gates first, in this order: check (everything loads), test (the "
              "stories), replay (what was decided of late, decided again). The first that refuses is named, and nothing was reloaded; "
              "what passed is what is reloaded, or nothing.\n\n"
              "With --canary the scripts are on trial: a share of new messages, by their id, has all its hooks from `sender` on answered "
              "by them. They are taken back by themselves when they fail, refuse, defer or bounce more often than the policy in force "
              "does, by more than --margin; and else are in force when the time is over. While on trial they end nothing for good: what "
              "they would refuse is put off (451), what they would bounce or drop waits until the trial is over. A restart meanwhile "
              "runs the policy in force. Configuration, users and certificates are not part of a trial.\n\n"
              "Exit code 1: stories or replay refused; 78: the scripts or the configuration are wrong.",
     .examples = "  tidegate reload\n"
                 "  tidegate reload --test --replay 1h --canary 5% --for 10m\n"
                 "  tidegate reload --replay 24h --fail-if 'fault > 0 or identity > 1%'\n"
                 "  tidegate reload --promote",
     .exits = exits_reload},
    {.name = "rollback",
     .summary = "go back to the scripts that ran before",
     .arguments = "",
     .run = verb_rollback,
     .about = "The scripts of the version before take over again, from the store; the files in the scripts folder are left alone, and "
              "the next reload or start reads them again. A trial (`reload --canary`) ends with it: to end that alone, `tidegate reload --withdraw`.",
     .examples = "  tidegate rollback",
     .exits = exits_control},
    {.name = "drain",
     .summary = "take no new mail, go on delivering",
     .arguments = "",
     .run = verb_drain,
     .about = "New connections hear 421; those that are open may finish their message. `tidegate resume` "
              "ends it; so does a restart.",
     .examples = "  tidegate drain",
     .exits = exits_control},
    {.name = "resume",
     .summary = "end a drain: take mail again",
     .arguments = "",
     .run = verb_resume,
     .about = "Ends what `tidegate drain` began.",
     .examples = "  tidegate resume",
     .exits = exits_control},
    {.name = "log",
     .summary = "what happened to mail",
     .arguments = "",
     .options = log_options,
     .run = verb_log,
     .about = "Prints events, oldest first: one for each fate of a message. With --json the lines are those "
              "of the events file.",
     .examples = "  tidegate log --follow\n  tidegate log -n 100 --type deferred\n  tidegate "
                 "log --id 0065a4f81c008003 --json\n  tidegate log --follow --address @example.net",
     .exits = exits_control},
    {.name = "passwd",
     .summary = "add a user, or change a password",
     .arguments = "NAME",
     .least = 1,
     .most = 1,
     .options = passwd_options,
     .run = verb_passwd,
     .about = "Asks for the password twice, or reads it from stdin where that is not a terminal, and writes its yescrypt hash into the "
              "users file. The user's other facts stay as they are unless --set gives new ones. The running gateway sees it after "
              "`tidegate reload`.",
     .examples = "  tidegate passwd ann --set from=*@example.org\n  echo secret | tidegate passwd printer "
                 "--set from=scans@example.org --set role=device\n"
                 "  tidegate passwd ann --lock",
     .exits = exits_passwd},
    {.name = "completion",
     .summary = "a script by which the shell completes all this",
     .arguments = "SHELL",
     .least = 1,
     .most = 1,
     .run = verb_completion,
     .about = "SHELL is bash or zsh. The script goes to stdout; the Debian package has both in place.",
     .examples = "  tidegate completion bash > /etc/bash_completion.d/tidegate\n"
                 "  source <(build/tidegate completion bash)\n"
                 "  tidegate completion zsh > ~/.zsh/completions/_tidegate   # a folder of $fpath"},
    {.name = "version",
     .summary = "which Tidegate this is",
     .arguments = "",
     .run = verb_version,
     .about = "Prints the version.",
     .examples = "  tidegate version"},
    {.name = "help",
     .summary = "this list, or the page of a verb",
     .arguments = "[VERB...]",
     .most = 2,
     .options = help_options,
     .run = verb_help,
     .about = "The same as `tidegate VERB --help`.",
     .examples = "  tidegate help queue list\n  tidegate help --manual man",
     .exits = exits_help},
    {0},
};

const struct verb verbs_tool = {
    .name = "tidegate",
    .summary = "an outbound mail gateway",
    .arguments = "",
    .options = tool_options,
    .verbs = table,
    .about = "`tidegate help VERB` has each verb's page, with examples and exit codes. The verbs that talk to the running gateway find "
              "it by the same configuration it runs with.",
    .examples = "  tidegate run",
};
