"""What the platform tells a writer of a server's links, as Rackspace's config drive has it.

The forms are those of real servers: types that are null, MACs in upper case, ServiceNet's two
networks as routes. The addresses are made up.
"""

from __future__ import annotations

from typing import Any

from tests.support.trees import PUBLIC, SERVICENET

LINKS = (("tap1", PUBLIC.mac), ("tap2", SERVICENET.mac), ("tap3", "bc:76:4e:20:6c:5c"))
PUBLIC_NET, SERVICE_NET = (
    "00000000-0000-0000-0000-000000000000",
    "1" * 8 + "-1111-1111-1111-" + "1" * 12,
)
NETWORKS: tuple[dict[str, Any], ...] = (
    {"link": "tap1", "type": "ipv4", "network_id": PUBLIC_NET,
     "ip_address": "203.0.113.10", "netmask": "255.255.255.0",
     "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "203.0.113.1"}]},
    {"link": "tap2", "type": "ipv4", "network_id": SERVICE_NET,
     "ip_address": "10.180.1.2", "netmask": "255.255.224.0",
     "routes": [{"network": network, "netmask": "255.240.0.0", "gateway": "10.180.0.1"}
                for network in ("10.176.0.0", "10.208.0.0")]},
    {"link": "tap3", "type": "ipv4", "network_id": "2a4f1e3c-0d6b-4a57-9c1e-5f6f7a8b9c0d",
     "ip_address": "192.168.3.3", "netmask": "255.255.255.0", "routes": []},
)  # fmt: skip


def network_data(links: int) -> dict[str, Any]:
    """The network_data.json of a server with so many links: public, ServiceNet, a Cloud Network."""
    return {
        "services": [{"type": "dns", "address": "203.0.113.53"}],
        "links": [{"id": name, "vif_id": name, "type": None, "mtu": 1500,
                   "ethernet_mac_address": (mac or "").upper()} for name, mac in LINKS[:links]],
        "networks": [{"id": f"network{number}", **network}
                     for number, network in enumerate(NETWORKS[:links])],
    }  # fmt: skip


def macs(links: int) -> dict[str, str]:
    """The names that the kernel has given to the links, and their MACs."""
    return {f"eth{number}": mac or "" for number, (_, mac) in enumerate(LINKS[:links])}
