# shellcheck shell=sh
# lib: where things are, and the settings. Sourced by the appliance's scripts; the two folders can be elsewhere for tests.
# shellcheck disable=SC2034
state=${APPLIANCE_STATE:-/var/lib/appliance}
conf=${APPLIANCE_CONF:-/etc/tidegate}
here=${APPLIANCE_LIB:-/usr/lib/tidegate-appliance}
run=${APPLIANCE_RUN:-/run/tidegate-appliance}
version=$(cat "$here/version" 2>/dev/null || echo unknown)

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }
say() { echo "$*"; }

# The value of a setting, or what is given as second argument. In the shell alone: it is asked for often while the machine starts.
setting() {
    found=
    if [ -r "$state/settings" ]; then
        while IFS= read -r row; do
            case $row in "$1 = "*) found=${row#"$1 = "} ;; esac
        done <"$state/settings"
    fi
    printf '%s\n' "${found:-${2:-}}"
}

# Writes standard input to a file so that after a power cut it has either the old text or the new.
put() { # path [mode]
    cat >"$1.new"
    chmod "${2:-0644}" "$1.new"
    sync "$1.new"
    mv "$1.new" "$1"
    sync "$(dirname "$1")"
}

# What the gateway reads and nobody else.
for_gateway() { if getent group tidegate >/dev/null; then chgrp -R tidegate "$@"; fi; }

fingerprint_cert() { openssl x509 -in "$conf/tls/cert.pem" -noout -fingerprint -sha256 2>/dev/null | sed 's/.*=//'; }
slot() { sed -n 's/.*tidegate\.slot=\([ab]\).*/\1/p' /proc/cmdline; }
other() { if [ "$(slot)" = a ]; then echo b; else echo a; fi; }
claimed() { [ -n "$(setting claimed)" ]; }
