// SPDX-License-Identifier: MIT
// answer: what a hook said, as data.
//
// Made by the wall from a script's strictly checked return value, carried out by the relay. Everything in an answer lives in one arena
// and is lent for the callback, unless kept with plan_ref.
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "mail/sign.h"
#include "net/addr.h"
#include "smtp/reply.h"
#include "store/record.h"

// Which line of which policy said it.
struct origin {
    struct bytes version;  // of the bundle: 12 hex digits
    struct bytes where;    // "policy.lua:41", "" for a default of ours
    struct bytes because;  // the script's words, ""
    bool fault;            // the hook failed; `because` is the traceback's first line and the answer is the safe one
};

enum header_edit_kind { HEADER_ADD, HEADER_SET, HEADER_REMOVE }; // prepend; replace all by one; remove all
struct header_edit {
    enum header_edit_kind kind;
    struct bytes name, value;
};

// One limit that mail counts against, as it goes or as it comes. The account is named by key and window; the cap is the asking
// plan's, or accept's, own.
enum { SPENDS_MAX = 16, SPEND_KEY_MAX = 200, SPEND_ACCOUNT_MAX = SPEND_KEY_MAX + 12 }; // the account's with its NUL
struct spend {
    struct bytes key;
    struct bytes account;   // "KEY/SECONDS"
    uint32_t window_s;
    uint64_t cap;
    bool recipients;        // counts recipients, not messages
    bool attempts;          // what the peer refused counts too
    struct bytes exhausted_by; // a verdict's `exhaust` of this name uses it up; "": none does
};

// What an answer asks to be put on the shelf (store/shelf.h) or taken off it, in the commit that carries the answer out.
enum { KEEPS_MAX = 8 };
struct keep {
    struct bytes key, value; // value: JSON; "": take it off
    int64_t expires_s;       // 0: for ever
};

// connect, authenticate, sender, recipient, message
enum { COPIES_MAX = 8 };
enum answer_kind { ANSWER_ACCEPT, ANSWER_REJECT, ANSWER_DEFER, ANSWER_HOLD, ANSWER_DISCARD };
struct answer {
    enum answer_kind kind;
    struct origin origin;
    struct reply reply;             // REJECT, DEFER: what to say; else code 0
    struct bytes user_facts;        // authenticate: JSON object text, ""
    struct bytes tags;              // message: JSON object text, ""
    const struct header_edit *edits; // message
    size_t edit_count;
    int64_t expires_s;              // message: give up after so long; 0: the configuration's
    const struct spend *spends;     // message: what taking it counts against, as spends_make has it
    size_t spend_count;
    const struct keep *keeps;       // message
    size_t keep_count;
    const struct bytes *copies;     // message: addresses that get it beside its recipients, unknown to these; ASCII
    size_t copy_count;
};

// Carries the header edits out, in order. False with words at one that cannot be: the head is then of no use.
must_use bool answer_edit(const struct answer *a, struct buf *head, struct err *err);

// DANE and DANE_OR_VERIFY are for VIA_DIRECT: what is published of a host decides; where nothing is, it is OPPORTUNISTIC or VERIFY.
enum tls_level { LEVEL_NONE, LEVEL_OPPORTUNISTIC, LEVEL_ENCRYPT, LEVEL_VERIFY, LEVEL_DANE, LEVEL_DANE_OR_VERIFY };
extern const char *const tls_level_name[]; // "none", "opportunistic", "encrypt", "verify", "dane", "dane_or_verify"
static inline bool tls_level_asks_dane(enum tls_level level) { return level == LEVEL_DANE || level == LEVEL_DANE_OR_VERIFY; }

// A login by XOAUTH2 whose access tokens are had from a token endpoint (relay/token.h). Files hold nothing but the text;
// relative to the configuration's folder, and read whenever a token is asked for.
struct oauth {
    struct bytes token_url; // "": none of this
    struct bytes client_id, scope;
    struct bytes client_secret, client_secret_file;
    struct bytes refresh_token, refresh_token_file; // neither: the client's own credentials are the grant
};

enum via_kind { VIA_DIRECT, VIA_RELAY, VIA_LMTP, VIA_CAPTURE };
extern const char *const via_kind_name[]; // "direct", ...
struct via {
    enum via_kind kind;
    struct bytes host;      // RELAY, LMTP: name or IP literal or "unix:/path" (LMTP)
    int port;               // DIRECT 25, RELAY 587, LMTP 24 unless said
    bool implicit_tls;      // RELAY: TLS from the first byte (465)
    bool login_xoauth2;     // secret is a token, or oauth says where one is had
    bool login_plaintext;   // the script said that AUTH without TLS is all right
    struct bytes user, secret; // RELAY login, "" for none
    struct oauth oauth;
    struct bytes mx;        // DIRECT: the hosts that it may be, by name or "*." and a name, in lower case with blanks between; "": any
    struct bytes dir;       // CAPTURE: Maildir, relative to the configuration's `capture` folder
};

struct identity {
    struct bytes name;
    struct addr source4, source6; // len 0: the system's choice
    struct bytes helo;            // "": the configuration's hostname
    struct bytes return_path;     // replaces the envelope sender (never a null one); "": left alone
    struct sign_key *const *keys; // loaded with the generation
    size_t key_count;
};

// What an answer asks to be put on the suppression list (store/suppression.h), in the commit that carries the answer out.
struct suppress {
    struct bytes scope;  // "": nothing is asked for
    struct bytes reason; // "": the answer's own words
    int64_t expires_s;   // 0: for ever
};

enum plan_kind { PLAN_SEND, PLAN_WAIT, PLAN_HOLD, PLAN_SUPPRESS, PLAN_FAIL, PLAN_DISCARD };
extern const char *const plan_kind_name[]; // "send", "wait", ...
enum { LANE_MAX = 400, TURN_MAX = 100 }; // bytes of their names
struct plan {               // immutable, reference counted (plan_ref), safe to hand to another thread
    enum plan_kind kind;
    struct origin origin;
    struct via via;         // SEND
    struct identity identity;
    enum tls_level tls;
    bool send_8bit;         // SEND: 8-bit content goes to a peer without 8BITMIME, too
    int connections;        // of the lane; at least 1
    int per_connection;     // messages; at least 1
    enum priority priority; // SEND: its class in the lane
    struct bytes turn;      // SEND: whose turn it is there; "": the user's, else the sender's domain's (plan_turn)
    const struct spend *spends; // SEND: in the order of window and account, each account once
    size_t spend_count;
    const struct plan *otherwise; // SEND: what to try where this one has no room; counted up; NULL: wait until it has
    int64_t wait_s;         // WAIT
    struct reply reply;     // FAIL, SUPPRESS
    struct suppress suppress; // FAIL, SUPPRESS
    const struct keep *keeps; // SEND: for the shelf, before it is tried
    size_t keep_count;
    struct bytes json;      // the plan as stored and shown: canonical, so equal plans have equal text (secrets are replaced by "***")
    struct bytes lane;      // key of the lane: identity|via host or domain|tls. DIRECT: with the recipient's domain
    uint64_t same;          // hash over everything that matters to a connection (secrets included): with equal `same` one is shared
    uint64_t group;         // hash over that, the lane's width, class and turn, the limits and what is tried instead: recipients with equal `group` share a transaction
};
const struct plan *plan_ref(const struct plan *plan); // any thread
void plan_free(const struct plan **plan);             // drops one reference; any thread

// The peer says that we have used up what we may: limits of the plan that are `exhausted_by` this have no room for so long,
// whatever was counted.
struct exhaust {
    struct bytes by; // "": nothing is
    int64_t seconds;
};

// What the plan's lane is asked to do, whatever becomes of the message: rest, or go on with fewer connections, or slower.
struct pace {
    unsigned n; // 0: as fast as it goes
    uint32_t window_s;
};
struct reaction {
    int64_t seconds; // 0: nothing is asked
    bool rests;
    size_t connections; // 0: as planned
    struct pace pace;
};

// retry
enum verdict_kind { VERDICT_WAIT, VERDICT_ELSEWHERE, VERDICT_GIVE_UP };
struct verdict {
    enum verdict_kind kind;
    struct origin origin;
    int64_t wait_s;      // WAIT
    struct reply reply;  // GIVE_UP: what the report says; code 0 = the outcome's own
    bool counts;         // the attempt counts (default true)
    struct suppress suppress; // ELSEWHERE, GIVE_UP
    struct exhaust exhaust;   // WAIT, ELSEWHERE
    struct reaction lane;
    struct about {            // for events alone: what the refusal was taken for; "" where the hook does not say
        struct bytes fault, class; // "recipient", "mailbox_unknown"
    } about;
    int64_t pause_s;          // WAIT, ELSEWHERE: the plan's identity is paused for so long; 0: it is not
    const struct spend *tally; // GIVE_UP: accounts that it counts in, full or not
    size_t tally_count;
    const struct keep *keeps;
    size_t keep_count;
};
