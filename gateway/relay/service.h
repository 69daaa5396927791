// SPDX-License-Identifier: MIT
// service: what the system around us wants to know and gives us: systemd's notifications and watchdog, another user
// than root, more descriptors. [libsystemd]
#pragma once

#include "base/err.h"

#include <stdint.h>

void service_ready(const char *status);
void service_reloading(void);
void service_stopping(void);
int64_t service_watchdog_ms(void); // how often to call service_alive; 0: nobody watches
void service_alive(void);

void service_raise_limits(void);   // open files up to the hard limit
bool must_use service_become(const char *user, struct err *err); // for good; NULL: stay
