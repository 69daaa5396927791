// SPDX-License-Identifier: MIT
// question: what a session has to ask before its machine goes on: the hooks, the password check, the ledger, the store.
//
// One question at a time; its answer is said to the machine, which then goes on (session_drive). A transaction's hooks all run on one
// generation, the one current at MAIL; its content is kept here while it comes.
#pragma once

#include "smtp/server.h"

struct session;

void question_ask(struct session *s, const struct server_want *want);
bool question_is_open(const struct session *s); // an answer is outstanding
// A piece of the content; where it cannot be kept, the machine is told to refuse the message.
void question_keep(struct session *s, struct bytes piece);
void question_drop(struct session *s);   // the transaction with all it has
void question_cancel(struct session *s); // the same, and the question that is open: the session ends
