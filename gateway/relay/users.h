// SPDX-License-Identifier: MIT
// users: the users file: who may log in, with which password, sending as whom.
//
// One user a line: `name:hash[:key=value ...]`, hash as crypt(3) makes it (yescrypt $y$, bcrypt $2b$, sha512crypt $6$), '#' starts a comment.
// Example: `demo:$y$j9T$...:from=*@example.org,demo@example.net`. Keys are the operator's own; scripts see them as strings.
// The file is read once and re-read on reload; a users value is immutable and reference counted across threads.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct users;
struct users *users_load(const char *path, struct err *err); // path NULL: empty. Faults name file and line
struct users *users_ref(struct users *u);
void users_free(struct users **u);
size_t users_count(const struct users *u);
// NULL: not known. facts: JSON object text of the line's keys.
const char *users_hash(const struct users *u, struct bytes name, struct bytes *facts);
