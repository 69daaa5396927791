// SPDX-License-Identifier: MIT
// lab_list: the suppression list of a lab: a store of its own in a temporary folder, made when the first
// entry comes, gone with it.
//
// It is the real store, so that what is found here is what live mail would find. One thread, which runs
// `loop` while it waits.
#pragma once

#include "net/loop.h"
#include "store/suppression.h"

struct lab_list;
struct lab_list *lab_list_new(struct loop *loop, const struct clock *clock);
void lab_list_free(struct lab_list **list);
void lab_list_clear(struct lab_list *list);
must_use bool lab_list_add(struct lab_list *list, const struct suppression *s, struct err *err);
// For generation_options.suppressed; list is the arg.
bool lab_list_has(void *list, const struct bytes *scopes, size_t count, struct bytes address,
                  struct arena *texts, struct suppression *out);
