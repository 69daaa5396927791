// SPDX-License-Identifier: MIT
// queue_filter: which recipients of the queue a verb is about.
//
// As a request on the control socket has it: "id" and an object "filter" (relay/README.md). All that are given must hold; an
// unknown name is refused, since to pass over one would mean more mail than was meant. Main loop only.
#pragma once

#include "base/err.h"
#include "script/json.h"
#include "store/record.h"

struct queue_filter {
    bool by_id;
    uint64_t id;
    char *sender, *recipient, *domain, *identity, *lane, *state; // NULL: not given
    int64_t older_than_ms;                                      // 0: not given
    struct json *tags;                                          // an object; NULL: not given
};

// False with words for whoever asked; queue_filter_release either way.
bool must_use queue_filter_read(const struct json *request, struct queue_filter *f, struct err *err);
void queue_filter_release(struct queue_filter *f);
// message_of is only asked where the filter names what the message has (sender, age, tags); NULL: it is not there.
bool queue_filter_matches(const struct queue_filter *f, const struct recipient *r, int64_t now_ms,
                          const struct message *(*message_of)(void *arg, uint64_t id), void *arg);
