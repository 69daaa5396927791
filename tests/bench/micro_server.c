// SPDX-License-Identifier: MIT
// micro_server: messages a second through the server machine alone, without sockets, hooks and store.
#include "micro.h"
#include "smtp/server.h"

struct session {
    struct server *server;
    struct buf commands[4]; // MAIL, RCPT, DATA, content
    struct buf together;    // the first three as one pipelined group
    size_t content;         // bytes seen
};

static void feed(struct session *s, const struct buf *text) {
    struct bytes input = buf_bytes(text);
    struct server_want want;
    for (;;)
        switch (server_next(s->server, &input, &want)) {
        case SERVER_BODY:
            s->content += want.bytes.len;
            break;
        case SERVER_ASK:
            server_answer(s->server, NULL);
            break;
        case SERVER_RESET:
            break;
        case SERVER_READ:
            bug_if(input.len);
            buf_reset(server_output(s->server));
            return;
        default:
            bug_if(true);
        }
}

static void message(void *arg) {
    struct session *s = arg;
    for (int i = 0; i < 4; i++)
        feed(s, &s->commands[i]);
}

static void pipelined(void *arg) {
    struct session *s = arg;
    feed(s, &s->together);
    feed(s, &s->commands[3]);
}

static void run(size_t size, const char *name, void (*call)(void *arg)) {
    struct server_options options = {.hostname = "gateway.example",
                                     .greeting = "",
                                     .line_max = 1000,
                                     .text_line_max = 1000,
                                     .header_max = 1 << 18,
                                     .recipients_max = 1000,
                                     .commands_max = 1000,
                                     .errors_max = 20,
                                     .received_max = 30,
                                     .idle_ms = 300000};
    struct session s = {.server = server_new(&options)};
    struct buf hello = {0};
    buf_addz(&hello, "EHLO load.example\r\n");
    feed(&s, &(struct buf){0});
    feed(&s, &hello);
    buf_addz(&s.commands[0], "MAIL FROM:<sender@load.example> SIZE=2000\r\n");
    buf_addz(&s.commands[1], "RCPT TO:<recipient@sink.example>\r\n");
    buf_addz(&s.commands[2], "DATA\r\n");
    for (int i = 0; i < 3; i++)
        buf_add(&s.together, buf_bytes(&s.commands[i]));
    buf_addz(&s.commands[3],
             "From: <sender@load.example>\r\nTo: <recipient@sink.example>\r\nSubject: a message\r\n"
             "Date: Thu, 01 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@load.example>\r\n\r\n");
    struct buf body = {0};
    micro_text(&body, size);
    for (size_t i = 0; i < body.len; i++) { // stuffed
        if (body.at[i] == '.' && i && body.at[i - 1] == '\n') buf_byte(&s.commands[3], '.');
        buf_byte(&s.commands[3], body.at[i]);
    }
    buf_addz(&s.commands[3], ".\r\n");
    micro_run("server", name, size, call, &s);
    bug_if(!s.content);
    server_free(&s.server);
    for (int i = 0; i < 4; i++)
        buf_release(&s.commands[i]);
    buf_release(&s.together);
    buf_release(&hello);
    buf_release(&body);
}

int main(void) {
    run(2048, "2 KiB, a step at a time", message);
    run(2048, "2 KiB, pipelined", pipelined);
    run(51200, "50 KiB", message);
    run(1048576, "1 MiB", message);
    return 0;
}
