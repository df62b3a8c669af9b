"""What platforms have kept for servers: payloads as they were seen, with other addresses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

PRIVATE_MAC, PUBLIC_MAC = "BC:76:4E:20:6C:5B", "BC:76:4E:20:6C:5A"
PRIVATE: dict[str, Any] = {
    "label": "private", "broadcast": "10.208.255.255",
    "ips": [{"ip": "10.208.227.239", "netmask": "255.255.224.0", "enabled": "1", "gateway": None}],
    "mac": PRIVATE_MAC,
    "routes": [
        {"route": "10.208.0.0", "netmask": "255.240.0.0", "gateway": "10.208.224.1"},
        {"route": "10.176.0.0", "netmask": "255.240.0.0", "gateway": "10.208.224.1"},
    ],
    "gateway": None,
}  # fmt: skip
PUBLIC: dict[str, Any] = {
    "label": "public", "broadcast": "203.0.113.255",
    "ips": [{"ip": "203.0.113.10", "netmask": "255.255.255.0", "enabled": "1",
             "gateway": "203.0.113.1"}],
    "ip6s": [{"ip": "2001:db8::10", "netmask": 64, "enabled": "1", "gateway": "fe80::def"}],
    "mac": PUBLIC_MAC, "gateway": "203.0.113.1", "gateway_v6": "fe80::def",
    "dns": ["69.20.0.164", "69.20.0.196"],
}  # fmt: skip
CLOUD_NETWORK: dict[str, Any] = {
    "label": "backend", "mac": "BC:76:4E:20:6C:5C", "gateway": None,
    "ips": [{"ip": "192.168.3.4", "netmask": "255.255.255.0", "enabled": "1", "gateway": None}],
}  # fmt: skip

# By their path below vm-data/, as `xenstore-read` prints them.
XEN = {
    "provider_data/region": "dfw\n",
    "provider_data/roles": '["rack_connect", "identity:user-admin", "rax_managed", "admin"]\n',
    "user-metadata/rackconnect_automation_feature_configure_network_stack": '"ENABLED"\n',
    "user-metadata/rackconnect_automation_status": '"DEPLOYED"\n',
    "networking/BC764E206C5A": json.dumps(PUBLIC) + "\n",
    "networking/BC764E206C5B": json.dumps(PRIVATE) + "\n",
    "networking/BC764E206C5C": json.dumps(CLOUD_NETWORK) + "\n",
}
XEN_FACTS = {
    "region": "dfw",
    "roles": ["rack_connect", "identity:user-admin", "rax_managed", "admin"],
    "configure_network_stack": "ENABLED",
    "automation_status": "DEPLOYED",
    "servicenet_mac": PRIVATE_MAC.lower(),
    "servicenet_address": "10.208.227.239",
    "servicenet_router": "10.208.224.1",
    "public_mac": PUBLIC_MAC.lower(),
    "public_address": "203.0.113.10",
}

SERVICENET_ID = "11111111-1111-1111-1111-111111111111"
PUBLICNET_ID = "00000000-0000-0000-0000-000000000000"


def networks(public: str, private: str) -> list[dict[str, Any]]:
    """The networks of `network_data.json`, on these links."""
    return [
        {"network_id": PUBLICNET_ID, "type": "ipv4", "netmask": "255.255.255.0", "link": public,
         "routes": [{"netmask": "0.0.0.0", "network": "0.0.0.0", "gateway": "203.0.113.1"}],
         "ip_address": "203.0.113.10", "id": "network0"},
        {"network_id": PUBLICNET_ID, "type": "ipv6", "netmask": "ffff:ffff:ffff:ffff::",
         "link": public, "ip_address": "2001:db8::10", "id": "network1",
         "routes": [{"netmask": "::", "network": "::", "gateway": "fe80::def"},
                    {"netmask": "ffff:ffff:ffff::", "network": "fd30::", "gateway": "fe80::f001"}]},
        {"network_id": SERVICENET_ID, "type": "ipv4", "netmask": "255.255.224.0", "link": private,
         "routes": [
             {"netmask": "255.240.0.0", "network": "10.176.0.0", "gateway": "10.210.32.1"},
             {"netmask": "255.240.0.0", "network": "10.208.0.0", "gateway": "10.210.32.1"}],
         "ip_address": "10.210.32.174", "id": "network2"},
    ]  # fmt: skip


# A captured config drive of a Xen server: its region is junk.
NETWORK_INFO: dict[str, Any] = {
    "services": [{"type": "dns", "address": "69.20.0.164"}],
    "networks": networks("tap59a9f0c7-1e", "tap0cf01405-9d"),
    "links": [
        {"ethernet_mac_address": PUBLIC_MAC, "id": "tap59a9f0c7-1e", "mtu": 1500, "type": None},
        {"ethernet_mac_address": PRIVATE_MAC, "id": "tap0cf01405-9d", "mtu": 1500, "type": None},
    ],
}
VENDOR_DATA: dict[str, Any] = {
    "network_info": NETWORK_INFO, "region": "{}", "ip_whitelist": ["10.1.1.1"],
    "roles": ["rack_connect"], "provider": "Rackspace",
}  # fmt: skip
DRIVE_FACTS = {
    "region": None,
    "roles": ["rack_connect"],
    "servicenet_mac": PRIVATE_MAC.lower(),
    "servicenet_address": "10.210.32.174",
    "servicenet_router": "10.210.32.1",
    "public_mac": PUBLIC_MAC.lower(),
    "public_address": "203.0.113.10",
}

# OnMetal: a bond with a VLAN for each network.
ONMETAL: dict[str, Any] = {
    "networks": networks("vlan0", "vlan1"),
    "links": [
        {"id": "eth0", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:84"},
        {"id": "eth1", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:85"},
        {"id": "bond0", "type": "bond", "bond_links": ["eth0", "eth1"], "bond_mode": "802.3ad",
         "ethernet_mac_address": "a0:36:9f:2c:e8:84"},
        {"id": "vlan0", "type": "vlan", "vlan_id": 101, "vlan_link": "bond0",
         "vlan_mac_address": "fa:16:3e:b3:72:30"},
        {"id": "vlan1", "type": "vlan", "vlan_id": 401, "vlan_link": "bond0",
         "vlan_mac_address": "FA:16:3E:66:AB:A6"},
    ],
}  # fmt: skip
CLOUD_INIT: dict[str, Any] = {
    "base64_encoded_keys": [], "v1": {"cloud_name": "openstack", "region": "ORD"},
    "ds": {"meta_data": {"availability_zone": "nova"}, "vendordata": VENDOR_DATA},
}  # fmt: skip


READ = """\
#!/bin/sh
file=$(dirname "$0")/values/$(echo "${1#vm-data/}" | tr / ,)
[ -e "$file" ] || { echo "xenstore-read: couldn't read path $1" >&2; exit 1; }
cat "$file"
"""
LIST = "#!/bin/sh\necho BC764E206C5A; echo BC764E206C5B; echo BC764E206C5C\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A server's tree: a Xen guest's devices, nothing mounted."""
    (tmp_path / "root/dev/xen").mkdir(parents=True)
    (tmp_path / "root/dev/xen/xenbus").touch()
    return tmp_path / "root"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory of commands that is looked at, but for the shell's own."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("sh", "cat", "tr", "dirname", "echo", "sleep"):
        (path / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(path))
    return path


def command(path: Path, name: str, text: str) -> None:
    """Make a command."""
    (path / name).write_text(text)
    (path / name).chmod(0o755)


@pytest.fixture
def xenstore(commands: Path) -> Path:
    """xenstore's two commands, with the values of a real server."""
    command(commands, "xenstore-list", LIST)
    command(commands, "xenstore-read", READ)
    (commands / "values").mkdir()
    for key, text in XEN.items():
        (commands / "values" / key.replace("/", ",")).write_text(text)
    return commands
