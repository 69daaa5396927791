// SPDX-License-Identifier: MIT
// notice: the part of a report (report.h) that people read: what became of the mail, why, and what to do about it.
//
// Plain text in UTF-8 with CRLF line ends, wrapped at 72 where words allow, no line over 998. Pure, any thread.
#pragma once

#include "mail/report.h"

void notice_write(struct buf *out, const struct report_in *in);

// What an enhanced status code says, in a sentence for the sender; never NULL. "5.1.1" and "4.1.1" say the same.
const char *notice_words(struct bytes status);
