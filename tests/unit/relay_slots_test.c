// SPDX-License-Identifier: MIT
// slots: who may have a connection, who makes way for whom.
#include "relay/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct here {
    struct slots *slots;
    char told[200];
};

static void note(struct here *h, const char *what, const char *whom) {
    size_t at = strlen(h->told);
    snprintf(h->told + at, sizeof h->told - at, "%s%s%s ", what, *whom ? " " : "", whom);
}

struct thing {
    struct here *here;
    const char *name;
    struct slot slot;
    struct slot_wish wish;
};

static void make_way(void *owner) { note(((struct thing *)owner)->here, "way", ((struct thing *)owner)->name); }
static void come_again(void *owner) { note(((struct thing *)owner)->here, "come", ((struct thing *)owner)->name); }
static void ask_others(void *arg) { note(arg, "ask", ""); }
static void tell_others(void *arg) { note(arg, "tell", ""); }

static void open_here(struct here *h, struct slots_shared *shared) {
    *h = (struct here){0};
    h->slots = slots_new(shared, &(struct slots_events){make_way, come_again, ask_others, tell_others, h});
}

static void seat(struct thing *t, uint64_t most) {
    assert_true(slots_ask(t->here->slots, &t->wish, most, true));
    slots_seat(t->here->slots, &t->slot, t);
}

#define expect(h, text)                        \
    do {                                       \
        assert_string_equal((h)->told, text);  \
        (h)->told[0] = 0;                      \
    } while (0)

static void the_longest_idle_makes_way(void **state) {
    (void)state;
    struct slots_shared shared = {0};
    struct here h;
    open_here(&h, &shared);
    struct thing a = {.here = &h, .name = "a"}, b = {.here = &h, .name = "b"}, c = {.here = &h, .name = "c"}, d = {.here = &h, .name = "d"};
    a.wish.owner = &a, b.wish.owner = &b, c.wish.owner = &c, d.wish.owner = &d;
    seat(&a, 2);
    seat(&b, 2);
    slots_idle(h.slots, &b.slot);
    slots_idle(h.slots, &a.slot);
    slots_busy(h.slots, &b.slot);
    slots_idle(h.slots, &b.slot); // now a has been idle for longer
    assert_false(slots_are_wanted(h.slots));
    assert_false(slots_ask(h.slots, &c.wish, 2, true));
    expect(&h, "way a ");
    assert_false(slots_ask(h.slots, &c.wish, 2, true)); // asks again: one is leaving already
    expect(&h, "");
    assert_false(slots_ask(h.slots, &d.wish, 2, true));
    expect(&h, "way b ");
    slots_leave(h.slots, &a.slot);
    expect(&h, "come c ");
    assert_false(slots_ask(h.slots, &d.wish, 2, true)); // not before c
    seat(&c, 2);
    slots_leave(h.slots, &b.slot);
    expect(&h, "come d ");
    slots_forget(h.slots, &d.wish); // it wants none any more
    assert_int_equal(shared.wanted, 0);
    slots_leave(h.slots, &c.slot);
    expect(&h, "");
    assert_int_equal(shared.taken, 0);
    slots_free(&h.slots);
}

static void who_does_not_wait_gets_one_only_when_nobody_does(void **state) {
    (void)state;
    struct slots_shared shared = {0};
    struct here h;
    open_here(&h, &shared);
    struct thing a = {.here = &h, .name = "a"}, b = {.here = &h, .name = "b"}, c = {.here = &h, .name = "c"};
    a.wish.owner = &a, b.wish.owner = &b, c.wish.owner = &c;
    seat(&a, 1);
    assert_false(slots_ask(h.slots, &a.wish, 1, false));
    assert_int_equal(shared.wanted, 0);
    assert_false(slots_ask(h.slots, &b.wish, 1, true));
    assert_true(slots_are_wanted(h.slots));
    assert_false(slot_is_due(h.slots, &a.slot)); // it has only come
    a.slot.since_ms -= SLOT_TURN_MS;
    assert_true(slot_is_due(h.slots, &a.slot));
    expect(&h, "ask ");
    assert_false(slots_ask(h.slots, &c.wish, 2, false)); // there is one, but b is first
    seat(&b, 2);
    assert_false(slot_is_due(h.slots, &a.slot)); // nobody waits now
    slots_leave(h.slots, &a.slot);
    slots_leave(h.slots, &b.slot);
    slots_free(&h.slots);
}

static void workers_share(void **state) {
    (void)state;
    struct slots_shared shared = {0};
    struct here one, two;
    open_here(&one, &shared);
    open_here(&two, &shared);
    struct thing a = {.here = &one, .name = "a"}, b = {.here = &two, .name = "b"}, c = {.here = &one, .name = "c"};
    a.wish.owner = &a, b.wish.owner = &b, c.wish.owner = &c;
    seat(&a, 1);
    slots_idle(one.slots, &a.slot);
    assert_false(slots_ask(two.slots, &b.wish, 1, true));
    expect(&two, "ask ");
    assert_false(slots_ask(two.slots, &b.wish, 1, true)); // asked once
    expect(&two, "");
    slots_make_way(one.slots);
    expect(&one, "way a ");
    slots_leave(one.slots, &a.slot);
    expect(&one, "tell ");
    slots_look(two.slots);
    expect(&two, "come b ");
    seat(&b, 1);
    slots_leave(two.slots, &b.slot);
    expect(&two, "");
    // Where both want one, they get it in turns.
    seat(&a, 1);
    assert_false(slots_ask(two.slots, &b.wish, 1, true));
    assert_false(slots_ask(one.slots, &c.wish, 1, true));
    one.told[0] = 0;
    slots_leave(one.slots, &a.slot);
    expect(&one, "come c ");
    seat(&c, 1);
    slots_leave(one.slots, &c.slot);
    expect(&one, "tell ");
    slots_free(&one.slots);
    slots_free(&two.slots);
    assert_int_equal(shared.wanted, 0); // who waited for it is gone with it
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_idle_makes_way),
        cmocka_unit_test(who_does_not_wait_gets_one_only_when_nobody_does),
        cmocka_unit_test(workers_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
