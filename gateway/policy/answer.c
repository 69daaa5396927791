// SPDX-License-Identifier: MIT
#include "policy/answer.h"

#include "mail/header.h"

static bool edit(struct buf *head, const struct header_edit *e, struct err *err) {
    switch (e->kind) {
    case HEADER_ADD:
        return header_prepend(head, e->name, e->value, err);
    case HEADER_SET:
        return header_replace(head, e->name, e->value, err);
    case HEADER_REMOVE:
        header_remove(head, e->name);
        return true;
    }
    return true;
}

bool answer_edit(const struct answer *a, struct buf *head, struct err *err) {
    for (size_t i = 0; i < a->edit_count; i++)
        if (!edit(head, &a->edits[i], err)) return false;
    return true;
}
