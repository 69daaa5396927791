// SPDX-License-Identifier: MIT
// client_message: the client machine while a message goes: its envelope, with or without PIPELINING, its content, and each recipient's fate.
//
// client_send, client_body, client_body_end and client_result (client.h) are here too. Every recipient is settled exactly once, by the
// peer's reply or by ours.
#pragma once

#include "smtp/client_inside.h"

void client_envelope_said(struct client *c, const struct reply *r); // a reply while the envelope is under way
void client_verdict_said(struct client *c, const struct reply *r);  // ... or behind the content
void client_settle_rest(struct client *c, const struct reply *r, enum client_stage stage, bool local); // who has no fate yet gets this one
void client_end_message(struct client *c);
