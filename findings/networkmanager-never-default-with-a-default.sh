#!/bin/sh
# `never-default=true` and a default route among the profile's own routes.
#
# Versions: NetworkManager 1.58.1 (Debian 1.58.1-1); the same in 1.30, 1.42 and 1.52.
# Guess:    the profile never gets a default route, as nm-settings(5) says of the property: "this
#           connection will never be the default connection for this IP type".
# Seen:     `route1=0.0.0.0/0,…` is set all the same, with its metric, and is the default route of
#           the host. Only `gateway` and DHCP's router are left out.
# Matters:  who adds `never-default` to take a link's default route away has not, if it is a route.
# Needs root, mmdebstrap and util-linux. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=network-manager=1.58.1-1,iproute2 sid tree http://deb.debian.org/debian
cat >tree/etc/NetworkManager/NetworkManager.conf <<'END_OF_FILE'
[main]
plugins=keyfile
[device-lab]
match-device=interface-name:eth1
managed=1
END_OF_FILE
profile=tree/etc/NetworkManager/system-connections/eth1.nmconnection
cat >"$profile" <<'END_OF_FILE'
[connection]
id=eth1
type=ethernet
interface-name=eth1
[ipv4]
method=manual
address1=10.180.1.2/19
gateway=10.180.0.1
never-default=true
route1=0.0.0.0/0,10.180.31.254,7
[ipv6]
method=disabled
END_OF_FILE
chmod 600 "$profile"
cat >tree/start <<'END_OF_SCRIPT'
set -e
mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /run/dbus
ip link set lo up
ip link add eth1 type veth peer name peer
ip link set peer up
dbus-daemon --system --fork --nopidfile
NetworkManager
timeout 40 sh -c 'until nmcli -t -f DEVICE,STATE device | grep -qx eth1:connected; do sleep 0.2; done'
ip -4 route show default
END_OF_SCRIPT
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "the default routes" "default via 10.180.31.254 dev eth1 proto static metric 7 " \
    "$(unshare --net --mount --pid --uts --fork --kill-child chroot tree sh /start)"
exit "$failed"
