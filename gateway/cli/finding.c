// SPDX-License-Identifier: MIT
#include "cli/finding.h"

#include "base/jsonl.h"
#include "cli/help.h"
#include "cli/show.h"

#include <stdio.h>

enum { INDENT = 18, WIDTH = 110 };

static const char *const level_name[] = {"ok", "warn", "fail"};

void findings_section(struct findings *f, const char *name) {
    f->section = name;
    if (!f->json) printf("\n%s\n", name);
}

static void print_json(const struct findings *f, const struct finding *one) {
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    jsonl_textz(&j, "section", f->section);
    jsonl_textz(&j, "check", one->check);
    jsonl_textz(&j, "level", level_name[one->level]);
    jsonl_textz(&j, "about", one->about);
    jsonl_textz(&j, "what", one->what);
    if (one->follows) jsonl_textz(&j, "follows", one->follows);
    if (one->fix) jsonl_textz(&j, "fix", one->fix);
    if (one->record) jsonl_textz(&j, "record", one->record);
    jsonl_end(&j);
    fwrite(line.at, 1, line.len, stdout);
    buf_release(&line);
}

// Names in what others publish are theirs: nothing of it is for the terminal to obey.
static void print_part(const char *label, const char *text) {
    struct buf clean = {0}, out = {0};
    show_clean(&clean, bytes_of(text));
    buf_format(&out, "        %-9s ", label);
    help_wrap(&out, buf_bytes(&clean), INDENT, WIDTH);
    fwrite(out.at, 1, out.len, stdout);
    buf_release(&clean);
    buf_release(&out);
}

// On a line of its own and never broken: it is there to be copied.
static void print_record(const char *record) {
    for (struct bytes rest = bytes_of(record); rest.len;) {
        struct buf clean = {0};
        show_clean(&clean, bytes_cut(&rest, '\n'));
        printf("          %s\n", buf_z(&clean));
        buf_release(&clean);
    }
}

void findings_add(struct findings *f, const struct finding *one) {
    f->count[one->level]++;
    if (f->json) {
        print_json(f, one);
        fflush(stdout);
        return;
    }
    struct buf clean = {0}, line = {0};
    show_clean(&clean, bytes_of(one->what));
    buf_format(&line, "  %-4s  %-10s ", one->level == FINDING_FAIL ? "FAIL" : level_name[one->level],
               one->check);
    help_wrap(&line, buf_bytes(&clean), INDENT + 1, WIDTH);
    fwrite(line.at, 1, line.len, stdout);
    if (one->follows) print_part("follows", one->follows);
    if (one->fix) print_part("fix", one->fix);
    if (one->record) print_record(one->record);
    fflush(stdout);
    buf_release(&clean);
    buf_release(&line);
}

int findings_code(const struct findings *f) {
    return f->count[FINDING_FAIL] ? 2 : f->count[FINDING_WARN] ? 1 : 0;
}

void findings_end(const struct findings *f) {
    if (!f->json)
        printf("\n%zu ok, %zu to look at, %zu wrong\n", f->count[FINDING_OK], f->count[FINDING_WARN],
               f->count[FINDING_FAIL]);
}
