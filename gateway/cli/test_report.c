// SPDX-License-Identifier: MIT
#include "cli/test_report.h"

#include "base/jsonl.h"
#include "cli/show.h"

#include <errno.h>

enum { SLOW_US = 100 * 1000 };

// ---- JUnit: the common subset of its many dialects, <testsuites><testsuite><testcase classname name
// time><failure>

// XML 1.0 has no word for control characters but these three.
static void put_xml(struct buf *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '<')
            buf_addz(out, "&lt;");
        else if (c == '>')
            buf_addz(out, "&gt;");
        else if (c == '&')
            buf_addz(out, "&amp;");
        else if (c == '"')
            buf_addz(out, "&quot;");
        else
            buf_byte(out, c < 32 && c != '\n' && c != '\t' ? '?' : (char)c);
    }
}

static struct bytes first_line(struct bytes text) {
    return bytes_cut(&text, '\n');
}

static void put_case(struct test_report *r, const struct story_result *s) {
    struct buf *out = &r->cases;
    buf_addz(out, "    <testcase classname=\"");
    put_xml(out, r->file);
    buf_addz(out, "\" name=\"");
    put_xml(out, s->title);
    buf_format(out, "\" time=\"%.3f\"", (double)s->took_us / 1e6);
    if (s->passed) {
        buf_addz(out, "/>\n");
        return;
    }
    buf_addz(out, ">\n      <failure message=\"");
    put_xml(out, first_line(s->failure));
    buf_addz(out, "\">");
    put_xml(out, s->failed_at);
    buf_byte(out, '\n');
    put_xml(out, s->failure);
    buf_addz(out, "</failure>\n    </testcase>\n");
}

bool test_report_write_junit(const struct test_report *r, const char *path, struct err *err) {
    FILE *f = fopen(path, "we");
    if (!f) return err_errno(err, "%s", path);
    fprintf(f,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"tidegate test\" "
            "tests=\"%zu\" failures=\"%zu\" "
            "time=\"%.3f\">\n",
            r->passed + r->failed, r->failed, (double)r->took_us / 1e6);
    fwrite(r->cases.at, 1, r->cases.len, f);
    fputs("  </testsuite>\n</testsuites>\n", f);
    bool good = !ferror(f);
    errno = good ? errno : EIO;
    if (fclose(f) != 0 || !good) return err_errno(err, "%s", path);
    return true;
}

// ---- lines

static void put_line(struct test_report *r, struct buf *line) {
    fwrite(line->at, 1, line->len, r->out);
    buf_release(line);
}

static void put_json(struct test_report *r, const struct story_result *s) {
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    jsonl_text(&j, "story", s->title);
    jsonl_text(&j, "file", r->file);
    jsonl_text(&j, "told_at", s->told_at);
    jsonl_bool(&j, "passed", s->passed);
    jsonl_real(&j, "took_ms", (double)s->took_us / 1000);
    if (!s->passed) {
        jsonl_text(&j, "failed_at", s->failed_at);
        jsonl_text(&j, "failure", s->failure);
        if (s->trace.len) jsonl_raw(&j, "trace", s->trace);
    }
    jsonl_end(&j);
    put_line(r, &line);
}

static void put_text(struct test_report *r, const struct story_result *s) {
    struct buf line = {0};
    buf_addz(&line, s->passed ? "ok    " : "FAIL  ");
    show_clean(&line, s->told_at);
    buf_addz(&line, "  ");
    show_clean(&line, s->title);
    if (s->took_us >= SLOW_US) buf_format(&line, "  (%.1f s)", (double)s->took_us / 1e6);
    buf_byte(&line, '\n');
    struct bytes rest = s->passed ? BYTES("") : s->failure;
    bool first = true;
    while (rest.len) {
        buf_addz(&line, "      ");
        if (first && s->failed_at.len && !bytes_starts(rest, s->failed_at))
            buf_format(&line, "%.*s: ", BYTES_FMT(s->failed_at));
        show_clean(&line, bytes_cut(&rest, '\n'));
        buf_byte(&line, '\n');
        first = false;
    }
    put_line(r, &line);
}

void test_report_story(struct test_report *r, const struct story_result *result) {
    *(result->passed ? &r->passed : &r->failed) += 1;
    r->took_us += result->took_us;
    if (r->json)
        put_json(r, result);
    else
        put_text(r, result);
    if (r->junit) put_case(r, result);
    fflush(r->out);
}

void test_report_file(struct test_report *r, const char *fault) {
    struct story_result result = {.title = BYTES("the file loads"),
                                  .told_at = r->file,
                                  .failed_at = BYTES(""),
                                  .failure = bytes_of(fault)};
    test_report_story(r, &result);
}

void test_report_coverage(struct test_report *r, struct coverage *c) {
    struct coverage_file f;
    for (size_t i = 0; coverage_at(c, i, &f); i++) {
        struct buf line = {0};
        if (r->json) {
            struct jsonl j = jsonl_begin(&line);
            jsonl_text(&j, "coverage", f.name);
            jsonl_int(&j, "lines", (int64_t)f.lines);
            jsonl_int(&j, "ran", (int64_t)f.ran);
            jsonl_text(&j, "never", f.never);
            jsonl_end(&j);
        } else {
            show_clean(&line, f.name);
            if (!f.ran)
                buf_addz(&line, ": not loaded as a part of the policy");
            else
                buf_format(&line, ": %zu of %zu lines ran (%zu %%)", f.ran, f.lines,
                           f.lines ? f.ran * 100 / f.lines : 100);
            if (f.ran && f.never.len) buf_format(&line, "; never: %.*s", BYTES_FMT(f.never));
            buf_byte(&line, '\n');
        }
        put_line(r, &line);
    }
}

void test_report_end(struct test_report *r) {
    if (r->json)
        fprintf(r->out, "{\"passed\":%zu,\"failed\":%zu}\n", r->passed, r->failed);
    else
        fprintf(r->out, "%zu passed, %zu failed\n", r->passed, r->failed);
    fflush(r->out);
}

void test_report_release(struct test_report *r) {
    buf_release(&r->cases);
}
