"""netplan's files as netplan reads them (netplan-yaml(5), parse.c).

The files in /lib, /etc and /run/netplan are read in the order of their names; of files with the
same name the one in /run counts, then /etc. Definitions are merged: a later scalar replaces, a
mapping is merged, and a sequence is appended to; the same holds for a key that is in one file
twice. A file that is not valid YAML is skipped here, as netplan 1.2 does at boot; older versions
then render nothing, which the check by netplan itself finds out.

A definition becomes `10-netplan-ID.network` or a profile of NetworkManager's. Where several match a
link, networkd uses the one that sorts first, and NetworkManager may use any.

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

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from posixpath import basename, dirname
from typing import NamedTuple

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, HostLink
from rcnetd.hostconfig.renderers.rendering import (
    LOCAL_TYPES,
    VIRTUAL_KINDS,
    address,
    require_editable,
    zero_prefix_version,
)
from rcnetd.hostconfig.renderers.yaml_edits import YamlDocument
from rcnetd.hostconfig.renderers.yaml_reader import Node, get, items, pairs, text, values

DIRECTORIES = ("/lib/netplan", "/etc/netplan", "/run/netplan")  # the last one counts
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


@dataclass
class Configuration:
    """All files, merged."""

    definitions: dict[tuple[str, str], Definition] = field(default_factory=dict)
    documents: list[YamlDocument] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def matching(self, link: HostLink) -> list[Definition]:
        """Return the definitions that match a link, the first for networkd first."""
        virtual = link.kind in VIRTUAL_KINDS or any(
            section in VIRTUAL and name == link.name for section, name in self.definitions
        )
        found = [one for one in self.definitions.values() if one.fits(link, virtual=virtual)]
        return sorted(found, key=lambda one: one.file_name)

    def of(self, link: HostLink) -> list[Definition]:
        """Return the definitions that the backend uses for a link: of several it may use any."""
        found = self.matching(link)
        return found[:1] if all(one.renderer == NETWORKD for one in found) else found

    def defaults(self, links: Sequence[HostLink]) -> Iterator[DefaultRoute]:
        """Return the default routes that *links* get, and those for links that are not among them.

        A definition that matches a link but is not used for any is left out.
        """
        used = [(link.name, one) for link in links for one in self.of(link)]
        matching = [one for link in links for one in self.matching(link)]
        for definition in self.definitions.values():
            names = [name for name, one in used if one is definition]
            if not names and any(one is definition for one in matching):
                continue
            for default in definition.defaults():
                for name in names or [default.link]:
                    yield DefaultRoute(name, default.gateway, default.metric, default.path)


def read(found: Mapping[str, Document]) -> Configuration:
    """Merge the files."""
    by_name = {
        basename(path): found[path]
        for directory in DIRECTORIES
        for path in sorted(found)
        if dirname(path) == directory
    }
    result = Configuration()
    renderers: dict[str, str] = {}
    for _, document in sorted(by_name.items()):
        try:
            parsed = YamlDocument(document)
        except CannotPersist as error:
            result.damaged.append(str(error))
            continue
        result.documents.append(parsed)
        for network in values(parsed.root, "network"):
            _merge(result, renderers, parsed, network)
    _resolve(result, renderers)
    return result


def _merge(
    result: Configuration, renderers: dict[str, str], document: YamlDocument, network: Node
) -> None:
    for _, section, value in pairs(network):
        if section == "renderer":
            renderers[""] = text(value) or ""
        for position, name, node in pairs(value) if section in SECTIONS else ():
            if name == "renderer":
                renderers[section] = text(node) or ""
                continue
            key = (section, name)
            definition = result.definitions.setdefault(key, Definition(section, name))
            definition.parts.append(Place(document, value, position, node))


def _resolve(result: Configuration, renderers: Mapping[str, str]) -> None:
    """Find out what of a definition another part of the files says."""
    members = {
        text(place.value)
        for one in result.definitions.values()
        if one.section == "vrfs"
        for place in one.items("interfaces")
    }
    for one in result.definitions.values():
        common = renderers.get(one.section) or renderers.get("") or NETWORKD
        one.renderer = one.text("renderer") or common
        one.in_vrf = one.name in members or one.section == "vrfs"
