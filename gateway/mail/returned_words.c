// SPDX-License-Identifier: MIT
// What mail servers say when they return mail: codes, and the phrases that stand for codes where none are told.
#include "mail/returned_inside.h"

#include <ctype.h>
#include <strings.h>

// ---- codes

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// x.y.z at the front, with nothing behind that would make it something else (an address, a version). 0: none; else its length.
static size_t status_length(struct bytes text) {
    if (text.len < 5 || !strchr("245", text.at[0]) || text.at[1] != '.') return 0;
    size_t n = 2, digits = 0;
    while (n < text.len && is_digit(text.at[n]) && digits < 3) n++, digits++;
    if (!digits || n >= text.len || text.at[n] != '.') return 0;
    for (n++, digits = 0; n < text.len && is_digit(text.at[n]) && digits < 3; n++) digits++;
    if (!digits) return 0;
    if (n < text.len && (is_digit(text.at[n]) || (text.at[n] == '.' && n + 1 < text.len && is_digit(text.at[n + 1])))) return 0;
    return n;
}

bool returned_is_status(struct bytes text) {
    return text.len && status_length(text) == text.len;
}

static bool is_code(struct bytes text) {
    if (text.len < 3 || (text.at[0] != '4' && text.at[0] != '5')) return false;
    if (text.at[1] < '0' || text.at[1] > '7' || !is_digit(text.at[2])) return false;
    if (text.at[0] == '4' && text.at[1] > '7') return false;
    if (text.len == 3) return true;
    if (!strchr(" -#_:;,.)]\"'>\r\n", text.at[3]) || !text.at[3]) return false;
    if (text.at[3] == '.' && text.len > 4 && is_digit(text.at[4])) return false;
    static const char *const units[] = {"bytes", "byte", "kb", "mb", "kib", "messages", "recipients", "seconds", "hours", "days", "minutes", "of"};
    struct bytes behind = bytes_trim(bytes_skip(text, 4));
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (bytes_starts_nocase(behind, bytes_of(units[i]))) return false;
    return true;
}

bool returned_reply(struct bytes text, struct reason *out) {
    *out = (struct reason){.status = BYTES("")};
    bool found = false;
    for (size_t i = 0; i < text.len; i++) {
        char before = i ? text.at[i - 1] : ' ';
        bool joined = before == '-' && i > 3 && is_digit(text.at[i - 2]); // "550-5.1.1"
        if (!is_digit(text.at[i]) || isalnum((unsigned char)before) || (strchr(".@-/_=$%", before) && !joined)) continue;
        if (found && i > out->at + 60) break; // what belongs to a code stands near it
        struct bytes rest = bytes_skip(text, i);
        size_t n = status_length(rest);
        bool status = n && !out->status.len, code = !n && !out->code && is_code(rest);
        if (!status && !code) continue;
        if (status) out->status = bytes_first(rest, n);
        else out->code = (text.at[i] - '0') * 100 + (text.at[i + 1] - '0') * 10 + (text.at[i + 2] - '0');
        if (!found) out->at = i;
        found = true;
        if (out->code && out->status.len) break;
    }
    if (out->code && out->status.len && out->status.at[0] - '0' != out->code / 100) out->status = BYTES("");
    return found;
}

// ---- phrases

static ptrdiff_t find_any(struct bytes text, const char *const *phrases) {
    for (; *phrases; phrases++) {
        size_t n = strlen(*phrases);
        for (size_t i = 0; i + n <= text.len; i++)
            if (!((text.at[i] ^ **phrases) & ~0x20) && !strncasecmp(text.at + i, *phrases, n)) return (ptrdiff_t)i;
    }
    return -1;
}

bool returned_has_any(struct bytes text, const char *const *phrases) {
    return find_any(text, phrases) >= 0;
}

static const struct meaning {
    const char *status;
    const char *const phrases[30];
} meanings[] = {
    {"5.2.2", {"mailbox is full", "mailbox full", "over quota", "overquota", "quota exceeded", "exceeded storage", "exceeds quota", "quota violation",
               "exceed the quota", "exceeds allowed quota", "mailbox has exceeded", "out of space", "full mailbox", "disk quota", "insufficient space", "exceeded the space", "inbox is full",
               "user is over", "storage allocation", "not enough storage", "mailbox exceeds", "exceeds allowed size", "メールボックスが一杯", "邮箱已满", "邮箱空间", "ящик переполнен", "size limit is exceeded for this user", "too many mails"}},
    {"5.2.1", {"account is disabled", "account disabled", "mailbox disabled", "mailbox is disabled", "account has been disabled", "user is inactive", "account is inactive", "inactive user",
               "mailbox is inactive", "account inactive", "account is not active", "been suspended", "account suspended", "mailbox unavailable or access denied", "not accepting mail", "not accepting any mail",
               "no longer accepts", "account is locked", "mailbox for this recipient is disabled", "has been deactivated", "discontinued", "not accepting messages"}},
    {"5.1.6", {"has moved", "moved to another", "no longer working here", "no longer works", "no longer employed", "left the company", "changed address"}},
    {"5.1.1", {"user unknown", "unknown user", "no such user", "no such mailbox", "no such recipient", "no such address", "user not found", "invalid receiver", "recipient not found", "address not found", "mailbox not found",
               "does not exist", "doesn't exist", "doesn't have", "no mailbox here", "recipient unknown", "unknown recipient", "invalid recipient", "invalid mailbox", "not our customer", "unknown address",
               "not listed in", "unknown local", "no such local", "couldn't be found", "wasn't found", "recipnotfound", "not exist"}},
    {"5.1.1", {"address unknown", "user doesn't", "invalid final delivery", "no account by that name", "unable to validate recipient", "mailbox unavailable", "unrouteable mail address", "recipient address rejected", "not a valid user",
               "invalid user", "not known here", "no user", "unknown mailbox", "not a valid mailbox", "bad address", "bad destination mailbox", "undeliverable address", "user (", "no valid recipient",
               "mailbox unknown", "unknown account", "no such person", "not a known user", "address error", "is not a valid", "recipient rejected", "name not found"}},
    {"5.1.1", {"nie istnieje", "existiert nicht", "unbekannter empf", "n'existe pas", "utilisateur inconnu", "non esiste", "no existe", "não existe", "bestaat niet", "finnes ikke", "finns inte", "не существует", "не найден", "存在しません", "見つかりません",
               "不存在", "존재하지 않"}},
    {"5.1.2", {"host unknown", "host not found", "unknown host", "domain not found", "unrouteable", "unroutable", "no such domain", "unknown domain", "bad destination system", "invalid domain", "name or service not known",
               "domain does not", "dns error", "no mx record", "non-existent domain", "could not resolve", "all relevant mx records point", "domain name system", "hostname lookup"}},
    {"5.3.4", {"message too large", "message size exceeds", "too large", "size limit", "message length exceeds", "message is larger", "exceeds maximum", "exceeds the maximum", "message too big", "too big"}},
    {"5.4.6", {"mail loop", "too many hops", "routing loop", "hop count", "loop detected", "loops back", "mail forwarding loop"}},
    {"4.4.7", {"retry timeout exceeded", "retry time not reached for any", "been in the queue too long", "in queue too long", "delivery time expired", "message expired", "could not be delivered for more than", "delivery timed out",
               "unable to deliver message after", "undeliverable for", "not been collected", "queue too long", "too long in", "for too long"}},
    {"4.4.1", {"connection timed out", "connection refused", "no route to host", "network is unreachable", "could not connect", "couldn't connect", "connection reset", "timed out", "could not establish", "unable to connect",
               "no answer from host", "not able to connect", "lost connection", "did not respond", "not responding", "operation timed out", "connect to "}},
    {"5.6.0", {"virus", "attachment", "infected", "malware", "banned file", "mime error", "content type"}},
    {"5.7.1", {"spam", "blocked", "blacklist", "black list", "blocklist", "denied", "policy", "not authorized", "not allowed", "rejected", "relaying", "unable to relay", "restricted", "refused", "not permitted", "prohibited", "permission"}},
};

// What the words say of somebody is said of whoever stands ahead of them.
static bool is_said_of(struct bytes words, size_t at, const char *const *whom, const char *const *not) {
    struct bytes ahead = bytes_first(words, at);
    ahead = bytes_skip(ahead, ahead.len > 60 ? ahead.len - 60 : 0);
    return returned_has_any(ahead, whom) && !returned_has_any(ahead, not);
}

// "The domain example.net does not exist" is about no mailbox, "sender address does not exist" and "your account has been suspended" about us.
static const char *unless_of_others(const char *status, struct bytes words, size_t at) {
    static const char *const domain[] = {"domain", "host", "\xe5\x9f\x9f\xe5\x90\x8d", NULL}, *const sender[] = {"sender", "mail from", "from address", NULL};
    static const char *const mailbox[] = {"user", "mailbox", "account", "recipient", "address", "@", NULL}, *const recipient[] = {"recipient", "rcpt", NULL};
    static const char *const ours[] = {"your account", "your mailbox", "sender", "sending", NULL};
    if (strcmp(status, "5.2.1") == 0 && returned_has_any(words, ours)) return "5.7.1";
    if (strcmp(status, "5.1.1") != 0) return status;
    if (is_said_of(words, at, sender, recipient)) return "5.1.7";
    return is_said_of(words, at, domain, mailbox) ? "5.1.2" : status;
}

const char *returned_status_of(struct bytes words) {
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        ptrdiff_t at = find_any(words, meanings[i].phrases);
        if (at >= 0) return unless_of_others(meanings[i].status, words, (size_t)at);
    }
    return NULL;
}

// In the order in which a session goes: the latest that is named is where it was.
const char *returned_stage(struct bytes words) {
    static const char *const content[] = {"end of data", "after data", "sending message body", "message body", "end-of-data", "after dot", "final dot", "message content", "message size exceeds", NULL};
    static const char *const data[] = {"reply to data", "response to data", "data command", NULL};
    static const char *const mail[] = {"mail from", "sender address rejected", "sender verify", NULL};
    static const char *const dns[] = {"host not found", "host or domain name not found", "name service error", "unrouteable", "nullmx", "nxdomain", "dns", NULL};
    static const char *const connect[] = {"connect to ", "connection refused", "connection timed out", "no route to host", NULL};
    static const char *const rcpt[] = {"rcpt to", NULL};
    if (returned_has_any(words, content)) return "content";
    if (returned_has_any(words, rcpt)) return "rcpt";
    if (returned_has_any(words, data)) return "data";
    if (returned_has_any(words, mail)) return "mail";
    if (returned_has_any(words, dns)) return "dns";
    return returned_has_any(words, connect) ? "connect" : "rcpt";
}

bool returned_is_delay(struct bytes words) {
    static const char *const phrases[] = {
        "warning: could not send", "warning: message", "still being retried", "will be retried", "not yet been delivered", "you do not need to resend", "will continue to be attempted", "will keep trying",
        "warning message only", "delivery delayed", "has been delayed", "delivery is delayed", "mail delayed", "delayed mail", "will continue trying", "not been delivered yet", "delivery status notification (delay)",
        "transient failure", "temporarily undeliverable", "message delayed", "could not be delivered yet", "will try to deliver", "will retry", "delay notification", "still trying to", "keep trying to deliver", NULL};
    return returned_has_any(words, phrases);
}

bool returned_is_failure(struct bytes words) {
    static const char *const phrases[] = {
        "undeliverable", "undelivered", "returned mail", "delivery failure", "delivery failed", "mail delivery failed", "delivery status notification", "failure notice", "returned to sender", "non-delivery", "nondeliverable",
        "could not be delivered", "couldn't be delivered", "can't be delivered", "unable to deliver", "wasn't able to deliver", "not deliverable", "delivery has failed", "delivery error", "delivery problem", "permanent error", "permanent fatal",
        "did not reach the following", "was not delivered", "wasn't delivered", "has not been delivered", "cannot be delivered", "mail system error", "delivery to the following", "returned message", "bounced", "user unknown", "unknown user", "undeliverable mail",
        "mail failure", "failed mail", "failed delivery", "mail error", "not delivered", "rejected:", "message you sent", "delivery report", "delivery notification", "unzustellbar", "nicht zugestellt", "non remis", "no se pudo entregar", "no entregado", "mancato recapito",
        "impossible de remettre", "onbestelbaar", "niet afgeleverd", "failure delivery", "error sending", "message not", "could not send", "unable to send", "message refused", "message rejected", "mail returned", "email delivery", "problem with your message", "message status - undeliverable",
        "delivery unsuccessful", "unsuccessful", "mail delivery", "unreachable", "non-deliverable", "not be delivered", "failed to deliver", "did not reach", "送信できませんでした", "配信できません", "送信エラー", "メールエラー", "送信に失敗", "退信", "无法投递", "未送达", "不能送達", "не доставлено", "не может быть доставлен", "nie dostarczon", "nie może być dostarczon",
        "não foi entregue", "não entregue", "kunne ikke leveres", "kunde inte levereras", "n'a pas pu être", "konnte nicht zugestellt", "전송 실패", "반송", NULL};
    return returned_has_any(words, phrases);
}

bool returned_is_away(struct bytes subject) {
    static const char *const phrases[] = {
        "out of office", "out of the office", "out-of-office", "outofoffice", "automatic reply", "autoreply", "auto reply", "auto-reply", "auto response", "autoresponse", "auto-response", "automated reply", "automated response", "vacation",
        "away from", "on holiday", "on leave", "abwesenheit", "automatische antwort", "réponse automatique", "absence du bureau", "absent", "respuesta automática", "fuera de la oficina", "fuera de oficina", "risposta automatica", "fuori sede",
        "automatisch antwoord", "afwezig", "resposta automática", "autosvar", "automatyczna odpowied", "automatiskt svar", "poissaolo", "automaattinen vastaus", "автоответ", "自動応答", "自动回复", "不在", "i am away", "annual leave", "maternity leave", NULL};
    if (bytes_starts_nocase(subject, BYTES("auto:"))) return true;
    return returned_has_any(subject, phrases);
}

// No other mark of a machine: only what no person writes, with a link beside it.
bool returned_is_pure_challenge(struct bytes words) {
    static const char *const phrases[] = {"approved senders", "allowed list", "guest list", "is protected by", "to be delivered you must", "prove you are human", "senders i have approved", "verify your address", "requires verification", "approve your message", NULL};
    static const char *const links[] = {"http://", "https://", NULL};
    return returned_has_any(words, phrases) && returned_has_any(words, links);
}

bool returned_is_challenge(struct bytes words) {
    static const char *const phrases[] = {"confirm that you", "please confirm", "verify that you", "please verify", "confirm your message", "challenge", "boxbe", "spamarrest", "spam arrest", "to be delivered you must", "prove you are", "waiting for your approval",
                                          "requires verification", "sender verification", NULL};
    return returned_has_any(words, phrases);
}

// ---- addresses in words

static bool is_local(char c) {
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-/=?^_`{|}~.", c)) || (unsigned char)c > 127;
}

static bool is_domain(char c) {
    return isalnum((unsigned char)c) || c == '-' || c == '.' || c == '_' || (unsigned char)c > 127;
}

bool returned_address(struct bytes *rest, struct bytes *address) {
    for (size_t at = 0; at < rest->len; at++) {
        if (rest->at[at] != '@') continue;
        size_t from = at, to = at + 1;
        if (at && rest->at[at - 1] == '"') { // a quoted local part, bounded
            for (from = at - 1; from > 0 && at - from < 66 && rest->at[from - 1] != '"' && rest->at[from - 1] != '\n';) from--;
            from -= from > 0;
        } else {
            while (from > 0 && is_local(rest->at[from - 1]) && at - from < 250) from--;
            while (from < at && strchr("'=*`-.", rest->at[from]) && !isalnum((unsigned char)rest->at[from])) from++; // 'bob@example.net', To=bob@...
        }
        while (to < rest->len && is_domain(rest->at[to]) && to - at < 255) to++;
        if (rest->at[at + 1 < rest->len ? at + 1 : at] == '[') {
            while (to < rest->len && to - at < 60 && rest->at[to] != ']' && rest->at[to] != '\n') to++;
            to += to < rest->len && rest->at[to] == ']';
        }
        while (to > at + 1 && (rest->at[to - 1] == '.' || rest->at[to - 1] == '-' || rest->at[to - 1] == '_')) to--;
        if (from == at || to < at + 3) continue;
        static const struct bytes marks[] = {{"mailto:", 7}, {"smtp:", 5}, {"SMTP=", 5}, {"rfc822;", 7}, {"To=", 3}, {"to=", 3}};
        struct bytes found = {rest->at + from, to - from};
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (bytes_starts_nocase(found, marks[i])) found = bytes_skip(found, marks[i].len);
        *address = found;
        *rest = bytes_skip(*rest, to);
        return true;
    }
    rest->len = 0;
    return false;
}
