#!/bin/sh
# A `gateway` without `metric` gets metric 1, in both families.
#
# Versions: ifupdown-ng 0.11.4~rc1 (Debian 12) and 0.12.1 (Debian 13), amd64.
# Guess:    what the kernel gives: 0 for IPv4 and 1024 for IPv6, as with ifupdown and ifupdown2.
# Seen:     `metric 1` for each, which interfaces-ng(5) does not mention.
# Matters:  a program that adds its default route with metric 1, behind those of the
#           administrator, gets "File exists" or a route of equal metric; an IPv6 default beats
#           those of router advertisements.
# Needs curl and dpkg-deb. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# SUM PATH DIRECTORY: a package of Debian's, unpacked
unpack() {
    for archive in http://deb.debian.org/debian \
        https://snapshot.debian.org/archive/debian/20261127T000000Z; do
        curl --fail --silent --location --output package.deb "$archive/pool/$2" && break
    done
    echo "$1  package.deb" | sha256sum --check --quiet
    dpkg-deb --extract package.deb "$3"
}
unpack a7d07cfa7e50c9965a971a42d94ef49a99a06fde72650763ceb20b0bf8555af1 \
    main/i/ifupdown-ng/ifupdown-ng_0.11.4~rc1-1+b2_amd64.deb 0.11.4
unpack 091901ba71f70d533833c36d272069c4cb7f5a36d738ef7412aa190719914348 \
    main/i/ifupdown-ng/ifupdown-ng_0.12.1-7_amd64.deb 0.12.1
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
for version in 0.11.4 0.12.1; do
    static=$(find "$work/$version" -path '*ifupdown-ng/static')
    same "$version" "ip -4 route add default via 203.0.113.1 metric 1 dev eth0
ip -6 route add default via fe80::1 metric 1 dev eth0" \
        "$(PHASE=up IFACE=eth0 IF_GATEWAYS="203.0.113.1 fe80::1" MOCK=echo sh "$static")"
done
exit "$failed"
