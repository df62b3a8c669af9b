"""What the platform says of this server, from what its sources hold. Pure; the texts are hostile.

Three sources, the better first, and the first that has a usable fact is believed, fact by fact:

    xenstore      vm-data/provider_data, vm-data/networking, vm-data/user-metadata (Xen servers)
    config drive  openstack/latest/vendor_data.json and network_data.json (also OnMetal)
    cloud-init    /run/cloud-init/instance-data.json

A captured config drive has the region "{}": a region counts only if it is one of the six codes.
ServiceNet is known by the addresses on it: labels are "only used for printing a comment" (says
Rackspace's own agent), and names differ (eth1, bond0.401).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from rcnetd.metadata.file import MAC, region

SERVICENET = (IPv4Network("10.176.0.0/12"), IPv4Network("10.208.0.0/12"))
ANYWHERE = IPv4Network("0.0.0.0/0")
FEATURE = "user-metadata/rackconnect_automation_feature_configure_network_stack"
STATUS = "user-metadata/rackconnect_automation_status"
MAX_ENTRIES = 64  # of any list: a server has a few links, routes and roles

Found = dict[str, Any]  # by the keys of `metadata.json`


def merge(sources: Iterable[tuple[str, Found]]) -> Found:
    """The content of `metadata.json`: each fact of the first source that has it, and which."""
    merged: Found = {}
    origins: dict[str, str] = {}
    for source, found in sources:
        for key, value in found.items():
            if value not in (None, "", []) and key not in merged:
                merged[key], origins[key] = value, source
    if "region" in merged:
        merged["region_source"] = origins["region"]
    return {"version": 1, **merged, "sources": origins}


def is_enough(found: Found) -> bool:
    """Whether a source has told all that matters: the others need not be asked."""
    return all(found.get(key) for key in ("region", "roles", "servicenet_mac"))


def from_xenstore(values: Mapping[str, str]) -> Found:
    """What xenstore says. *values* are by their path below `vm-data/`, as `xenstore-read` has them.

    A value is text or JSON: `dfw`, `"DEPLOYED"` with its quotes, `["rack_connect"]`.
    """
    networks = [_xen_network(key, _json(text)) for key, text in values.items()]
    return {
        "region": region(_word(values.get("provider_data/region")) or ""),
        "roles": _roles(_json(values.get("provider_data/roles"))),
        "configure_network_stack": _word(values.get(FEATURE)),
        "automation_status": _word(values.get(STATUS)),
        **_links([network for network in networks if network is not None]),
    }


def from_config_drive(vendor_data: str | None, network_data: str | None = None) -> Found:
    """What a config drive says; both texts are JSON, None where the file is not there."""
    vendor = _object(_json(vendor_data))
    network = _object(_json(network_data)) or _object(vendor.get("network_info"))
    return {
        "region": region(_text(vendor.get("region"))),
        "roles": _roles(vendor.get("roles")),
        **_links(list(_openstack_networks(network))),
    }


def from_cloud_init(instance_data: str | None) -> Found:
    """What cloud-init has kept of its datasource (`instance-data.json`)."""
    content = _object(_json(instance_data))
    datasource = _object(content.get("ds"))
    found: list[tuple[str, Found]] = []
    for key in ("vendor_data", "vendordata", "meta_data"):
        inner = _object(datasource.get(key))
        found.append((key, from_config_drive(json.dumps(inner))))
    for key in ("network_json", "networkdata", "network_data"):
        found.append((key, _links(list(_openstack_networks(_object(datasource.get(key)))))))
    found.append(("v1", {"region": region(_text(_object(content.get("v1")).get("region")))}))
    merged = merge(found)
    for key in ("version", "sources", "region_source"):
        merged.pop(key, None)
    return merged


class _Network:
    """One network of this server: its MAC, its addresses, its routes as (network, router)."""

    def __init__(self, mac: object, addresses: list[Any], routes: list[tuple[Any, Any]]) -> None:
        text = _text(mac).lower()
        self.mac = text if MAC.fullmatch(text) else None
        self.addresses = [entry for entry in map(_address, addresses) if entry is not None]
        self.routes = [
            (network, router)
            for network, router in routes
            if isinstance(network, IPv4Network) and isinstance(router, IPv4Address)
        ]

    @property
    def is_servicenet(self) -> bool:
        return any(address in network for address in self.addresses for network in SERVICENET)

    @property
    def first_address(self) -> str | None:
        return str(self.addresses[0]) if self.addresses else None

    @property
    def is_public(self) -> bool:
        return any(network == ANYWHERE for network, _ in self.routes)

    @property
    def servicenet_router(self) -> IPv4Address | None:
        """The router of the two static routes; it is not the RackConnect gateway."""
        inside = [router for network, router in self.routes if _is_inside(network)]
        return inside[0] if inside else None


def _is_inside(network: IPv4Network) -> bool:
    return network != ANYWHERE and any(network.subnet_of(whole) for whole in SERVICENET)


def _links(networks: list[_Network]) -> Found:
    private = next((network for network in networks if network.is_servicenet), None)
    public = next(
        (network for network in networks if network.is_public and not network.is_servicenet), None
    )
    router = private.servicenet_router if private else None
    return {
        "servicenet_mac": private.mac if private else None,
        "servicenet_address": private.first_address if private else None,
        "servicenet_router": str(router) if router else None,
        "public_mac": public.mac if public else None,
        "public_address": public.first_address if public else None,
    }


def _xen_network(key: str, entry: Any) -> _Network | None:
    if not key.startswith("networking/") or not isinstance(entry, dict):
        return None
    ips = [address for address in _objects(entry.get("ips")) if address.get("enabled") != "0"]
    routes = [
        (_network(route.get("route"), route.get("netmask")), _address(route.get("gateway")))
        for route in _objects(entry.get("routes"))
    ]
    gateways = [entry.get("gateway"), *(address.get("gateway") for address in ips)]
    routes += [(ANYWHERE, _address(gateway)) for gateway in gateways]
    return _Network(entry.get("mac"), [address.get("ip") for address in ips], routes)


def _openstack_networks(data: Mapping[str, Any]) -> Iterator[_Network]:
    """The networks of `network_data.json`: OpenStack's, with links of their own."""
    macs = {
        _text(link.get("id")): link.get("vlan_mac_address") or link.get("ethernet_mac_address")
        for link in _objects(data.get("links"))
    }
    for entry in _objects(data.get("networks")):
        routes = [
            (_network(route.get("network"), route.get("netmask")), _address(route.get("gateway")))
            for route in _objects(entry.get("routes"))
        ]
        mac = macs.get(_text(entry.get("link")))
        yield _Network(mac, [entry.get("ip_address")], routes)


def _json(text: str | None) -> Any:
    """*text* as JSON; None where it is none."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def _word(text: str | None) -> str | None:
    """A value of xenstore as a word, with or without JSON's quotes."""
    if text is None:
        return None
    value = _json(text)
    word = (value if isinstance(value, str) else text).strip()
    return word if word.isprintable() and 0 < len(word) <= 80 else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    entries = value[:MAX_ENTRIES] if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _roles(value: Any) -> list[str]:
    entries = value[:MAX_ENTRIES] if isinstance(value, list) else []
    return [role for role in entries if isinstance(role, str) and len(role) <= 80]


def _address(value: Any) -> IPv4Address | None:
    try:
        return IPv4Address(value) if isinstance(value, str) else None
    except AddressValueError:
        return None


def _network(address: Any, netmask: Any) -> IPv4Network | None:
    try:
        return IPv4Network(f"{_text(address)}/{_text(netmask)}", strict=False)
    except ValueError:
        return None
