#!/bin/sh
# A gateway outside the subnet, in network configuration version 2: only netplan learns of it.
#
# Versions: cloud-init 26.2 (Debian 26.2-1).
# Guess:    `on-link: true` becomes GatewayOnLink=, `onlink=true` and `onlink`, as each format has
#           it.
# Seen:     it is lost in networkd, NetworkManager's profile, ENI and ifcfg. Without the flag the
#           kernel refuses such a gateway, and ENI's line ends in `|| true`.
# Matters:  the server has no default route, and nothing says why.
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
      addresses: [203.0.113.10/32]
      routes:
        - {to: default, via: 198.51.100.1, on-link: true}
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
netplan=etc/netplan/50-cloud-init.yaml
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "netplan keeps it" "            -   on-link: true" "$(render netplan ubuntu $netplan | grep on-link)"
same "networkd" "Destination=0.0.0.0/0
Gateway=198.51.100.1" "$(render networkd debian $networkd | sed '1,/^.Route.$/d')"
same "NetworkManager" "route1=0.0.0.0/0,198.51.100.1" \
    "$(render network-manager rhel $nm | grep -iE '^route|onlink|gateway')"
same "ENI" "    post-up ip route add default via 198.51.100.1 || true" \
    "$(render eni debian $eni | grep -E 'post-up|onlink')"
same "ifcfg" "GATEWAY=198.51.100.1" "$(render sysconfig rhel $ifcfg | grep -iE '^gateway|onlink')"
exit "$failed"
