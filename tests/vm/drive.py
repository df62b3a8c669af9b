"""The config drive that the platform attaches: what cloud-init and rcnetd read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from rcnetd.lab.topology import (
    PUBLIC,
    PUBLIC_MAC,
    PUBLIC_ROUTER,
    SERVICENET,
    SERVICENET_MAC,
    SERVICENET_ROUTER,
)
from tests.boot.guest import DNS

SERVICENET_ID = "11111111-1111-1111-1111-111111111111"
PUBLICNET_ID = "00000000-0000-0000-0000-000000000000"
VENDOR_DATA = {
    "region": "DFW", "roles": ["rack_connect", "admin"], "provider": "Rackspace",
    "ip_whitelist": ["10.1.1.1"],
}  # fmt: skip
# OpenStack's form; Rackspace writes MACs in upper case, and no type.
NICS: list[dict[str, Any]] = [
    {"id": "tap59a9f0c7-1e", "type": None, "mtu": 1500, "ethernet_mac_address": PUBLIC_MAC.upper()},
    {"id": "tap0cf01405-9d", "type": None, "mtu": 1500,
     "ethernet_mac_address": SERVICENET_MAC.upper()},
]  # fmt: skip


def network_data(links: list[dict[str, Any]], public: str, servicenet: str) -> dict[str, Any]:
    """`network_data.json`: the server's two networks on these *links*."""
    routes = [
        {"network": net, "netmask": "255.240.0.0", "gateway": str(SERVICENET_ROUTER)}
        for net in ("10.176.0.0", "10.208.0.0")
    ]
    default = {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": str(PUBLIC_ROUTER)}
    return {
        "services": [{"type": "dns", "address": DNS}],
        "links": links,
        "networks": [
            {"id": "network0", "link": public, "type": "ipv4", "network_id": PUBLICNET_ID,
             "ip_address": str(PUBLIC.ip), "netmask": str(PUBLIC.netmask), "routes": [default]},
            {"id": "network1", "link": servicenet, "type": "ipv4", "network_id": SERVICENET_ID,
             "ip_address": str(SERVICENET.ip), "netmask": str(SERVICENET.netmask),
             "routes": routes},
        ],
    }  # fmt: skip


PLAIN = network_data(NICS, *(link["id"] for link in NICS))

# OnMetal's: the VLANs have MACs of their own.
SLAVES = ("a0:36:9f:2c:e8:84", "a0:36:9f:2c:e8:85")
PUBLIC_VLAN, SERVICENET_VLAN = 101, 401
ONMETAL = network_data(
    [
        *({"id": f"eth{number}", "type": "phy", "mtu": 1500, "ethernet_mac_address": mac}
          for number, mac in enumerate(SLAVES)),
        {"id": "bond0", "type": "bond", "bond_links": ["eth0", "eth1"], "bond_mode": "802.3ad",
         "bond_miimon": 100, "ethernet_mac_address": SLAVES[0]},
        {"id": "vlan0", "type": "vlan", "vlan_id": PUBLIC_VLAN, "vlan_link": "bond0",
         "vlan_mac_address": PUBLIC_MAC},
        {"id": "vlan1", "type": "vlan", "vlan_id": SERVICENET_VLAN, "vlan_link": "bond0",
         "vlan_mac_address": SERVICENET_MAC.upper()},
    ],
    "vlan0", "vlan1",
)  # fmt: skip


def make(place: Path, network: dict[str, Any] = PLAIN, user_data: str = "") -> Path:
    """Write the drive's image into *place*."""
    latest = place / "drive/openstack/latest"
    latest.mkdir(parents=True)
    content = {
        "meta_data": {"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "name": "server-1",
                      "hostname": "server-1", "availability_zone": "nova"},
        "network_data": network,
        "vendor_data": VENDOR_DATA,
    }  # fmt: skip
    for name, value in content.items():
        (latest / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    if user_data:
        (latest / "user_data").write_text(user_data, encoding="utf-8")
    image = place / "drive.iso"
    subprocess.run(
        ["genisoimage", "-quiet", "-J", "-R", "-V", "config-2", "-o", str(image),
         str(place / "drive")],
        check=True,
    )  # fmt: skip
    return image
