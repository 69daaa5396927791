// SPDX-License-Identifier: MIT
// The verbs that bring whole files in and out: import, export.

#include "cli/ask.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/suppression.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include "relay/suppression_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { CHUNK = 65536 };

// ---- export -------------------------------------------------------------------------------------

struct exporting {
    FILE *out;
    bool csv;
    struct suppression_reader reader;
    struct buf line;
    struct progress progress;
    uint64_t rows;
};

static bool export_entry(void *arg, const struct json *row, struct bytes text) {
    struct exporting *x = arg;
    struct suppression s;
    struct err err;
    (void)row;
    buf_reset(&x->line);
    if (!x->csv) {
        buf_add(&x->line, text);
        buf_byte(&x->line, '\n');
    } else if (suppression_line_read(&x->reader, text, &s, &err) == LINE_ENTRY) {
        suppression_line_csv(&s, &x->line);
    }
    x->rows++;
    progress_at(&x->progress, 0, x->rows, "entries");
    return fwrite(x->line.at, 1, x->line.len, x->out) == x->line.len;
}

static int export_to(const struct call *call, FILE *out, const char *name) {
    struct suppression defaults = {.scope = BYTES("all"), .reason = BYTES(""), .source = BYTES("")};
    struct exporting x = {.out = out,
                          .csv = !call_text(call, "format") || strcmp(call_text(call, "format"), "csv") == 0};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    suppression_reader_init(&x.reader, SUPPRESSION_JSON, &defaults);
    struct buf request = {0};
    struct jsonl j = suppression_begin(&request, "export");
    suppression_put_filter(&j, call);
    jsonl_end(&j);
    if (x.csv) fputs(suppression_csv_head, out);
    x.progress = progress_begin("exporting", 0);
    x.progress.on = x.progress.on && !isatty(fileno(out));
    code = ask_run(ask, buf_bytes(&request), SUPPRESSION_WAIT_S, export_entry, &x, NULL);
    progress_end(&x.progress);
    if (code == EX_OK && (fflush(out) != 0 || ferror(out)))
        code = tool_fail(call, EX_CANTCREAT, "%s: %s", name, strerror(errno));
    suppression_reader_release(&x.reader);
    buf_release(&x.line);
    buf_release(&request);
    ask_close(&ask);
    return code;
}

int verb_suppression_export(const struct call *call) {
    const char *name = call_text(call, "output");
    if (!name) return export_to(call, stdout, "stdout");
    FILE *out = fopen(name, "we");
    if (!out) return tool_fail(call, EX_CANTCREAT, "%s: %s", name, strerror(errno));
    int code = export_to(call, out, name);
    if (fclose(out) != 0 && code == EX_OK)
        code = tool_fail(call, EX_CANTCREAT, "%s: %s", name, strerror(errno));
    return code;
}

// ---- import -------------------------------------------------------------------------------------

struct importing {
    const struct call *call;
    const char *name;
    int fd;
    struct buf first; // read already, to see what it is
    bool line_begins, ended;
    int failed; // errno of reading
    uint64_t sent, written;
    struct progress progress;
};

// Lines as they are, but that a leading dot is doubled.
static void put_lines(struct importing *m, struct buf *out, struct bytes what) {
    while (what.len) {
        if (m->line_begins && what.at[0] == '.') buf_byte(out, '.');
        ptrdiff_t eol = bytes_find(what, '\n');
        size_t n = eol < 0 ? what.len : (size_t)eol + 1;
        buf_add(out, bytes_first(what, n));
        what = bytes_skip(what, n);
        m->line_begins = eol >= 0;
    }
}

static ssize_t read_some(struct importing *m, char *into) {
    ssize_t n;
    do
        n = read(m->fd, into, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0) m->failed = errno;
    return n;
}

static bool feed(void *arg, struct buf *out) {
    struct importing *m = arg;
    char chunk[CHUNK];
    if (m->first.len) {
        put_lines(m, out, buf_bytes(&m->first));
        m->sent += m->first.len;
        buf_release(&m->first);
        return true;
    }
    ssize_t n = read_some(m, chunk);
    if (n > 0) {
        put_lines(m, out, bytes_range(chunk, (size_t)n));
        m->sent += (uint64_t)n;
        progress_at(&m->progress, m->sent, m->written, "entries");
        return true;
    }
    if (!m->line_begins) buf_byte(out, '\n');
    buf_addz(out, ".\n");
    return false;
}

static bool is_ready(void *arg, const struct json *row, struct bytes text) {
    (void)text;
    *(bool *)arg = json_get(row, "ready") != NULL;
    return false;
}

static bool on_row(void *arg, const struct json *row, struct bytes text) {
    struct importing *m = arg;
    struct bytes fault, line = BYTES("");
    if (!json_text(json_get(row, "fault"), &fault)) {
        m->written = (uint64_t)suppression_count(row, "written");
        progress_at(&m->progress, m->sent, m->written, "entries");
        return true;
    }
    if (call_has(m->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    json_text(json_get(row, "text"), &line);
    struct buf clean = {0};
    show_clean(&clean, line);
    fprintf(stderr, "%s%s: line %" PRId64 ": %.*s: %s\n", m->progress.on ? "\r\033[K" : "", m->name,
            suppression_count(row, "line"), BYTES_FMT(fault), buf_z(&clean));
    buf_release(&clean);
    return true;
}

static bool is_json(const struct importing *m) {
    const char *format = call_text(m->call, "format");
    if (format) return strcmp(format, "jsonl") == 0;
    struct bytes text = bytes_trim(buf_bytes(&m->first));
    return bytes_ends_nocase(bytes_of(m->name), BYTES(".jsonl")) ||
           (text.len && text.at[0] == '{' && bytes_find(text, ':') > 0);
}

static int tell_result(const struct importing *m, const struct json *done) {
    int64_t malformed = suppression_count(done, "malformed"), past = suppression_count(done, "past");
    int64_t written = suppression_count(done, "written"), lines = suppression_count(done, "lines");
    if (call_has(m->call, "json"))
        printf("{\"lines\":%" PRId64 ",\"written\":%" PRId64 ",\"malformed\":%" PRId64 ",\"past\":%" PRId64
               "}\n",
               lines, written, malformed, past);
    else
        printf("imported: %" PRId64 "\n", written);
    if (past && !call_has(m->call, "json"))
        fprintf(stderr, "(%" PRId64 " left out: their time is over)\n", past);
    if (m->failed) return tool_fail(m->call, EX_NOINPUT, "%s: %s", m->name, strerror(m->failed));
    if (!malformed) return EX_OK;
    return tool_fail(m->call, EX_DATAERR, "%" PRId64 " of %" PRId64 " lines were malformed and left out",
                     malformed, lines);
}

static int import_open(struct importing *m, struct ask *ask) {
    struct buf request = {0};
    struct jsonl j = suppression_begin(&request, "import");
    bool ready = false;
    jsonl_textz(&j, "format", is_json(m) ? "jsonl" : "csv");
    suppression_put_entry(&j, m->call);
    jsonl_end(&j);
    int code = ask_run(ask, buf_bytes(&request), SUPPRESSION_WAIT_S, is_ready, &ready, NULL);
    buf_release(&request);
    if (code != EX_OK) return code;
    if (!ready) return tool_fail(m->call, EX_SOFTWARE, "the gateway's answer is not one of its protocol");
    struct json *done = NULL;
    struct stat st;
    bool sized = fstat(m->fd, &st) == 0 && S_ISREG(st.st_mode);
    m->progress = progress_begin("importing", sized ? (uint64_t)st.st_size : 0);
    code = ask_feed(ask, feed, m, SUPPRESSION_WAIT_S, on_row, m, &done);
    progress_end(&m->progress);
    if (code == EX_OK) code = tell_result(m, done);
    json_free(&done);
    return code;
}

int verb_suppression_import(const struct call *call) {
    struct importing m = {.call = call, .name = call->arguments[0], .line_begins = true, .fd = STDIN_FILENO};
    int code = EX_OK;
    if (strcmp(m.name, "-") != 0)
        m.fd = open(m.name, O_RDONLY | O_CLOEXEC);
    else
        m.name = "stdin";
    if (m.fd < 0) return tool_fail(call, EX_NOINPUT, "%s: %s", m.name, strerror(errno));
    buf_reserve(&m.first, CHUNK);
    ssize_t n = read_some(&m, m.first.at);
    if (n < 0)
        code = tool_fail(call, EX_NOINPUT, "%s: %s", m.name, strerror(m.failed));
    else
        m.first.len = (size_t)n;
    struct ask *ask = n < 0 ? NULL : ask_open(call, &code);
    if (ask) code = import_open(&m, ask);
    ask_close(&ask);
    buf_release(&m.first);
    if (m.fd > STDERR_FILENO) close(m.fd);
    return code;
}
