#!/bin/sh
# Of `auto eth0 eth1`, only eth0 is brought up at boot.
#
# Versions: ifupdown-ng 0.11.4~rc1 (Debian 12) and 0.12.1 (Debian 13), amd64.
# Guess:    every name of the line, as with ifupdown.
# Seen:     only the first has `auto`; the others are dropped without a word, and `ifup -a` exits
#           0.
# Matters:  Debian's and cloud-init's files often say `auto lo eth0`: the server boots with
#           loopback only.
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
unpack b59b0625cd1a791375d40dab23a4d5d3d0641e3d0a773501becdc3725b7f99cf \
    main/g/glibc/libc6_2.41-12+deb13u5_amd64.deb lib
unpack e5a85986fa6bec3307ab1bc860736b478b331882bc45e17675a7bdf88eecb43a \
    main/libb/libbsd/libbsd0_0.12.2-2_amd64.deb lib
unpack 7244ec3839b61fac0c1884fe08aaa040f26e8f1f35f1f5d3482eacefd30d1b44 \
    main/libm/libmd/libmd0_1.1.0-2+b1_amd64.deb lib

# VERSION FILE: how it understands the file, without the loopback link
parse() {
    lib=$work/lib/usr/lib/x86_64-linux-gnu
    program=$(find "$work/$1" -name ifupdown -o -name ifupdown-ng | grep bin/)
    "$lib/ld-linux-x86-64.so.2" --library-path "$lib" --argv0 ifparse "$program" -i "$2" -A 2>&1 |
        sed '/^auto lo$/,/^$/d; /^$/d'
}
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
cat >interfaces <<'END'
auto eth0 eth1
iface eth0
    address 203.0.113.10/24
iface eth1
    address 10.180.1.2/19
END
for version in 0.11.4 0.12.1; do
    same "$version" "auto eth0
iface eth0
iface eth1" "$(parse "$version" interfaces | grep -E '^(auto|iface)')"
done
exit "$failed"
