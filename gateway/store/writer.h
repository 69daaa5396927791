// SPDX-License-Identifier: MIT
// writer: the one thread that writes: takes ops, forms groups, makes them durable, tells their owners.
//
// Between transactions, and when nobody waits, it moves compaction on by one step, sweeps old suppressions out, tries whether a sick
// database works again, and takes the disk reserve back. The order is what the promise rests on: bodies and the redo record behind them, fdatasync of
// their segment, fsync of the folder where it is new (then nothing is promised before the commit), promised; a few milliseconds later, or
// at once when somebody waits for it: commit, finish.
#pragma once

#include "store/store.h"

struct writer;

struct writer *writer_start(struct store *store, struct err *err);
void writer_submit(struct writer *writer, struct store_op *op); // any thread
bool writer_turn(struct writer *writer); // a fleeting store's, which has no thread: one group; false: nothing waits
void writer_stop(struct writer **writer);                       // after all that was submitted
