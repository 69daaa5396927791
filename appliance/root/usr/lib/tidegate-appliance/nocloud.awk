# nocloud: the subset of cloud-init's NoCloud that Proxmox and libvirt write, as `key = value` lines of a seed (seed).
# Files: meta-data (local-hostname), user-data (hostname, fqdn, ssh_authorized_keys), network-config (versions 1 and 2).
# The last name that was said counts, so give meta-data first. What is not understood is passed over.
function clean(text) { sub(/[ \t]+#.*$/, "", text); gsub(/^[ \t]+|[ \t]+$/, "", text); gsub(/^["']|["']$/, "", text); return text }
function value(text) { sub(/^[^:]*:/, "", text); return clean(text) }
function prefix(mask, parts, n, i, bits) {
    if (mask !~ /\./) return mask
    n = split(mask, parts, "."); bits = 0
    for (i = 1; i <= n; i++) while (parts[i] > 0) { bits += parts[i] % 2; parts[i] = int(parts[i] / 2) }
    return bits
}
function items(text, list, n, i) { # [a, b] in flow style
    gsub(/^\[|\]$/, "", text); n = split(text, list, ",")
    for (i = 1; i <= n; i++) add(mode, clean(list[i]))
}
function add(kind, text) {
    if (text == "") return
    if (kind == "keys") print "admin_key = " text
    else if (kind == "addresses") address = address " " text
    else if (kind == "dns" && text ~ /^[0-9A-Fa-f:.]+$/) dns = dns " " text
}
FNR == 1 { mode = ""; network = FILENAME ~ /network-config$/ }
/^[ \t]*#/ { next }
!network && /^(local-hostname|hostname|fqdn):/ { if ($1 == "fqdn:" || host == "" || value($0) ~ /\./) host = value($0); mode = ""; next }
!network && /^ssh_authorized_keys:/ { mode = "keys"; if (value($0) ~ /^\[/) items(value($0)); next }
!network && /^[^ \t-]/ { mode = ""; next }
network && /^[ \t]*-?[ \t]*type:[ \t]*nameserver/ { mode = "nameserver"; next }
network && /^[ \t]*-?[ \t]*type:[ \t]*static/ { mode = "" }
network && /dhcp4:[ \t]*(true|yes)/ { dhcp = 1 }
network && /type:[ \t]*dhcp/ { dhcp = 1 }
network && /^[ \t]*(gateway4|gateway6|gateway|via):/ { gateway = gateway " " value($0); next }
network && /^[ \t]*-?[ \t]*addresses:/ {
    mode = nameservers ? "dns" : "addresses"; nameservers = 0
    if (value($0) ~ /^\[/) { items(value($0)); mode = "" }
    next
}
network && /^[ \t]*nameservers:/ { nameservers = 1; mode = ""; next }
network && /^[ \t]*-?[ \t]*address:/ {
    if (mode == "nameserver") { mode = "dns"; if (value($0) !~ /^\[?$/) items(value($0)) }
    else pending = value($0)
    if (pending ~ /\//) { add("addresses", pending); pending = "" }
    next
}
network && /^[ \t]*netmask:/ { if (pending != "") add("addresses", pending "/" prefix(value($0))); pending = ""; next }
network && /^[ \t]*dns_nameservers:/ { mode = "dns"; if (value($0) ~ /^\[/) items(value($0)); next }
/^[ \t]*-[ \t]+/ {
    if (mode != "") { text = $0; sub(/^[ \t]*-[ \t]+/, "", text); if (text !~ /^[a-z0-9_]+:([ \t]|$)/ || mode == "keys") { add(mode, clean(text)); next } }
}
network && /^[ \t]*-?[ \t]*[a-z0-9_]+:/ { mode = "" }
END {
    if (host != "") print "hostname = " host
    if (address != "") print "address =" address
    else if (dhcp) print "address = dhcp"
    if (address != "" && gateway != "") print "gateway =" gateway
    if (dns != "") print "dns =" dns
}
