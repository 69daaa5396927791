// SPDX-License-Identifier: MIT
// server_command: the server machine while commands come: which is legal when (one table), and what each does.
//
// Each function is one step of server_next: it takes at most one line, and gives GO_ON or what is wanted.
#pragma once

#include "smtp/server_inside.h"

int server_read_command(struct server *s, struct bytes *input, struct server_want *want);
int server_read_login(struct server *s, struct bytes *input, struct server_want *want); // a line inside AUTH
