// SPDX-License-Identifier: MIT
#include "cli/families.h"

#include "cli/verbs.h"

#include <sysexits.h>

const int exits_control[] = {EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};

// ---- queue: recipients that wait ---------------------------------------------------------------------------------------------

static const struct option_row filter_rows[] = {
    {"id", 'i', OPTION_TEXT, "ID", "this message", true},
    {"sender", 'f', OPTION_TEXT, "PATTERN", "envelope sender: an address, @domain, or with * as wildcard",
     false},
    {"recipient", 't', OPTION_TEXT, "PATTERN", "recipient, in the same way", false},
    {"domain", 'd', OPTION_TEXT, "DOMAIN", "domain of the recipient", false},
    {"identity", 0, OPTION_TEXT, "NAME", "identity chosen by the last decision", false},
    {"lane", 'l', OPTION_TEXT, "LANE", "lane in which it waits, or was tried last: its whole key", false},
    {"state", 's', OPTION_CHOICE, "due|parked|held", "due: waits for its time; parked: for a limit or its way out; held: for you", false},
    {"older-than", 'o', OPTION_DURATION, "TIME", "received longer ago than this: 90s, 30m, 2h, 5d", false},
    {"tag", 0, OPTION_PAIR, "KEY=VALUE", "tag the policy gave the message", true},
    {0},
};

static const struct option_row list_rows[] = {
    {"limit", 'n', OPTION_NUMBER, "N", "print no more than this; 0: all [100]", false},
    {"count", 0, OPTION_FLAG, NULL, "only say how many there are", false},
    {0},
};

static const struct option_row change_rows[] = {
    {"yes", 'y', OPTION_FLAG, NULL, "do not ask", false},
    {"all", 0, OPTION_FLAG, NULL, "the whole queue: needed where no filter and no ID is given", false},
    {0},
};

static const struct option_row *const list_options[] = {filter_rows, list_rows, NULL};
static const struct option_row *const change_options[] = {filter_rows, change_rows, NULL};

#define CHANGE_ABOUT                                                                                                                   \
    "\n\nIt says how many recipients it would touch and asks; without a terminal it needs --yes, and otherwise stops with exit "        \
    "code 64 and the number. All filters that are given must hold. The change is on disk when the verb ends."
#define CHANGE(name_, summary_, about_, example_)                                                                                      \
    {                                                                                                                                  \
        .name = name_, .summary = summary_, .arguments = "[ID...]", .most = -1, .options = change_options, .run = verb_queue_change,   \
        .about = about_ CHANGE_ABOUT, .examples = example_, .exits = exits_control                                                     \
    }

const struct verb queue_verbs[] = {
    {.name = "list",
     .summary = "what waits, one line a recipient",
     .arguments = "",
     .options = list_options,
     .run = verb_queue_list,
     .about = "Lists recipients that wait, oldest message first. All filters that are given must hold.",
     .examples = "  tidegate queue list --domain example.net --older-than 2h\n"
                 "  tidegate queue list --state held --json --limit 0\n"
                 "  tidegate queue list --identity acme --count",
     .exits = exits_control},
    {.name = "show",
     .summary = "all that is known of one message",
     .arguments = "ID",
     .least = 1,
     .most = 1,
     .run = verb_queue_show,
     .about = "Prints the message's envelope and header, each recipient that still waits with its last outcome, and the journal: every "
              "decision, with its reason and the version of the policy that made it.",
     .examples = "  tidegate queue show 0065a4f81c008003",
     .exits = (const int[]){EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0}},
    CHANGE("hold", "stop delivering them until they are released",
           "Held recipients stay in the queue and are not tried; their time of expiry goes on.",
           "  tidegate queue hold --sender @news.example.org\n  tidegate queue hold 0065a4f81c008003 --yes"),
    CHANGE("release", "end a hold: try them now", "The `route` hook is asked again at once: what it holds itself it holds again.",
           "  tidegate queue release --state held --domain example.net"),
    CHANGE("retry", "try them now, whatever time they were given",
           "The `route` hook is asked again at once. Held ones stay held.",
           "  tidegate queue retry --domain example.net"),
    CHANGE("bounce", "give up on them: report to the sender",
           "Each sender gets one report (RFC 3464); a null sender never does.",
           "  tidegate queue bounce --recipient nobody@example.net --yes"),
    CHANGE("delete", "drop them without a word to anyone", "What a person waits for is better given back: `queue bounce` tells its sender.",
           "  tidegate queue delete --sender '*@spam.example' --older-than 1d"),
    {0},
};

// ---- lane: the ways out ------------------------------------------------------------------------------------------------------

static const struct option_row which_rows[] = {
    {"identity", 'i', OPTION_TEXT, "NAME", "all lanes of this identity", false},
    {"domain", 'd', OPTION_TEXT, "DOMAIN", "all lanes to this domain of recipients, or this relay host", false},
    {0},
};

static const struct option_row pause_rows[] = {
    {"for", 'f', OPTION_DURATION, "TIME", "ends by itself after so long: 30m, 2h [until `lane resume`]", false},
    {"because", 'b', OPTION_TEXT, "TEXT", "why, for people: shown in lists and events", false},
    {0},
};

static const struct option_row *const pause_options[] = {which_rows, pause_rows, NULL};
static const struct option_row *const resume_options[] = {which_rows, NULL};

const struct verb lane_verbs[] = {
    {.name = "list",
     .summary = "the lanes in use, one a line, and what is paused",
     .arguments = "",
     .run = verb_lane_list,
     .about = "IN MEMORY is how many recipients stand in line, PARKED whether more wait in the store. STATE: open; resting until ENDS; "
              "probing: one connection tries whether it works again; narrow: fewer connections than planned; a rate: no faster than that; "
              "paused. WHY is what an operator or the policy said, and what the peer said.",
     .examples = "  tidegate lane list\n  tidegate queue list --lane KEY",
     .exits = exits_control},
    {.name = "show",
     .summary = "all that is known of a lane: what holds it back, and who waits",
     .arguments = "LANE",
     .least = 1,
     .most = 1,
     .run = verb_lane_show,
     .about = "LANE is a lane's key, or a part of some. Below it stand those whose turn it is, class by class, with how many of each wait in "
              "memory; PARKED says whether more of them wait in the store. Exit code 1 where there is none.",
     .examples = "  tidegate lane show example.net",
     .exits = (const int[]){1, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0}},
    {.name = "pause",
     .summary = "send nothing there for a while",
     .arguments = "[LANE]",
     .most = 1,
     .options = pause_options,
     .run = verb_lane_change,
     .about = "Messages under way are finished; what else there is waits in the queue, with no attempt counted, until it is resumed or "
              "expires. A plan with an alternative (route.first) takes that meanwhile. It holds for lanes that come up later, and over restarts.",
     .examples = "  tidegate lane pause --domain example.net --for 2h --because 'their server moves'\n"
                 "  tidegate lane pause --identity acme",
     .exits = exits_control},
    {.name = "resume",
     .summary = "end a pause, and whatever else holds it back",
     .arguments = "[LANE]",
     .most = 1,
     .options = resume_options,
     .run = verb_lane_change,
     .about = "Takes back the pause of the same name, and ends rests, narrowness and slower rates of the lanes it names: they try now.",
     .examples = "  tidegate lane resume --domain example.net",
     .exits = exits_control},
    {0},
};

// ---- identity: who we are for peers ---------------------------------------------------------------------------------------------

static const struct option_row *const only_pause_options[] = {pause_rows, NULL};

const int exits_of_one[] = {EX_DATAERR, EX_UNAVAILABLE, EX_SOFTWARE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};

const struct verb identity_verbs[] = {
    {.name = "list",
     .summary = "all of them, one a line: what `identity` alone does",
     .arguments = "",
     .run = verb_identity,
     .about =
         "Lists the identities of the policy with the logins used since the start, and those of plans without an identity. STATE "
         "of a login by XOAUTH2: good; ending: the token is still good, but no new one is to be had; failing: there is none, and its "
         "lanes rest; expired, asking. ENDS is when the token ends (it is renewed at about 80 % of its life), REFRESHED when it "
         "came, LAST LOGIN when a peer took it. WHY is what was said where it does not work. --json also has sources, HELO names "
         "and keys, and when a refresh token was replaced or ends.",
     .examples = "  tidegate identity list --json | jq 'select(.logins[].token.state == \"failing\")'",
     .exits = exits_control},
    {.name = "show",
     .summary = "all that is known of one: names, keys, logins, pause, lanes, limits, warmup",
     .arguments = "NAME",
     .least = 1,
     .most = 1,
     .run = verb_identity_show,
     .about = "Below its names, keys and logins stand its lanes in use, the limits whose keys name it (acme/google, warmup/acme/google; "
              "LEFT is of the cap that was asked for last, 0 while the peer says that there is no room), and its warmup at each provider (see "
              "`tidegate warmup`).",
     .examples = "  tidegate identity show acme\n  tidegate identity show acme --json | jq '.limits[] | {key, used, cap}'",
     .exits = exits_of_one},
    {.name = "pause",
     .summary = "send nothing as this identity for a while",
     .arguments = "NAME",
     .least = 1,
     .most = 1,
     .options = only_pause_options,
     .run = verb_lane_change,
     .about = "The same as `tidegate lane pause --identity NAME`, and as a verdict's `pause`: all its lanes stop, its mail waits with no attempt "
              "counted, route.first takes its next plan. It is on disk and holds over restarts.",
     .examples = "  tidegate identity pause acme --for 2h --because 'complaints from yahoo'",
     .exits = exits_control},
    {.name = "resume",
     .summary = "end its pause, and whatever else holds its lanes back",
     .arguments = "NAME",
     .least = 1,
     .most = 1,
     .run = verb_lane_change,
     .about = "The same as `tidegate lane resume --identity NAME`, whoever paused it: an operator or the policy.",
     .examples = "  tidegate identity resume acme",
     .exits = exits_control},
    {0},
};

// ---- suppression: who must not be written to ------------------------------------------------------------------------------------

static const struct option_row entry_rows[] = {
    {"scope", 's', OPTION_TEXT, "SCOPE", "whose mail it stops: " FAMILY_SCOPES " [all]", false},
    {"reason", 'r', OPTION_TEXT, "TEXT", "why, for people: shown to the sender's side and in events", false},
    {"expires", 'e', OPTION_DURATION, "TIME", "ends by itself after so long: 12h, 90d [never]", false},
    {0},
};

static const struct option_row remove_rows[] = {
    {"scope", 's', OPTION_TEXT, "SCOPE", "only this one: " FAMILY_SCOPES " [every scope]", false},
    {0},
};

static const struct option_row entries_rows[] = {
    {"address", 'a', OPTION_TEXT, "PATTERN", "an address, @domain, or with * as wildcard", false},
    {"domain", 'd', OPTION_TEXT, "DOMAIN", "addresses of this domain, itself included; * as wildcard", false},
    {"scope", 's', OPTION_TEXT, "PATTERN", "of this scope; * as wildcard: 'stream:*'", false},
    {"reason", 'r', OPTION_TEXT, "PATTERN", "with this reason; * as wildcard", false},
    {0},
};

static const struct option_row format_rows[] = {
    {"format", 'F', OPTION_CHOICE, "csv|jsonl", "the form of the lines [what the file looks like; csv]", false},
    {0},
};

static const struct option_row export_rows[] = {
    {"format", 'F', OPTION_CHOICE, "csv|jsonl", "the form of the lines [csv]", false},
    {"output", 'o', OPTION_FILE, "FILE", "write it there [stdout]", false},
    {0},
};

static const struct option_row *const add_options[] = {entry_rows, NULL};
static const struct option_row *const remove_options[] = {remove_rows, NULL};
static const struct option_row *const entries_options[] = {entries_rows, list_rows, NULL};
static const struct option_row *const import_options[] = {format_rows, entry_rows, NULL};
static const struct option_row *const export_options[] = {export_rows, entries_rows, NULL};

static const int exits_has[] = {1, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};
static const int exits_import[] = {EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_IOERR, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};
static const int exits_export[] = {EX_UNAVAILABLE, EX_CANTCREAT, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};

const struct verb suppression_verbs[] = {
    {.name = "add",
     .summary = "from now on nobody writes to these",
     .arguments = "ADDRESS...",
     .least = 1,
     .most = -1,
     .options = add_options,
     .run = verb_suppression_change,
     .about = "Puts addresses on the list; @example.net stands for everybody there. An entry that is there already is replaced. It is on "
              "disk when the verb ends, and counts for what is queued too: a policy asks the list before every attempt.",
     .examples = "  tidegate suppression add bob@example.net --reason 'asked by phone'\n"
                 "  tidegate suppression add @example.net --scope stream:news --expires 90d",
     .exits = exits_control},
    {.name = "remove",
     .summary = "take addresses off the list",
     .arguments = "ADDRESS...",
     .least = 1,
     .most = -1,
     .options = remove_options,
     .run = verb_suppression_change,
     .about = "Says how many entries went. Mail that was refused meanwhile does not come back.",
     .examples = "  tidegate suppression remove bob@example.net\n"
                 "  tidegate suppression remove bob@example.net --scope stream:news",
     .exits = exits_control},
    {.name = "has",
     .summary = "is this address on the list, and why?",
     .arguments = "ADDRESS",
     .least = 1,
     .most = 1,
     .run = verb_suppression_has,
     .about = "Prints every entry in force for the address or its domain; exit code 1 where there is none.",
     .examples = "  tidegate suppression has bob@example.net",
     .exits = exits_has},
    {.name = "list",
     .summary = "what is on the list",
     .arguments = "",
     .options = entries_options,
     .run = verb_suppression_list,
     .about = "Lists entries in force, in the order of addresses. All filters that are given must hold.",
     .examples = "  tidegate suppression list --domain example.net\n"
                 "  tidegate suppression list --scope 'stream:*' --reason 'bounced:*' --count",
     .exits = exits_control},
    {.name = "import",
     .summary = "put a whole file on the list",
     .arguments = "FILE",
     .least = 1,
     .most = 1,
     .options = import_options,
     .run = verb_suppression_import,
     .about = "FILE (- is stdin) has an entry a line: CSV of address, scope, reason, until, source, added, of which all but the address may be "
              "missing, or whose first line names the columns (of another service's list: call those \"-\" that are to be left out; email is address); or JSON "
              "objects with these members. Options stand in for what a line does not say.\n\nMalformed lines are listed with their number and left out; the import goes on, and ends with exit code 65.",
     .examples = "  tidegate suppression import bounces.csv --reason 'bounced at the old system'\n"
                 "  tidegate suppression import unsubscribed.jsonl --scope stream:news\n"
                 "  tidegate suppression export | ssh other tidegate suppression import -",
     .exits = exits_import},
    {.name = "export",
     .summary = "the whole list, for a file or another gateway",
     .arguments = "",
     .options = export_options,
     .run = verb_suppression_export,
     .about = "Writes the entries in force, or those that the filters leave; `import` reads it again.",
     .examples = "  tidegate suppression export > list.csv\n"
                 "  tidegate suppression export --format jsonl --domain example.net",
     .exits = exits_export},
    {0},
};

// ---- shelf: values that scripts keep ---------------------------------------------------------------------------------------------

static const struct option_row shelf_list_rows[] = {
    {"limit", 'n', OPTION_NUMBER, "N", "print no more than this; 0: all [100]", false},
    {0},
};
static const struct option_row shelf_set_rows[] = {
    {"expires", 'e', OPTION_DURATION, "TIME", "ends by itself after so long: 12h, 90d [never]", false},
    {0},
};
static const struct option_row *const shelf_list_options[] = {shelf_list_rows, NULL};
static const struct option_row *const shelf_set_options[] = {shelf_set_rows, NULL};
static const int exits_shelf[] = {1, EX_UNAVAILABLE, EX_IOERR, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, 0};

const struct verb shelf_verbs[] = {
    {.name = "list",
     .summary = "what is on it, in the order of keys",
     .arguments = "[PREFIX]",
     .most = 1,
     .options = shelf_list_options,
     .run = verb_shelf_list,
     .about = "With PREFIX those whose keys begin with it. BY is the message and the line of the policy that put it there, or operator.",
     .examples = "  tidegate shelf list\n  tidegate shelf list last/ --json",
     .exits = exits_control},
    {.name = "get",
     .summary = "one value, as JSON",
     .arguments = "KEY",
     .least = 1,
     .most = 1,
     .run = verb_shelf_get,
     .about = "Exit code 1 where there is none under this key, or its time is over.",
     .examples = "  tidegate shelf get mode",
     .exits = exits_shelf},
    {.name = "set",
     .summary = "put a value there, for the policy to read",
     .arguments = "KEY VALUE",
     .least = 2,
     .most = 2,
     .options = shelf_set_options,
     .run = verb_shelf_set,
     .about = "VALUE is JSON (12, true, {\"a\": 1}, \"12\"); what is none is a text. It takes the place of what is there, is on disk when the verb ends, "
              "and scripts see it from the next question on: a switch that needs no reload.",
     .examples = "  tidegate shelf set mode careful --expires 2h\n  tidegate shelf set share '{\"google\": 0.5}'",
     .exits = exits_shelf},
    {.name = "delete",
     .summary = "take a value off",
     .arguments = "KEY",
     .least = 1,
     .most = 1,
     .run = verb_shelf_delete,
     .about = "Exit code 1 where there was none.",
     .examples = "  tidegate shelf delete mode",
     .exits = exits_shelf},
    {0},
};

// ---- key: DKIM keys --------------------------------------------------------------------------------------------------------------

static const struct option_row key_rows[] = {
    {"domain", 'd', OPTION_TEXT, "DOMAIN", "the domain that it signs for", false},
    {"selector", 's', OPTION_TEXT, "NAME", "its name in DNS: NAME._domainkey.DOMAIN", false},
    {0},
};

static const struct option_row key_new_rows[] = {
    {"output", 'o', OPTION_FILE, "FILE", "where the private key goes; an existing file is left alone", false},
    {"kind", 'k', OPTION_CHOICE, "rsa2048|rsa4096|ed25519", "not all receivers verify ed25519: give a domain an RSA key beside it [rsa2048]", false},
    {0},
};

static const struct option_row *const key_options[] = {key_rows, NULL};
static const struct option_row *const key_new_options[] = {key_rows, key_new_rows, NULL};

const int exits_key[] = {EX_DATAERR, EX_NOINPUT, EX_CANTCREAT, 0};

const struct verb key_verbs[] = {
    {.name = "new",
     .summary = "make a key and print its record",
     .arguments = "",
     .options = key_new_options,
     .run = verb_key_new,
     .about = "Writes the private key, readable by the group of its folder, and prints the TXT record to publish on stdout.",
     .examples = "  tidegate key new --domain example.org --selector s2026 --output /etc/tidegate/dkim/s2026.pem",
     .exits = exits_key},
    {.name = "show",
     .summary = "print the record of a key that is there",
     .arguments = "FILE",
     .least = 1,
     .most = 1,
     .options = key_options,
     .run = verb_key_show,
     .about = "Prints the TXT record of the private key in FILE.",
     .examples = "  tidegate key show --domain example.org --selector s2026 /etc/tidegate/dkim/s2026.pem",
     .exits = exits_key},
    {0},
};
