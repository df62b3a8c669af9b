"""A definition of netplan's: which links it is for, and the default routes that it has.

The ways to an IPv4 default route, each with the tree in tests/golden/netplan that has it:

    gateway4                                                     cloud-init-gateway4
    routes, `to` default or a prefix of length 0                 cloud-init, any-zero-prefix
      through `via`, also with on-link, or on the link itself    onlink, ways
      with a `type` that refuses or discards                     unreachable
      in `table` 254, 255 or 0 (main)                            ways
    dhcp4, unless dhcp4-overrides has use-routes: false          dhcp
    any of these in a definition of any section                  bond-and-vlans, public-bridge
    any of these in several files, or twice in one               several-files, documents

Not default routes of table main: those in any other table, and those without a table on a member of
a VRF. A routing-policy can divert traffic past all default routes; rcnetd reports that while it
runs, and does not edit it. netplan gives a WireGuard peer's allowed-ips no routes with networkd.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from typing import NamedTuple

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.model import DefaultRoute, HostLink
from rcnetd.hostconfig.renderers.rendering import (
    LOCAL_TYPES,
    address,
    require_editable,
    zero_prefix_version,
)
from rcnetd.hostconfig.renderers.yaml_edits import YamlDocument
from rcnetd.hostconfig.renderers.yaml_reader import Node, get, items, pairs, text, values

DHCP_METRIC = 100  # netplan's for a default by DHCP
PHYSICAL = ("ethernets", "wifis", "modems", "nm-devices")
VIRTUAL = (
    "bonds", "bridges", "vlans", "tunnels", "vrfs", "dummy-devices", "virtual-ethernets",
)  # fmt: skip
SECTIONS = (*PHYSICAL, *VIRTUAL)
NETWORKD = "networkd"
_TRUE = ("true", "on", "yes", "y")  # netplan's, in any case
_MAIN, _LOCAL = (None, 0, 254), 255


class Place(NamedTuple):
    """A pair, or an item, that can be removed; *value* is its value."""

    document: YamlDocument
    parent: Node
    position: int
    value: Node

    @property
    def where(self) -> str:
        """`path:line`."""
        return self.document.where(self.value)

    def remove(self) -> None:
        """Remove it. Refused in files that are not for an administrator to edit."""
        require_editable(self.where, "/etc/netplan")
        self.document.remove(self.parent, self.position)


class StaticDefault(NamedTuple):
    """A default route in a file."""

    version: int
    place: Place
    gateway: IPv4Address | None = None
    metric: int = 0
    leads_nowhere: bool = False
    in_routes: bool = True


@dataclass
class Definition:
    """What all files together say about one link, or about several."""

    section: str
    name: str
    parts: list[Place] = field(default_factory=list)
    renderer: str = NETWORKD
    in_vrf: bool = False

    @property
    def where(self) -> str:
        """`path:line` of its beginning."""
        return self.parts[0].where

    @property
    def file_name(self) -> str:
        """The file for networkd that netplan makes of it."""
        return f"10-netplan-{self.name}.network"

    @property
    def link(self) -> str:
        """What it calls its link: a name, a pattern, or a MAC address."""
        match = self.text("match", "name") or self.text("match", "macaddress")
        return self.text("set-name") or (match or self.name).lower()

    def paths(self, *keys: str) -> Iterator[Place]:
        """Return the pairs at a path of keys, in all files."""
        for part in self.parts:
            for parent in values(part.value, *keys[:-1]):
                for position, key, value in pairs(parent):
                    if key == keys[-1]:
                        yield Place(part.document, parent, position, value)

    def items(self, *keys: str) -> Iterator[Place]:
        """Return the items of the sequences at a path of keys, in all files."""
        for place in self.paths(*keys):
            for position, item in items(place.value):
                yield Place(place.document, place.value, position, item)

    def text(self, *keys: str) -> str | None:
        """Return the scalar at a path of keys: the last one counts."""
        found: str | None = None
        for place in self.paths(*keys):
            found = text(place.value)
        return found

    def is_true(self, *keys: str) -> bool:
        """Whether a switch is on."""
        return (self.text(*keys) or "").lower() in _TRUE

    def fits(self, link: HostLink, *, virtual: bool) -> bool:
        """Whether it may configure *link*. A match by driver is taken to fit."""
        if self.section in VIRTUAL or not any(self.paths("match")):
            return self.name == link.name
        if virtual and self.renderer != NETWORKD:
            return False  # NetworkManager's profile is for Ethernet
        mac, name = self.text("match", "macaddress"), self.text("match", "name")
        if mac is not None and (virtual or mac.lower() != link.mac):
            return False
        name = self.text("set-name") or name
        if name is not None:
            return fnmatchcase(link.name, name)
        # networkd ignores a file whose [Match] is empty; NetworkManager takes it for any link.
        return mac is not None or any(self.paths("match", "driver")) or self.renderer != NETWORKD

    @property
    def uses_dhcp(self) -> bool:
        """Whether a default route by DHCP may come."""
        uses_routes = self.text("dhcp4-overrides", "use-routes")
        return self.is_true("dhcp4") and (uses_routes is None or uses_routes.lower() in _TRUE)

    @property
    def dhcp_metric(self) -> int:
        """The metric of that route."""
        metric = _number(self.text("dhcp4-overrides", "route-metric"))
        return DHCP_METRIC if metric is None else metric

    def static_defaults(self, version: int) -> Iterator[StaticDefault]:
        """Return the default routes that the files have."""
        for place in self.paths(f"gateway{version}"):
            if not self.in_vrf:
                yield StaticDefault(version, place, _v4(place.value), in_routes=False)
        for place in self.items("routes"):
            if _route_version(place.value) == version:
                yield from self._route(place, version)

    def defaults(self) -> Iterator[DefaultRoute]:
        """Return the IPv4 default routes, those by DHCP included."""
        for one in self.static_defaults(4):
            yield DefaultRoute(self.link, one.gateway, one.metric, one.place.document.path)
        if self.uses_dhcp and not self.in_vrf:
            path = self.parts[0].document.path
            yield DefaultRoute(self.link, None, self.dhcp_metric, path)

    def _route(self, place: Place, version: int) -> Iterator[StaticDefault]:
        said = {key: text(get(place.value, key)) for key in ("type", "table", "metric")}
        kind, table, metric = said["type"] or "unicast", said["table"], _number(said["metric"])
        is_local = _number(table) == _LOCAL or (table is None and kind in LOCAL_TYPES)
        is_main = not self.in_vrf if table is None else _number(table) in _MAIN
        if is_local or is_main:
            gateway = _v4(get(place.value, "via"))
            metric = 0 if is_local or metric is None else metric
            yield StaticDefault(version, place, gateway, metric, kind != "unicast")


def _route_version(route: Node) -> int | None:
    """Return the IP version of a default route, None for any other route."""
    to, via = text(get(route, "to")) or "", text(get(route, "via")) or ""
    if to == "default":
        return 6 if ":" in via else 4
    return zero_prefix_version(to)


def _v4(node: Node) -> IPv4Address | None:
    found = address(text(node))
    return found if isinstance(found, IPv4Address) else None


def _number(said: str | None) -> int | None:
    return int(said) if said and said.isascii() and said.isdecimal() else None
