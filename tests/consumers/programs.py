"""The programs that read what is rendered, each started as at a boot.

To add one: a function from the files and the release's root to a boot script, and a row in
`CONSUMERS`.
"""

from __future__ import annotations

import os

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.model import File, Tree
from tests.boot.trees import RELEASES

EVERYTHING = os.environ.get("RCNETD_CONSUMERS") == "all"

# Directories are its unit's work, and udev, which is not here, has seen the links. Of what veth
# links lack: their MACs stand for permanent ones, and they for bonds and VLANs of their names.
NETWORKD = """\
mkdir -p /run/udev/data /run/systemd/network /usr/lib/systemd/network
for link in /sys/class/net/*; do
    echo I:1 >/run/udev/data/n$(cat $link/ifindex)
done
find /etc/systemd/network /usr/lib/systemd/network /run/systemd/network -type f -name '*.net*' \
    -o -path '*.network.d/*.conf' >/run/units
sed -i 's/^PermanentMACAddress=/MACAddress=/' $(cat /run/units)
rm -f /run/systemd/network/*.netdev
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network:systemd-network /run/systemd/netif
/lib/systemd/systemd-networkd &
/lib/systemd/systemd-networkd-wait-online --timeout 10 || echo "some links have failed"
"""
NETWORK_MANAGER = """\
mkdir -p /run/dbus
dbus-daemon --system --fork --nopidfile
NetworkManager
nm-online --quiet --wait-for-startup --timeout 40
while nmcli --terse --fields STATE device | grep -q "^connecting"; do
    sleep 0.1
done
"""
IFUPDOWN = """\
mkdir -p /run/network
ifquery --list -a >/dev/null
ifup -a || echo "some links have failed"
ifup -a --allow=hotplug || echo "some links have failed"
"""
IFUPDOWN2 = """\
mkdir -p /run/network
ifup -a || echo "some links have failed"
links=$(ifquery --list --allow=hotplug) || true
[ -z "$links" ] || ifup $links || echo "some links have failed"
ip -4 address | grep -q " 10.180.1.2/" || { echo "ServiceNet's link is not configured"; exit 1; }
"""
# As systemd calls it: it minds less what is wrong then.
NETPLAN = """\
mkdir -p /run/generator
/lib/systemd/system-generators/netplan /run/generator /run/generator /run/generator
"""
SETTLE = """\
touch /run/settled
exec sleep infinity
"""
# A container has no udev to say that its veth links are to be managed.
MANAGED = (
    b"[device-lab]\nmatch-device=type:ethernet,type:veth\nmanaged=1\n[main]\nplugins=keyfile\n"
)
BY_NETWORK_MANAGER = b"network: {version: 2, renderer: NetworkManager}\n"


@dataclass(frozen=True)
class Consumer:
    """A program: whose trees it reads, by which script.

    *files* are on its disk besides, *before* in each tree already before it is rendered. Of its
    *releases* those in *rarely* are judged only where `RCNETD_CONSUMERS` is `all`.
    """

    name: str
    renderer: str
    script: str
    files: tuple[tuple[str, File], ...] = ()
    before: tuple[tuple[str, File], ...] = ()
    releases: tuple[str, ...] = RELEASES
    rarely: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[str, ...]:
        """The releases that this run has to judge."""
        return tuple(one for one in self.releases if EVERYTHING or one not in self.rarely)

    def boot_script(self) -> str:
        """What the server's first process does."""
        return f"set -e\n{self.script}{SETTLE}"

    def tree(self, files: Tree) -> Tree:
        """A tree of the repository with the modes that it stands for."""
        return {**{path: File(file.data, _mode(path)) for path, file in files.items()},
                **dict(self.before)}  # fmt: skip

    def disk(self, tree: Tree) -> Tree:
        """The files of a tree, and those of its own."""
        return {**tree, **dict(self.files)}


def _mode(path: str) -> int:
    """A repository keeps no modes; netplan and NetworkManager mind those of secrets."""
    return 0o600 if "/netplan/" in path or "/system-connections/" in path else 0o644


_MANAGED = ("/etc/NetworkManager/conf.d/lab.conf", File(MANAGED))
CONSUMERS = (
    Consumer("networkd", "networkd", NETWORKD),
    Consumer("netplan-networkd", "netplan", NETPLAN + NETWORKD),
    Consumer("ifupdown", "ifupdown", IFUPDOWN),
    Consumer(
        "ifupdown2", "ifupdown", IFUPDOWN2,
        releases=RELEASES[1:] or RELEASES, rarely=RELEASES[1:],
    ),
    Consumer("network-manager", "network_manager", NETWORK_MANAGER, (_MANAGED,),
             rarely=("bullseye", "bookworm")),
    Consumer(
        "netplan-network-manager", "netplan", NETPLAN + NETWORK_MANAGER,
        (_MANAGED,), (("/etc/netplan/00-lab.yaml", File(BY_NETWORK_MANAGER, 0o600)),),
        RELEASES[-1:],
    ),
)  # fmt: skip
