// SPDX-License-Identifier: MIT
// envelope: MAIL and RCPT as a client says them to a peer that offers this and that. Pure functions, any thread.
#pragma once

#include "smtp/client.h"

// What speaks against sending the message to this peer, before any byte of it: true, and the words in *why.
// SMTPUTF8 is needed where the message says so or an address is not ASCII.
bool envelope_is_refused(const struct client_message *m, const struct capability *peer, bool send_8bit_anyway,
                         struct reply *why);
void envelope_mail(struct buf *out, const struct client_message *m, const struct capability *peer);
void envelope_rcpt(struct buf *out, const struct client_recipient *r, const struct capability *peer);
// Free of what would end our command early and let a name speak SMTP.
bool envelope_is_sendable(struct bytes text);
