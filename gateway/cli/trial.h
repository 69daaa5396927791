// SPDX-License-Identifier: MIT
// trial: every hook of a policy asked with made-up mail, before real mail asks it: what only shows when a hook runs.
//
// A misspelt field in an answer, a hook that returns nothing, a name that is none. A message at each listener, with a login and without, to a few
// recipients, and what became of its attempts, in a lab where DNS knows little. What these do not reach is not seen: stories reach it.
#pragma once

#include "policy/bundle.h"
#include "relay/conf.h"
#include "relay/users.h"
#include "script/json.h"

// `fault` gets each fault once: "route: policy.lua:41: route.send: unknown field 'conections' (did you mean 'connections'?) (a trial message
// from trial@gate.example, asked about someone@example.net)", `decided` each decision (policy/lab.h: lab_ask), faults too. `reached` gets the
// names of the hooks that were asked, with blanks between. False with words where no trial was possible.
struct trial_eyes {
    void (*fault)(void *arg, const char *text);
    void (*decided)(void *arg, const struct json *decision);
    void *arg;
};
must_use bool trial_run(const struct conf *conf, const struct users *users, struct bundle *bundle, const struct trial_eyes *eyes,
                        struct buf *reached, struct err *err);
// Who logs in for it: a user with limits of his own where there is one, "" where there is nobody, or no listener that would let him.
struct bytes trial_user(const struct conf *conf, const struct users *users);
