// SPDX-License-Identifier: MIT
// commons: one account that two gateways share (relay/ledger with relay/commons): each with a row in its store and one in Redis, answers
// that are lost, refunds, kill -9 at any step. One window: how time frees tokens is ledger.pml's.
//
// A gateway lets an ask in by what it has heard of the other; writes its row to its own store; then puts it in Redis, which takes it only
// if both rows together are within the cap, in the same step; and grants when it hears so. After a crash its own row is what it has spent.
//
// Claim: the peer never accepts more than CAP of both. Assumed: the peer's 250 to what was in flight at a crash comes at the latest then,
// and Redis forgets nothing. BUG=1..5 are mistakes that must be seen.
#ifndef BUG
#define BUG 0
#endif
#define CAP 2
#define LEGS 2
#define CRASHES 1
#define LOSSES 1

mtype = { idle, leasing, leased, inflight }

// ---- what survives a crash
byte store[2], redis[2];
byte accepted, crashes, losses;

// ---- what does not
mtype leg[4] = idle; // of gateway g: 2g and 2g + 1
bool peer_has[4];
byte spent[2], held[2], lease[2], heard[2];
mtype = { rest, stored, looked, taken, outbid }
mtype step[2] = rest;
byte snapshot[2], seen[2];

byte i;

#define MINE(g) (spent[g] + held[g])

inline each_leased(g, to) {
    for (i : 2 * g .. 2 * g + 1) { if :: leg[i] == leased -> leg[i] = to :: else -> skip fi }
}

inline drop_leased(g) {
    for (i : 2 * g .. 2 * g + 1) { if :: leg[i] == leased -> leg[i] = idle; held[g]-- :: else -> skip fi }
}

inline begin(g) {
    snapshot[g] = MINE(g);
#if BUG != 4
    if :: lease[g] > snapshot[g] -> lease[g] = snapshot[g] :: else -> skip fi;
#endif
    for (i : 2 * g .. 2 * g + 1) { if :: leg[i] == leasing -> leg[i] = leased :: else -> skip fi };
    store[g] = snapshot[g];
    step[g] = stored;
}

inline put(g, others) {
    if
    :: others + snapshot[g] <= CAP -> redis[g] = snapshot[g]; step[g] = taken
    :: else -> step[g] = outbid
    fi;
    heard[g] = redis[1 - g];
}

inline crash(g) {
    crashes++;
    for (i : 2 * g .. 2 * g + 1) { leg[i] = idle; peer_has[i] = false };
    held[g] = 0; lease[g] = 0; heard[g] = 0; snapshot[g] = 0; step[g] = rest; seen[g] = 0;
#if BUG == 3
    spent[g] = 0;
#else
    spent[g] = store[g];
#endif
}

#define ASK(g, l) atomic { leg[l] == idle && MINE(g) + heard[g] + 1 <= CAP -> \
        held[g]++; if :: MINE(g) <= lease[g] -> leg[l] = inflight :: else -> leg[l] = leasing fi }
#define PEER(g, l) atomic { leg[l] == inflight && !peer_has[l] -> peer_has[l] = true; accepted++; assert(accepted <= CAP) }
#define SETTLE(g, l) atomic { leg[l] == inflight -> held[g]--; \
        if :: peer_has[l] -> spent[g]++ :: else -> skip fi; leg[l] = idle; peer_has[l] = false }

proctype gateway(byte g) {
    do
    :: ASK(g, 2 * g) :: ASK(g, 2 * g + 1)
    :: PEER(g, 2 * g) :: PEER(g, 2 * g + 1)
    :: SETTLE(g, 2 * g) :: SETTLE(g, 2 * g + 1)
    :: atomic { step[g] == rest -> begin(g) } // for an ask, or to give back
#if BUG == 1
    :: atomic { step[g] == stored -> seen[g] = redis[1 - g]; step[g] = looked }
    :: atomic { step[g] == looked -> put(g, seen[g]) }
#else
    :: atomic { step[g] == stored -> put(g, redis[1 - g]) }
#endif
    :: atomic { step[g] == taken -> lease[g] = snapshot[g]; each_leased(g, inflight); step[g] = rest }
    :: atomic { step[g] == outbid ->
#if BUG == 5
        lease[g] = snapshot[g];
#endif
        drop_leased(g); step[g] = rest }
    :: atomic { (step[g] == stored || step[g] == taken || step[g] == outbid) && losses < LOSSES -> // asked or not, nobody answers
        losses++;
#if BUG == 2
        each_leased(g, inflight);
#else
        drop_leased(g);
#endif
        step[g] = rest }
    :: atomic { crashes < CRASHES -> crash(g) }
    :: atomic { heard[g] != redis[1 - g] -> heard[g] = redis[1 - g] }
    :: atomic { crashes == CRASHES && losses == LOSSES && step[g] == rest -> break }
    od
}

init { atomic { run gateway(0); run gateway(1) } }
