#!/bin/sh
# A second IPv4 address of a link, in the config drive's network_data.json.
#
# Versions: glean 1.25.1.
# Guess:    both addresses are configured, whatever files glean writes.
# Seen:     ENI and networkd's units have both. ifcfg (as for Rocky Linux) has only the one that
#           network_data.json names last, and nothing says so.
# Matters:  the address that is lost is the server's own; the routes beside it are kept.
# Needs Python 3.9 or later. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet glean==1.25.1
mkdir -p root/sys/class/net/eth1 root/mnt/config/openstack/latest
echo 0 >root/sys/class/net/eth1/addr_assign_type
echo 02:00:00:00:00:0b >root/sys/class/net/eth1/address
echo '{}' >root/mnt/config/openstack/latest/meta_data.json
cat >root/mnt/config/openstack/latest/network_data.json <<'JSON'
{"services": [],
 "links": [{"id": "tap1", "ethernet_mac_address": "02:00:00:00:00:0B", "mtu": 1500, "type": null}],
 "networks": [
  {"id": "network0", "type": "ipv4", "link": "tap1", "ip_address": "10.180.1.2",
   "netmask": "255.255.224.0", "routes": []},
  {"id": "network1", "type": "ipv4", "link": "tap1", "ip_address": "10.180.1.3",
   "netmask": "255.255.224.0", "routes": []}]}
JSON

# DISTRIBUTION: what glean writes for the link
write() {
    venv/bin/glean --noop --skip-dns --distro "$1" --root "$work/root" --interface eth1 2>log ||
        { cat log >&2 && exit 1; }
}
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "ENI" "    address 10.180.1.2
    address 10.180.1.3" "$(write debian | grep address)"
same "networkd" "Address=10.180.1.2/19
Address=10.180.1.3/19" "$(write networkd | grep ^Address)"
same "ifcfg" "IPADDR=10.180.1.3" "$(write rocky | grep ^IPADDR)"
exit "$failed"
