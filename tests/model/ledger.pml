// SPDX-License-Identifier: MIT
// ledger: one account of a limit (relay/ledger, relay/account): asks from several workers, a row on disk, kill -9 at any step.
//
// Time goes in buckets. A token counts from the moment it is let in: held while in flight, then spent into the bucket of that moment. It
// is granted when the row on disk has it ("lease" says up to how many the row allows for in the current bucket). A bucket that closes with
// tokens in flight has the row written again ("carry"). After a crash whatever the row says was spent.
//
// Claim: whatever crashes, no window (WIDE buckets, and the one it ends in) has seen the peer accept more than CAP. Assumed: the peer's 250
// to what was in flight at a crash comes at the latest then, and a carry is written before another bucket has passed (that is the slack).
// BUG=1..7 are mistakes that must be seen.
#ifndef BUG
#define BUG 0
#endif
#define CAP 2
#define WIDE 1
#if BUG == 6
#define SLACK 0
#else
#define SLACK 1
#endif
#define BUCKETS 5
#define LEGS 3
#define CRASHES 2
#define FAILURES 1

mtype = { idle, leasing, leased, inflight } // an ask: not there, let in, its row being written, granted

// ---- what survives a crash
byte row[BUCKETS];
byte accepted[BUCKETS]; // by the peer, in truth
byte now, crashes, failures;

// ---- what does not
mtype leg[LEGS] = idle;
bool peer_has[LEGS];
byte spent[BUCKETS], held, lease;
bool carry, writing, committed;
byte snapshot[BUCKETS], snapshot_lease, snapshot_bucket;

byte i, sum;

#define COUNTS(b) (b <= now && now - b <= WIDE + SLACK)

inline used() { // into sum
    sum = held;
    for (i : 0 .. BUCKETS - 1) { if :: COUNTS(i) -> sum = sum + spent[i] :: else -> skip fi }
}

inline accept(l) {
    peer_has[l] = true;
    accepted[now]++;
    sum = 0;
    for (i : 0 .. BUCKETS - 1) { if :: i <= now && now - i <= WIDE -> sum = sum + accepted[i] :: else -> skip fi };
    assert(sum <= CAP);
}

inline ask(l) {
    used();
    if
    :: sum + 1 <= CAP ->
        held++;
        if
#if BUG == 1
        :: true -> leg[l] = inflight
#endif
        :: spent[now] + held <= lease -> leg[l] = inflight
        :: spent[now] + held > lease -> leg[l] = leasing
        fi
    :: else -> skip // refused: it waits in the store
    fi
}

inline write_row() {
    for (i : 0 .. BUCKETS - 1) { snapshot[i] = spent[i] };
#if BUG != 5
    snapshot[now] = spent[now] + held;
#endif
    snapshot_lease = spent[now] + held; snapshot_bucket = now;
#if BUG != 7
    if :: lease > snapshot_lease -> lease = snapshot_lease :: else -> skip fi;
#endif
    for (i : 0 .. LEGS - 1) { if :: leg[i] == leasing -> leg[i] = leased :: else -> skip fi };
    carry = false; writing = true; committed = false;
}

inline written(ok) {
    writing = false; committed = false;
    if :: ok && snapshot_bucket == now -> lease = snapshot_lease
       :: else -> skip
    fi;
#if BUG == 4
    lease = snapshot_lease;
#endif
    if :: !ok -> carry = true :: else -> skip fi;
    for (i : 0 .. LEGS - 1) {
        if :: leg[i] == leased && ok -> leg[i] = inflight
           :: leg[i] == leased && !ok -> leg[i] = idle; held--
           :: else -> skip
        fi
    }
}

inline settle(l) { // what the peer may have counts as spent; the rest is given back
    held--;
    if :: peer_has[l] -> spent[now]++ :: else -> skip fi;
    leg[l] = idle; peer_has[l] = false;
}

inline turn() {
    now++;
#if BUG != 2
    lease = 0;
#endif
#if BUG != 3
    if :: held > 0 -> carry = true :: else -> skip fi;
#endif
}

inline crash() {
    crashes++;
    for (i : 0 .. BUCKETS - 1) { spent[i] = row[i]; snapshot[i] = 0 };
    for (i : 0 .. LEGS - 1) { leg[i] = idle; peer_has[i] = false };
    held = 0; lease = 0; carry = false; writing = false; committed = false; snapshot_lease = 0; snapshot_bucket = 0;
}

#define ASK(l) atomic { leg[l] == idle -> ask(l) }
#define PEER(l) atomic { leg[l] == inflight && !peer_has[l] -> accept(l) }
#define SETTLE(l) atomic { leg[l] == inflight -> settle(l) }

active proctype account() {
    do
    :: ASK(0) :: ASK(1) :: ASK(2)
    :: PEER(0) :: PEER(1) :: PEER(2)
    :: SETTLE(0) :: SETTLE(1) :: SETTLE(2)
    :: atomic { !writing && (carry || leg[0] == leasing || leg[1] == leasing || leg[2] == leasing) -> write_row() }
    :: atomic { writing && !committed -> for (i : 0 .. BUCKETS - 1) { row[i] = snapshot[i] }; committed = true }
    :: atomic { writing && committed -> written(true) }
    :: atomic { writing && !committed && failures < FAILURES -> failures++; written(false) }
    :: atomic { now < BUCKETS - 1 && !carry && !(writing && !committed) -> turn() }
    :: atomic { crashes < CRASHES -> crash() }
    :: atomic { now == BUCKETS - 1 && crashes == CRASHES -> break }
    od
}
