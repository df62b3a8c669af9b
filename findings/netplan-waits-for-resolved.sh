#!/bin/sh
# What has to be there for network-online.target, on a host with netplan and networkd.
#
# Versions: netplan 1.2.2 (Debian 1.2.2-3), systemd 262 (Debian 262.1-1).
# Guess:    networkd, and an address and a route on the links that are not optional.
# Seen:     name servers, too: netplan adds `--dns` to systemd-networkd-wait-online.service, also
#           where no definition names one. Only systemd-resolved can answer that; netplan only
#           suggests it. Without it the service ends at once with an error, at every boot, and
#           network-online.target, which only wants it, is reached without a wait.
# Matters:  a minimal server has a failed unit, and whatever needs the network starts too early.
# Needs root, mmdebstrap and util-linux. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=netplan.io=1.2.2-3,systemd=262.1-1 sid tree http://deb.debian.org/debian
cat >tree/etc/netplan/50-server.yaml <<'YAML'
network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      addresses: [203.0.113.10/24]
      routes: [{to: default, via: 203.0.113.1}]
YAML
chmod 600 tree/etc/netplan/50-server.yaml
cat >tree/start <<'END_OF_SCRIPT'
set -e
mount -t proc proc /proc
ip link add eth0 type veth peer name peer
mkdir -p /run/made /run/systemd/generator/network-online.target.wants
/usr/lib/systemd/system-generators/netplan /run/made /run/made /run/made
grep '^ExecStart=/' /run/made/systemd-networkd-wait-online.service.d/10-netplan.conf
$(sed -n 's/^ExecStart=\(.*--dns.*\)/\1/p' /run/made/systemd-networkd-wait-online.service.d/*) 2>&1 ||
    echo "exit code $?"
END_OF_SCRIPT
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "the unit, and its end" "ExecStart=/lib/systemd/systemd-networkd-wait-online -i eth0:degraded
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --dns -o routable -i eth0
Failed to connect to io.systemd.Resolve.Monitor: No such file or directory
Could not create manager: No such file or directory
exit code 1" \
    "$(unshare --net --mount --pid --uts --fork --kill-child chroot tree sh /start)"
exit "$failed"
