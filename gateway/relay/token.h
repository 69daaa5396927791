// SPDX-License-Identifier: MIT
// token: access tokens for logins by XOAUTH2, fresh before they are needed.
//
// An account (user, token endpoint, client, scope) belongs to the worker its name hashes to, so that a
// refresh token is never used by two at a time. That worker asks the endpoint when somebody first wants a
// token and again at about 80 % of its life, as long as the account is in use (24 hours after the last ask);
// a courier never waits for that while the old one is good.
//
// A refresh that fails is an event and is tried again, sooner where it may have been chance (15 s, doubling
// to 10 min), later where a person has to do something (5 min, doubling to an hour). Who asks meanwhile hears
// why at once; nobody else is touched. A reload, or `queue retry`, tries again now.
//
// Secrets (tokens, client secrets) are in no log, event, error or row.
#pragma once

#include "policy/answer.h"
#include "relay/worker.h"

struct tokens;
struct token_ticket; // owned by who asked; dead after the answer

struct tokens *tokens_new(struct worker *w);
void tokens_free(struct tokens **tokens); // after all who may have asked here have cancelled
void tokens_look_again(struct tokens *tokens,
                       bool now); // time has jumped; now: what failed is tried again at once
// {"identity","login","kind":"xoauth2","token":{"state":"good"|"ending"|"failing"|"expired"|"asking","expires_at",...}}
// an account; ending: the token is still good, but no new one is to be had
void tokens_show(struct tokens *tokens, void (*row)(void *arg, struct bytes json), void *arg);

struct token_answer {   // lent for the duration of the callback
    struct bytes token; // "": there is none
    const char *why;    // then; "" else
};
// `plan` has via.oauth. `refused`: a token that the peer has just refused, "" at the first ask: it is not
// given again, unless it is so new that another would be no better; then there is no token. The answer comes
// once, on w's loop, never before token_ask has returned.
struct token_ticket *token_ask(struct worker *w, const struct plan *plan, struct bytes refused,
                               void (*answer)(void *arg, const struct token_answer *answer), void *arg);
void token_cancel(struct token_ticket **ticket); // no answer will come; NULL inside is fine
