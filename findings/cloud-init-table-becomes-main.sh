#!/bin/sh
# A route of another table, in network configuration version 2, lands in the main table.
#
# Versions: cloud-init 26.2 (Debian 26.2-1).
# Guess:    `table: 100` is kept by every renderer that has a word for it, and refused by the
#           others.
# Seen:     networkd and netplan keep it. NetworkManager's profile (whose routes know `table=`),
#           ENI and ifcfg lose it without a word: the default route of table 100 becomes one of
#           the main table, without a metric in ENI, and in ifcfg it is the only one that stays.
#           The `routing-policy` beside it is lost as well.
# Matters:  a server with source routing goes out by the wrong router as soon as its image uses
#           another renderer.
# Needs curl, dpkg-deb and Python 3.9 or later. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

deb=cloud-init_26.2-1_all.deb
for archive in http://deb.debian.org/debian \
    https://snapshot.debian.org/archive/debian/20261127T000000Z; do
    curl --fail --silent --location --output "$deb" "$archive/pool/main/c/cloud-init/$deb" && break
done
sum=17fc7a7f428dbea1195543259955a75f170870473990a43375de99009bd60462
echo "$sum  $deb" | sha256sum --check --quiet
dpkg-deb --extract "$deb" tree
python3 -m venv venv
venv/bin/pip install --quiet PyYAML==6.0.4 Jinja2==3.1.6 configobj==5.0.9 jsonpatch==1.48 \
    jsonschema==4.26.0 oauthlib==4.0.1 requests==2.34.2

cat >network.yaml <<'END'
network:
  version: 2
  ethernets:
    eth0:
      addresses: [203.0.113.10/24]
      routes:
        - {to: default, via: 203.0.113.1, metric: 20}
        - {to: default, via: 203.0.113.3, table: 100}
      routing-policy:
        - {from: 203.0.113.10, table: 100, priority: 5}
END

# RENDERER DISTRIBUTION FILE: what cloud-init writes to FILE
render() {
    PYTHONPATH=tree/usr/lib/python3/dist-packages venv/bin/python -m cloudinit.cmd.main devel \
        net-convert --network-data network.yaml --kind yaml --output-kind "$1" --distro "$2" \
        --directory "$1" >log 2>&1 || { cat log >&2 && exit 1; }
    cat "$1/$3"
}
nm=etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection
eni=etc/network/interfaces.d/50-cloud-init
ifcfg=etc/sysconfig/network-scripts/ifcfg-eth0
networkd=etc/systemd/network/10-cloud-init-eth0.network
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "networkd keeps table and rule" "Table=100
Table=100" "$(render networkd debian $networkd | grep Table)"
same "NetworkManager" "route1=0.0.0.0/0,203.0.113.1
route2=0.0.0.0/0,203.0.113.3" "$(render network-manager rhel $nm | grep -E '^(route[0-9]|routing)')"
same "ENI" "    post-up ip route add default via 203.0.113.1 metric 20 || true
    post-up ip route add default via 203.0.113.3 || true" \
    "$(render eni debian $eni | grep -E 'post-up|rule')"
same "ifcfg" "GATEWAY=203.0.113.3
IPV4_ROUTE_METRIC=20" "$(render sysconfig rhel $ifcfg | grep -E 'GATEWAY|METRIC|TABLE')"
exit "$failed"
