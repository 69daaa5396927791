// SPDX-License-Identifier: MIT
#include "net/fetch.h"

#include <curl/curl.h>
#include <stdlib.h>

enum { URL_MAX = 8192 };

static bool has_only_visible(struct bytes url) {
    for (size_t i = 0; i < url.len; i++)
        if (url.at[i] <= ' ' || url.at[i] >= 0x7f) return false;
    return true;
}

// The caller frees with curl_free. NULL where the URL has no such part.
static char *part(CURLU *u, CURLUPart what, unsigned flags) {
    char *text = NULL;
    return curl_url_get(u, what, &text, flags) == CURLUE_OK ? text : NULL;
}

static bool take_scheme(CURLU *u, struct fetch_place *out, struct err *err) {
    char *scheme = part(u, CURLUPART_SCHEME, 0);
    out->tls = scheme && strcmp(scheme, "https") == 0;
    bool ok = out->tls || (scheme && strcmp(scheme, "http") == 0);
    curl_free(scheme);
    return ok || err_set(err, "a URL begins with https://");
}

static bool take_port(CURLU *u, struct fetch_place *out, struct err *err) {
    char *text = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    uint64_t port = 0;
    bool ok = text && bytes_to_u64(bytes_of(text), &port) && port > 0 && port <= 65535;
    curl_free(text);
    out->port = (uint16_t)port;
    return ok || err_set(err, "the URL's port is none");
}

static bool is_host_name(const char *host) {
    size_t len = strlen(host);
    for (const char *c = host; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && !strchr("-_.", *c)) return false;
    return len && host[len - 1] != '.' && host[0] != '.';
}

static bool take_host(CURLU *u, struct fetch_place *out, struct err *err) {
    char *zone = part(u, CURLUPART_ZONEID, 0), *text = part(u, CURLUPART_HOST, 0);
    struct bytes host = bytes_of(text ? text : "");
    bool bracketed = bytes_starts(host, BYTES("["));
    if (bracketed) host = bytes_range(host.at + 1, host.len - 2);
    bool ok = !zone && host.len && host.len < sizeof out->host;
    if (ok)
        for (size_t i = 0; i <= host.len; i++) {
            char c = i < host.len ? host.at[i] : 0;
            out->host[i] = byte_lower(c);
        }
    curl_free(zone);
    curl_free(text);
    if (!ok) return err_set(err, "the URL's host is none");
    if (addr_parse(bytes_of(out->host), &out->address, NULL) && addr_family(&out->address) != AF_UNIX &&
        !addr_port(&out->address)) {
        out->literal = true;
        addr_set_port(&out->address, out->port);
        return true;
    }
    return (!bracketed && is_host_name(out->host)) || err_set(err, "the URL's host is no name in ASCII");
}

bool fetch_place(struct bytes url, struct fetch_place *out, struct err *err) {
    *out = (struct fetch_place){.port = 0};
    if (!url.len || url.len > URL_MAX || !has_only_visible(url))
        return err_set(err, "a URL of visible ASCII characters is expected, of %d at the most", URL_MAX);
    char *z = bytes_dupz(url);
    CURLU *u = curl_url();
    bool ok =
        u && curl_url_set(u, CURLUPART_URL, z, CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
    if (!ok) err_set(err, "not a URL as https://host/path, without a user in it");
    ok = ok && take_scheme(u, out, err) && take_host(u, out, err) && take_port(u, out, err);
    if (ok && out->literal) addr_set_port(&out->address, out->port);
    curl_url_cleanup(u);
    explicit_bzero(z, url.len);
    free(z);
    return ok;
}
