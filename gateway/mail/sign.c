// SPDX-License-Identifier: MIT
#include "mail/sign.h"

#include "base/base64.h"
#include "base/bug.h"
#include "mail/address.h"
#include "mail/canon.h"
#include "mail/header.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    BITS_MIN = 1024, // RFC 8301 3.2: verifiers take nothing below
    BITS_FAIR = 2048,
    BITS_MAX = 4096, // and need not take anything above
    PEM_MAX = 64 * 1024,
    SIGNATURE_MAX = BITS_MAX / 8,
    NAMES_MAX = 64,   // names in the two lists together
    FIELDS_MAX = 192, // fields of the message covered; of more, the lowest
    LINE_WISH = 76,
};

struct sign_key {
    _Atomic int refs;
    EVP_PKEY *pkey;
    char *domain, *selector;
    bool rsa;
    int bits;
};

static const char *const sign_headers_default[] = {
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
    "Feedback-ID",
    NULL,
};

static const char *const sign_oversign_default[] = {
    "From", "To", "Cc", "Subject", "Reply-To", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post",
    NULL,
};

// Where the message has them: a relay that finds no Date or Message-ID adds one (RFC 6409 8), and may.
static const char *const sign_oversign_present_default[] = {"Date", "Message-ID", NULL};

// ---- keys

static bool openssl_fault(struct err *err, const char *what) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return err_set(err, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
}

// No terminal is asked for a passphrase: an encrypted key does not load.
static int no_password(char *out, int size, int writing, void *arg) {
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

static EVP_PKEY *parse_pem(struct bytes pem, struct err *err) {
    if (pem.len == 0 || pem.len > PEM_MAX) {
        err_set(err, "the key is %s", pem.len ? "too long for a PEM file" : "empty");
        return NULL;
    }
    ERR_clear_error();
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
    bug_if(!bio);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (pkey) return pkey;
    if (bytes_search(pem, BYTES("PUBLIC KEY-----")) >= 0)
        err_set(err, "this is a public key; the private one is needed");
    else if (bytes_search(pem, BYTES("ENCRYPTED")) >= 0)
        err_set(err, "the key is encrypted; store it without a passphrase");
    else if (bytes_search(pem, BYTES("-----BEGIN ")) < 0)
        err_set(err, "the key is not in PEM format");
    else
        openssl_fault(err, "the private key cannot be read");
    ERR_clear_error();
    return NULL;
}

static bool check_kind(struct sign_key *key, struct err *err) {
    int kind = EVP_PKEY_get_base_id(key->pkey);
    key->rsa = kind == EVP_PKEY_RSA;
    key->bits = key->rsa ? EVP_PKEY_get_bits(key->pkey) : 256;
    if (!key->rsa && kind != EVP_PKEY_ED25519)
        return err_set(err, "a %s key cannot sign DKIM; RSA or Ed25519 can", OBJ_nid2sn(kind));
    if (key->rsa && (key->bits < BITS_MIN || key->bits > BITS_MAX))
        return err_set(err, "an RSA key of %d bits; %d to %d are accepted, 2048 is right", key->bits,
                       BITS_MIN, BITS_MAX);
    return true;
}

static bool sign_data(const struct sign_key *key, struct bytes data, uint8_t *signature, size_t *len,
                      struct err *err) {
    uint8_t hash[DIGEST_SIZE];
    if (!key->rsa) { // RFC 8463 3: the message to sign is the hash
        digest_sha256(data, hash);
        data = bytes_range(hash, sizeof hash);
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bug_if(!context);
    *len = SIGNATURE_MAX;
    bool ok = EVP_DigestSignInit(context, NULL, key->rsa ? EVP_sha256() : NULL, NULL, key->pkey) == 1 &&
              EVP_DigestSign(context, signature, len, (const uint8_t *)data.at, data.len) == 1;
    EVP_MD_CTX_free(context);
    return ok || openssl_fault(err, "signing");
}

// A file may hold a public half that is not the private one's: every signature made with it would fail.
static bool check_halves(struct sign_key *key, struct err *err) {
    static const uint8_t sample[] = "a tide gate";
    uint8_t signature[SIGNATURE_MAX];
    size_t len;
    if (!sign_data(key, bytes_range(sample, sizeof sample), signature, &len, err)) return false;
    uint8_t hash[DIGEST_SIZE];
    digest_sha256(bytes_range(sample, sizeof sample), hash);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bug_if(!context);
    bool ok = EVP_DigestVerifyInit(context, NULL, key->rsa ? EVP_sha256() : NULL, NULL, key->pkey) == 1 &&
              EVP_DigestVerify(context, signature, len, key->rsa ? sample : hash,
                               key->rsa ? sizeof sample : sizeof hash) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return ok || err_set(err, "the private and the public half of the key do not belong together");
}

static bool set_names(struct sign_key *key, const char *domain, const char *selector, struct err *err) {
    struct buf ascii = {0};
    if (!address_domain_ascii(bytes_of(domain), &ascii, err))
        return err_within(err, "DKIM domain '%.100s'", domain);
    key->domain = bytes_dupz(buf_bytes(&ascii));
    buf_release(&ascii);
    if (!address_domain_ascii(bytes_of(selector), &ascii, err))
        return err_within(err, "DKIM selector '%.100s'", selector);
    key->selector = bytes_dupz(buf_bytes(&ascii));
    buf_format(&ascii, "._domainkey.%s", key->domain);
    bool fits = domain_is_valid(buf_bytes(&ascii));
    buf_release(&ascii);
    return fits || err_set(err, "DKIM selector and domain make a name longer than DNS allows");
}

struct sign_key *sign_key_load(const char *domain, const char *selector, struct bytes pem, struct err *err) {
    struct sign_key *key = must_alloc(sizeof *key);
    key->refs = 1;
    if (set_names(key, domain, selector, err) && (key->pkey = parse_pem(pem, err)) && check_kind(key, err) &&
        check_halves(key, err))
        return key;
    sign_key_free(&key);
    return NULL;
}

bool sign_key_make(int rsa_bits, struct buf *pem, struct err *err) {
    ERR_clear_error();
    EVP_PKEY *pkey = rsa_bits ? EVP_RSA_gen((unsigned)rsa_bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_secmem());
    bug_if(!bio);
    char *text;
    bool good = pkey && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
    size_t len = good ? (size_t)BIO_get_mem_data(bio, &text) : 0;
    if (good)
        buf_add(pem, bytes_range(text, len));
    else
        openssl_fault(err, "the key cannot be made");
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    return good;
}

struct sign_key *sign_key_ref(struct sign_key *key) {
    atomic_fetch_add(&key->refs, 1);
    return key;
}

void sign_key_free(struct sign_key **held) {
    struct sign_key *key = *held;
    *held = NULL;
    if (!key || atomic_fetch_sub(&key->refs, 1) > 1) return;
    EVP_PKEY_free(key->pkey);
    free(key->domain);
    free(key->selector);
    free(key);
}

const char *sign_key_domain(const struct sign_key *key) {
    return key->domain;
}
const char *sign_key_selector(const struct sign_key *key) {
    return key->selector;
}
const char *sign_key_algorithm(const struct sign_key *key) {
    return key->rsa ? "rsa-sha256" : "ed25519-sha256";
}
int sign_key_bits(const struct sign_key *key) {
    return key->bits;
}
bool sign_key_is_weak(const struct sign_key *key) {
    return key->rsa && key->bits < BITS_FAIR;
}

// RSA is published as SubjectPublicKeyInfo, Ed25519 as the bare 32 bytes (RFC 8463 4.2).
void sign_public_record(const struct sign_key *key, struct buf *out) {
    buf_format(out, "v=DKIM1; k=%s; p=", key->rsa ? "rsa" : "ed25519");
    uint8_t *der = NULL, raw[32];
    size_t len = sizeof raw;
    if (key->rsa) {
        int n = i2d_PUBKEY(key->pkey, &der);
        bug_if(n <= 0);
        len = (size_t)n;
    } else {
        bug_if(!EVP_PKEY_get_raw_public_key(key->pkey, raw, &len));
    }
    base64_encode(out, bytes_range(key->rsa ? der : raw, len));
    OPENSSL_free(der);
}

// ---- which fields are signed

struct name {
    struct bytes text;
    bool over, present; // once more than it is there; and only if it is there
};

struct cover {
    struct name names[NAMES_MAX];
    size_t count;
    struct {
        struct bytes whole;
        size_t name;
    } fields[FIELDS_MAX]; // a ring
    size_t seen;          // fields that match; those beyond FIELDS_MAX have pushed the topmost out
};

static size_t find_name(const struct cover *cover, struct bytes text) {
    size_t i = 0;
    while (i < cover->count && !bytes_equal_nocase(cover->names[i].text, text))
        i++;
    return i;
}

static bool add_name(struct cover *cover, const char *z, bool over, bool present, struct err *err) {
    struct bytes text = bytes_of(z);
    size_t at = find_name(cover, text);
    if (at == cover->count) {
        bool valid = text.len > 0 && text.len <= LINE_WISH;
        for (size_t i = 0; i < text.len; i++)
            valid = valid && z[i] > ' ' && z[i] <= '~' && z[i] != ':' && z[i] != ';';
        if (!valid) return err_set(err, "'%.80s' cannot be signed: no header field name", z);
        if (at == NAMES_MAX) return err_set(err, "more than %d header fields to sign", NAMES_MAX);
        cover->names[cover->count++] = (struct name){.text = text};
    }
    if (over) cover->names[at].over = true, cover->names[at].present = present;
    return true;
}

// From is always among them (RFC 6376 5.4).
static bool name_cover(struct cover *cover, const struct sign_options *options, struct err *err) {
    const char *const *headers = options && options->headers ? options->headers : sign_headers_default;
    const char *const *over = options && options->oversign ? options->oversign : sign_oversign_default;
    cover->count = cover->seen = 0;
    bool ok = add_name(cover, "From", false, false, err);
    for (; ok && *headers; headers++)
        ok = add_name(cover, *headers, false, false, err);
    if (over == sign_oversign_default)
        for (const char *const *name = sign_oversign_present_default; ok && *name; name++)
            ok = add_name(cover, *name, true, true, err);
    for (; ok && *over; over++)
        ok = add_name(cover, *over, true, false, err);
    return ok;
}

static bool find_cover(struct cover *cover, struct bytes head, struct err *err) {
    bool from = false;
    for (struct header_field field; header_next(&head, &field);) {
        if (field.name.len == 0) continue;
        size_t at = find_name(cover, field.name);
        if (at == cover->count) continue;
        size_t slot = cover->seen++ % FIELDS_MAX;
        cover->fields[slot].whole = field.whole;
        cover->fields[slot].name = at;
        from |= at == 0;
    }
    return from || err_set(err, "a message without From cannot be signed");
}

// Writes the names of h= and the canonical fields in the same order: for each name the lowest field first
// (RFC 6376 5.4.2). A name can only be oversigned when all its fields are covered, or a verifier would take
// the spare entry for a field that is there.
static void list_cover(const struct cover *cover, struct buf *list, struct buf *canon) {
    size_t kept = cover->seen < FIELDS_MAX ? cover->seen : FIELDS_MAX;
    for (size_t name = 0; name < cover->count; name++) {
        size_t entries = 0;
        for (size_t i = 1; i <= kept; i++) {
            size_t slot = (cover->seen - i) % FIELDS_MAX;
            if (cover->fields[slot].name != name) continue;
            canon_header_relaxed(canon, cover->fields[slot].whole);
            entries++;
        }
        bool spare =
            cover->names[name].over && kept == cover->seen && (entries > 0 || !cover->names[name].present);
        for (entries += spare; entries; entries--) {
            if (list->len) buf_byte(list, ':');
            buf_add(list, cover->names[name].text);
        }
    }
}

// ---- the field

struct line {
    struct buf *out;
    size_t start; // of the current line
};

static void fold(struct line *line) {
    buf_addz(line->out, "\r\n\t");
    line->start = line->out->len - 1;
}

// One tag, never cut, on the current line or the next.
static void put_tag(struct line *line, struct bytes tag) {
    if (line->out->len - line->start + 1 + tag.len > LINE_WISH)
        fold(line);
    else
        buf_byte(line->out, ' ');
    buf_add(line->out, tag);
}

// h=, cut behind colons only.
static void put_list(struct line *line, struct bytes list) {
    fold(line);
    buf_addz(line->out, "h=");
    while (list.len) {
        ptrdiff_t colon = bytes_find(list, ':');
        size_t n = colon < 0 ? list.len : (size_t)colon + 1;
        if (line->out->len - line->start + n + 1 > LINE_WISH) fold(line);
        buf_add(line->out, bytes_first(list, n));
        list = bytes_skip(list, n);
    }
    buf_byte(line->out, ';');
}

static void put_cut(struct line *line, struct bytes text) {
    while (text.len) {
        size_t used = line->out->len - line->start, room = used < LINE_WISH ? LINE_WISH - used : 0;
        if (room == 0)
            fold(line);
        else
            buf_add(line->out, bytes_first(text, room));
        if (room) text = bytes_skip(text, bytes_first(text, room).len);
    }
}

// i= with its local part in the quoted-printable of RFC 6376 2.11; it must lie within the key's domain (3.5).
static bool put_identity(struct line *line, const struct sign_key *key, const char *identity,
                         struct err *err) {
    struct bytes all = bytes_of(identity), domain = bytes_of(key->domain);
    ptrdiff_t at = bytes_find_last(all, '@');
    struct bytes host = bytes_skip(all, (size_t)(at + 1));
    bool within =
        bytes_equal_nocase(host, domain) || (bytes_ends_nocase(host, domain) && host.len > domain.len &&
                                             host.at[host.len - domain.len - 1] == '.');
    if (at < 0 || at > 64 || !within || !domain_is_valid(host))
        return err_set(err, "DKIM identity '%.100s' is not within the domain %s", identity, key->domain);
    struct buf tag = {0};
    buf_addz(&tag, "i=");
    for (ptrdiff_t i = 0; i < at; i++) {
        char c = identity[i];
        if (c > ' ' && c <= '~' && c != ';' && c != '=')
            buf_byte(&tag, c);
        else
            buf_format(&tag, "=%02X", (uint8_t)c);
    }
    buf_format(&tag, "@%.*s;", BYTES_FMT(host));
    put_tag(line, buf_bytes(&tag));
    buf_release(&tag);
    return true;
}

static bool put_tags(struct line *line, const struct sign_key *key, int64_t now_s,
                     const struct sign_options *options, struct err *err) {
    struct buf tag = {0};
    buf_format(&tag, "a=%s;", sign_key_algorithm(key));
    put_tag(line, BYTES("v=1;"));
    put_tag(line, buf_bytes(&tag));
    put_tag(line, BYTES("c=relaxed/relaxed;"));
    const struct { const char *name, *value; } names[] = {{"d", key->domain}, {"s", key->selector}};
    for (size_t i = 0; i < 2; i++) {
        buf_reset(&tag);
        buf_format(&tag, "%s=%s;", names[i].name, names[i].value);
        put_tag(line, buf_bytes(&tag));
    }
    const int64_t times[] = {now_s, options && options->expire_s > 0 ? now_s + options->expire_s : 0};
    for (size_t i = 0; i < 2 && times[i]; i++) {
        buf_reset(&tag);
        buf_format(&tag, "%c=%lld;", "tx"[i], (long long)times[i]);
        put_tag(line, buf_bytes(&tag));
    }
    buf_release(&tag);
    return !options || !options->identity || put_identity(line, key, options->identity, err);
}

// What all fields of one call have in common.
struct job {
    struct buf list;  // for h=
    struct buf canon; // the canonical signed fields
    const uint8_t *body_hash;
    int64_t now_s;
    const struct sign_options *options;
};

// The canonical DKIM-Signature goes behind the signed fields for the time of the operation, without a value
// of b= and without its last CRLF (RFC 6376 3.7).
static bool put_signature(struct line *line, size_t field_at, const struct sign_key *key, struct job *job,
                          struct err *err) {
    uint8_t signature[SIGNATURE_MAX];
    size_t len, before = job->canon.len;
    canon_header_relaxed(&job->canon, bytes_skip(buf_bytes(line->out), field_at));
    job->canon.len -= 2;
    bool ok = sign_data(key, buf_bytes(&job->canon), signature, &len, err);
    job->canon.len = before;
    if (!ok) return false;
    struct buf text = {0};
    base64_encode(&text, bytes_range(signature, len));
    put_cut(line, buf_bytes(&text));
    buf_addz(line->out, "\r\n");
    buf_release(&text);
    return true;
}

static bool put_field(struct buf *out, const struct sign_key *key, struct job *job, struct err *err) {
    size_t at = out->len;
    struct line line = {.out = out, .start = at};
    buf_addz(out, "DKIM-Signature:");
    if (!put_tags(&line, key, job->now_s, job->options, err)) return false;
    put_list(&line, buf_bytes(&job->list));
    fold(&line);
    buf_addz(out, "bh=");
    base64_encode(out, bytes_range(job->body_hash, DIGEST_SIZE));
    buf_byte(out, ';');
    fold(&line);
    buf_addz(out, "b=");
    return put_signature(&line, at, key, job, err);
}

bool sign_message(struct buf *out, struct sign_key *const *keys, size_t count, struct bytes head,
                  const uint8_t body_hash[DIGEST_SIZE], int64_t now_s, const struct sign_options *options,
                  struct err *err) {
    struct cover cover;
    if (!name_cover(&cover, options, err) || !find_cover(&cover, head, err)) return false;
    struct job job = {.body_hash = body_hash, .now_s = now_s, .options = options};
    size_t before = out->len;
    bool ok = true;
    buf_reserve(&job.canon, 4096);
    list_cover(&cover, &job.list, &job.canon);
    for (size_t i = 0; ok && i < count; i++)
        ok = put_field(out, keys[i], &job, err);
    if (!ok) out->len = before;
    buf_release(&job.list);
    buf_release(&job.canon);
    return ok;
}
