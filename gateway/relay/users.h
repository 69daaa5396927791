// SPDX-License-Identifier: MIT
// users: the users file: who may log in, with which password, sending as whom.
//
// One user a line, '#' starts a comment line:
//
//     name:hash[:key=value key="value with spaces" ...]
//     demo:$y$j9T$...:from=*@example.org,demo@example.net
//
// hash is what crypt(3) makes (yescrypt $y$, bcrypt $2b$, sha512crypt $6$ ...); one that begins with '!' or
// '*' is a locked user, whom no password fits. Keys are the operator's own; scripts see their values as
// strings. The file is read once and re-read on reload; a users value is immutable, so any thread may read it
// while its owner (a site) holds it. Names are compared byte by byte. A fault names file and line, and how many more there are.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct users;
struct users *users_load(const char *path, struct err *err); // path NULL: empty; NULL on failure
struct users *users_read(struct bytes text, const char *path,
                         struct err *err); // text of a file called `path`
void users_free(struct users **u);
struct bytes users_first(const struct users *u); // the name of one of them, any; "" where there is none
// Walks, in no order: start with *at = 0; false when done. As users_hash has them.
bool users_next(const struct users *u, size_t *at, struct bytes *name, struct bytes *facts);
// NULL: not known. facts (may be NULL): JSON object text of the line's keys. Both live as long as `u`.
const char *users_hash(const struct users *u, struct bytes name, struct bytes *facts);

bool users_name_is_valid(struct bytes name);
bool users_hash_is_valid(struct bytes hash); // of a kind crypt(3) has, or locked
// Changes the file: `name` gets this hash; its keys stay where `keys` is NULL. A new name is added at the
// end; comments and order stay. Written beside the file and renamed over it, so that a reader sees the old or
// the new; a new file has mode 0640.
bool must_use users_put(const char *path, struct bytes name, struct bytes hash, const char *keys,
                        struct err *err);
bool must_use users_remove(const char *path, struct bytes name, bool *found, struct err *err);
