#!/bin/sh
# `dhcp4-overrides: {use-routes: false}` still takes DHCP's default route with most renderers.
#
# Versions: cloud-init 26.2 (Debian 26.2-1).
# Guess:    it becomes UseRoutes=, `never-default` or `ignore-auto-routes`, and DEFROUTE=no.
# Seen:     networkd keeps it. NetworkManager's profile, ENI and ifcfg (as for Enterprise Linux)
#           lose it, and `use-dns: false` too, while `route-metric` beside them is kept.
# Matters:  the link that must not have a default route gets one, of the metric that was asked
#           for.
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
      dhcp4: true
      dhcp4-overrides: {use-routes: false, use-dns: false, route-metric: 300}
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
same "networkd" "RouteMetric=300
UseDNS=False
UseRoutes=False" "$(render networkd debian $networkd | grep -E 'Use|Metric')"
same "NetworkManager" "method=auto
may-fail=false
route-metric=300" "$(render network-manager rhel $nm | sed -n '/^\[ipv4\]/,/^$/p' | grep =)"
same "ENI" "iface eth0 inet dhcp
    metric 300" "$(render eni debian $eni | sed -n '/iface eth0/,$p')"
same "ifcfg" "IPV4_ROUTE_METRIC=300" "$(render sysconfig rhel $ifcfg | grep -E 'ROUTE|PEERDNS')"
exit "$failed"
