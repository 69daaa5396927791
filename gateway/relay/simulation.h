// SPDX-License-Identifier: MIT
// simulation: days of traffic through a rehearsal, and what they came to.
//
// Blocks; one thread. What is in the queue when the days are over stays uncounted but as waiting.
#pragma once

#include "relay/rehearsal.h"
#include "relay/tally.h"
#include "relay/traffic.h"

struct simulation_options {
    struct rehearsal_options rehearsal; // fate, accepted and arg are the simulation's
    struct traffic *traffic;            // lent
    int days;
    void (*progress)(void *arg, int64_t now_ms, uint64_t messages); // every hour of the days; NULL: nobody looks
    void *arg;
};
struct tally *simulation_run(const struct simulation_options *options, struct err *err); // NULL: it could not begin
