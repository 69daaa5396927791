// SPDX-License-Identifier: MIT
// lab_shelf: the shelf of a lab (store/shelf.h), in memory, on the lab's clock.
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "policy/answer.h"

struct lab_shelf;
struct lab_shelf *lab_shelf_new(const struct clock *clock);
void lab_shelf_free(struct lab_shelf **shelf);
void lab_shelf_clear(struct lab_shelf *shelf);
// expires_s 0: for ever. Nothing where the key or the value can be none.
void lab_shelf_keep(struct lab_shelf *shelf, const struct keep *keep);
// As generation_options.shelved; arg is the shelf.
bool lab_shelf_get(void *arg, struct bytes key, struct arena *texts, struct bytes *value);
