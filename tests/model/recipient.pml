// SPDX-License-Identifier: MIT
// recipient: a message with one recipient, from the client's end of data to its fate, with kill -9 at any step.
//
//   client -- body and redo record, 250 -- commit --> due -- route --> parked, held, waiting (still on disk)
//                                   (picked up from here on: the outcome may be in that commit too)
//                                                      ^ |
//                                   deferred (commit)  | +--> attempt -- peer's 250 ----> delivered (commit)
//                                                      +-------- 4xx or a lost line |
//                                                                  5xx, expired -----+--> gone with a report owed (one commit)
//                                                                                              -- report delivered --> end
//
// What is on disk changes only in a commit, which happens whole or not at all, and before that in the redo record, which the next start
// puts in its place; what is in memory is gone with a crash. The peer, the client and what they were told survive it. Meanwhile compaction copies the body, commits its new place, unlinks the old file.
//
// Claims: an acknowledged message always has a fate, or is in the store with its body; it is with the peer more than once only where a
// crash fell between the peer's 250 and our commit, or the line was lost after the content. BUG=1..8 are mistakes that must be seen.
#ifndef BUG
#define BUG 0
#endif
#define CRASHES 3
#define TRIES 3
#define LOST_LINES 1
#define SICK_COMMITS 2

mtype = { nothing, due, parked, held, gone }

// ---- what survives a crash
mtype disk = nothing;     // the recipient's row
byte attempts;
bool report_due;          // a report is in the queue: a row of its own, like any message
bit place;                // which file has the body, says the row
bool file[2];             // is it there
bool redo;                // its record is in the log, behind the row's end: promised, not committed
bool acknowledged, discarded, reported;
byte delivered, excuses, crashes, lost_lines, sick;

// ---- what does not
bool owes_250, in_hand, report_in_hand, peer_said, copied;
mtype outcome = nothing;            // what is to be written: due (again), parked, held, gone; nothing
bool owes_report;

#define SAFE ((disk != nothing && disk != gone && file[place]) || (redo && file[0]) || delivered > 0 || report_due || reported || discarded)

inline check() {
    assert(!acknowledged || SAFE);
    assert(delivered <= 1 + excuses);
}

inline forget() {
    owes_250 = false; in_hand = false; report_in_hand = false; copied = false; outcome = nothing; owes_report = false;
    if :: peer_said -> excuses++ :: else fi;
    peer_said = false;
}

// A start puts what was promised, and sweeps files that no row names.
inline crash() {
    crashes++;
    forget();
#if BUG != 6
    if :: redo -> disk = due; redo = false; file[0] = true; place = 0
       :: else -> skip
    fi;
#endif
    redo = false;
    if :: disk == nothing || disk == gone -> file[0] = false; file[1] = false
       :: else -> file[1 - place] = false
    fi;
}

// The message is in the transaction ahead of its outcome; its record in the log is done with when they commit.
inline write_outcome() {
#if BUG != 8
    if :: disk == nothing -> redo = false
       :: else -> skip
    fi;
#endif
    disk = outcome;
    if :: outcome == gone -> file[0] = false; file[1] = false
       :: else -> skip
    fi;
}

active proctype gateway() {
    do
    // -- accepted: body and redo record synced, then 250, the row committed meanwhile; or, where that cannot be, the row and then 250
    :: atomic { disk == nothing && !acknowledged && !file[0] -> file[0] = true; place = 0;
#if BUG == 1
            acknowledged = true;
#endif
            check() }
    :: atomic { disk == nothing && file[0] && !redo -> redo = true; owes_250 = true; check() }
    :: atomic { disk == nothing && redo -> disk = due;
#if BUG != 7
            redo = false; // the row's end moves in the same commit
#endif
            check() }
    :: atomic { disk == nothing && file[0] && !redo -> disk = due; owes_250 = true; check() }
    :: atomic { owes_250 -> owes_250 = false; acknowledged = true; check() } // perhaps when it is delivered already

    // -- picked up: it stays on disk; from memory, where it is not committed yet
    :: atomic { disk == nothing && redo && !in_hand && outcome == nothing -> in_hand = true; check() }
    :: atomic { disk == due && !in_hand && outcome == nothing -> in_hand = true;
#if BUG == 2
            disk = gone;
#endif
            check() }
    :: atomic { disk == parked && !in_hand -> in_hand = true; check() } // its lane or limit has room

    // -- routed, tried
    :: atomic { in_hand && outcome == nothing && attempts < TRIES -> outcome = parked; attempts++; check() }
    :: atomic { in_hand && outcome == nothing -> outcome = held; check() }
    :: atomic { in_hand && outcome == nothing -> outcome = gone; discarded = true; check() }
    :: atomic { in_hand && outcome == nothing && attempts < TRIES -> delivered++; peer_said = true; outcome = gone; check() }
    :: atomic { in_hand && outcome == nothing && attempts < TRIES && lost_lines < LOST_LINES -> // and the peer may have it, or not
            lost_lines++; attempts++; excuses++; outcome = due;
            if :: delivered++ :: skip fi;
            check() }
    :: atomic { in_hand && outcome == nothing && attempts < TRIES -> attempts++; outcome = due; check() }
    :: atomic { in_hand && outcome == nothing -> outcome = gone; owes_report = true; check() } // 5xx, or its time has run out

    // -- the fate, in one commit; where the store refuses it is kept and written again
    :: atomic { outcome != nothing ->
            write_outcome();
#if BUG == 4
            check();
#else
            if :: owes_report -> report_due = true :: else -> skip fi;
            owes_report = false;
#endif
            outcome = nothing; in_hand = false; peer_said = false;
            check() }
#if BUG == 4
    :: atomic { owes_report && outcome == nothing -> report_due = true; owes_report = false; check() }
#endif
    :: atomic { outcome != nothing && sick < SICK_COMMITS -> sick++;
#if BUG == 3
            outcome = nothing; in_hand = false; peer_said = false;
#endif
            check() }

    // -- the report goes the same way
    :: atomic { report_due && !report_in_hand -> report_in_hand = true }
    :: atomic { report_in_hand && !reported -> reported = true; check() }
    :: atomic { report_in_hand && reported -> report_due = false; report_in_hand = false; check() }

    // -- compaction moves the body
    :: atomic { disk != nothing && disk != gone && file[place] && !file[1 - place] && !copied && crashes < CRASHES ->
            file[1 - place] = true; copied = true; check() }
#if BUG == 5
    :: atomic { copied && file[place] && disk != nothing && disk != gone -> file[place] = false; check() }
#endif
    :: atomic { copied && file[1 - place] && disk != nothing && disk != gone -> place = 1 - place; copied = false; file[1 - place] = false; check() }

    :: atomic { crashes < CRASHES -> crash(); check() }
    :: atomic { disk == held && outcome == nothing && !in_hand && !copied -> break } // an operator has it now
    :: atomic { disk == gone && outcome == nothing && !report_due && !report_in_hand && !owes_report -> break }
    od;
    assert(!acknowledged || disk == held || delivered > 0 || reported || discarded)
}
