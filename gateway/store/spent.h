// SPDX-License-Identifier: MIT
// spent: files of the body log that nobody needs any more, given back piece by piece.
//
// To free 64 MiB at once takes a disk 15 to 30 ms, in which nothing would be promised. So a file loses its name when its last body
// is settled, and its bytes later, a few MiB between two groups. Whoever still reads it keeps it whole, and frees it with file_put.
// After a crash the file system frees what has no name; one whose name came back is swept at open (segments_sweep). Writer thread only.
#pragma once

#include "store/files.h"

struct spent_file;

struct spent {
    struct spent_file *oldest;
    size_t count;
};

// Takes the name away, and the file out of what is kept open. False, with errno: it still has its name.
bool must_use spent_take(struct spent *spent, struct files *files, uint32_t number);
bool spent_give_back(struct spent *spent); // one piece; false: there is none
void spent_release(struct spent *spent);   // all that is left, at once
