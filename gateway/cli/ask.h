// SPDX-License-Identifier: MIT
// ask: the asking side of the control socket (relay/control.h): one request out, rows in.
//
// Blocking. Everything that can go wrong is said on stderr here; functions give an exit code (0: done).
#pragma once

#include "cli/options.h"
#include "script/json.h"

struct ask;

struct ask *ask_open(const struct call *call, int *code); // NULL: said why; *code is the exit code
bool ask_is_there(const struct call *call); // does a gateway answer? Says nothing
void ask_close(struct ask **ask);

// A row as a value and as the text it came as; both until the function returns. False: no more rows are
// wanted, the connection is of no use any more and ask_run gives 0.
typedef bool (*ask_row_fn)(void *arg, const struct json *row, struct bytes text);

// `request` is one JSON object with its LF (jsonl). done (may be NULL) receives the closing object; json_free
// it. wait_s: how long the gateway may stay silent; 0: for ever.
int ask_run(struct ask *ask, struct bytes request, int wait_s, ask_row_fn row, void *arg, struct json **done);
// For a request whose content follows as lines (relay/asker.h), after the row that says it is wanted: `feed` appends what is next,
// with LFs, dots doubled and the final "."; false: that was all. Rows come meanwhile, as above.
typedef bool (*ask_feed_fn)(void *arg, struct buf *out);
int ask_feed(struct ask *ask, ask_feed_fn feed, void *feed_arg, int wait_s, ask_row_fn row, void *arg,
             struct json **done);
int64_t ask_now(void); // the machine's time in milliseconds, for ages
