// SPDX-License-Identifier: MIT
// server_content: the server machine while a message's content comes: DATA, the chunks of BDAT, and what is said in the end.
//
// Each server_read_ function is one step of server_next: it gives GO_ON or what is wanted.
#pragma once

#include "smtp/server_inside.h"

int server_read_content(struct server *s, struct bytes *input, struct server_want *want); // DATA
int server_begin_chunk(struct server *s, uint64_t size, bool last);                       // BDAT has been said
int server_read_chunk(struct server *s, struct bytes *input, struct server_want *want);
void server_say_verdict(struct server *s, struct bytes line);
void server_end_transaction(struct server *s);
