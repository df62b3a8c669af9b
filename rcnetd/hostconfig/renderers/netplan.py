"""netplan: YAML in /lib, /etc and /run/netplan, read by name; of equal names the last place counts.

What its parser does (netplan(5), parse.c): a definition may be in several files; in the later ones
a scalar replaces, a mapping is merged, and a sequence is appended to. So nothing that one file
says of routes can be taken back by another: competing defaults go by marked edits where they are,
and all else is in our own file, which is read last: nova-agent's `rackspace-cloud.yaml` sorts after
any number. The default route is written as `0.0.0.0/0`: Debian 11's netplan knows no `default`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from posixpath import basename, dirname
from typing import Any, NamedTuple

import yaml

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.marked_edits import HEADER, Document, applied, changes, documents
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Change,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.yaml_edits import Node, YamlDocument, get, items, pairs, text

DIRECTORIES = ("/lib/netplan", "/etc/netplan", "/run/netplan")  # the last one counts
PATTERNS = tuple(f"{directory}/*.yaml" for directory in DIRECTORIES)
OWN = "/etc/netplan/zz-rcnetd.yaml"
MODE = 0o600  # it may hold secrets, and netplan warns of anything else
LOSING = 1024  # the metric of a default route by DHCP that would win
DHCP_METRIC = 100  # networkd's and netplan's for a default by DHCP
# Definitions that are links with addresses; `vrfs` have routes of other tables.
SECTIONS = (
    "ethernets", "bonds", "bridges", "vlans", "tunnels", "wifis", "modems", "dummy-devices",
    "virtual-ethernets", "nm-devices",
)  # fmt: skip
_TRUE = ("true", "on", "yes", "y")  # netplan's, in any case
_ANY4, _ANY6 = ("0.0.0.0/0", "0/0"), ("::/0", "::0/0")
_MAIN = (None, "254")


class Part(NamedTuple):
    """What one file says of a definition."""

    document: YamlDocument
    node: Node


class Place(NamedTuple):
    """A pair, or an item, that can be removed; *value* is what it says."""

    document: YamlDocument
    parent: Node
    position: int
    value: Node

    @property
    def where(self) -> str:
        """`path:line`."""
        return self.document.where(self.value)

    def remove(self) -> None:
        """Have it go. Refused in files that are not ours to edit."""
        place = dirname(self.document.path)
        if place == "/run/netplan":
            raise CannotPersist(
                f"{self.where}: is made anew at each boot; configure it in /etc/netplan"
            )
        if place == "/lib/netplan":
            raise CannotPersist(
                f"{self.where}: is a package's; copy it to /etc/netplan, to be changed"
            )
        self.document.remove(self.parent, self.position)


@dataclass
class Definition:
    """One link, or several, as all files together say."""

    section: str
    name: str
    parts: list[Part] = field(default_factory=list)
    renderer: str = "networkd"

    def paths(self, *keys: str) -> Iterator[Place]:
        """The pairs at a path of keys, in all files."""
        for document, node in self.parts:
            parent = get(node, *keys[:-1])
            for position, key, value in pairs(parent):
                if key == keys[-1] and parent is not None:
                    yield Place(document, parent, position, value)

    def items(self, *keys: str) -> Iterator[Place]:
        """The items of the sequences at a path of keys, in all files."""
        for place in self.paths(*keys):
            for position, item in items(place.value):
                yield Place(place.document, place.value, position, item)

    def text(self, *keys: str) -> str | None:
        """The scalar at a path of keys: what the last file says."""
        said: str | None = None
        for place in self.paths(*keys):
            said = text(place.value)
        return said

    def is_true(self, *keys: str) -> bool:
        """Whether a switch is on."""
        return (self.text(*keys) or "").lower() in _TRUE

    def matches(self, nic: HostLink) -> bool:
        """Whether it configures this link."""
        if not any(self.paths("match")):
            return self.name == nic.name
        mac, name = self.text("match", "macaddress"), self.text("match", "name")
        renamed = self.text("set-name")
        if mac is not None:
            return mac.lower() == nic.mac
        if renamed is not None and renamed == nic.name:
            return True
        if name is not None:
            return fnmatchcase(nic.name, name)
        return True  # by driver alone, or all: nobody here can tell; it is taken to match


@dataclass
class Configuration:
    """All files, merged."""

    definitions: dict[tuple[str, str], Definition] = field(default_factory=dict)
    documents: list[YamlDocument] = field(default_factory=list)

    def of(self, nic: HostLink) -> Definition:
        """The definition that configures this link; refused if there is none."""
        found = self.all_of(nic)
        if not found:
            raise CannotPersist(
                f"/etc/netplan: nothing configures {nic.name}; it needs a definition there"
            )
        return found[0]

    def all_of(self, nic: HostLink) -> list[Definition]:
        """The definitions that match this link. networkd takes the one whose file sorts first."""
        found = [one for one in self.definitions.values() if one.matches(nic)]
        found.sort(key=lambda one: f"10-netplan-{one.name}.network")
        if len(found) > 1 and any(one.renderer != "networkd" for one in found):
            names = " and ".join(repr(one.name) for one in found)
            raise CannotPersist(f"{_where(found[0])}: {names} both match {nic.name}; leave one")
        return found[:1]


def read(found: Mapping[str, Document]) -> Configuration:
    """Merge the files. Refused: one that is not YAML."""
    by_name = {
        basename(path): found[path]
        for directory in DIRECTORIES
        for path in sorted(found)
        if dirname(path) == directory
    }
    result = Configuration()
    backend: dict[str, str] = {}
    for _, document in sorted(by_name.items()):
        parsed = YamlDocument(document)
        result.documents.append(parsed)
        network = get(parsed.root, "network")
        backend[""] = text(get(network, "renderer")) or backend.get("", "networkd")
        for _, section, value in pairs(network):
            if section not in SECTIONS:
                continue
            backend[section] = text(get(value, "renderer")) or backend.get(section, "")
            for _, name, node in pairs(value):
                if name != "renderer":
                    key = (section, name)
                    definition = result.definitions.setdefault(key, Definition(section, name))
                    definition.parts.append(Part(parsed, node))
    for definition in result.definitions.values():
        definition.renderer = (
            definition.text("renderer") or backend[definition.section] or backend[""]
        )
    return result


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make netplan's backends come up as *target* says."""
    kept = documents({path: file for path, file in tree.items() if path != OWN})
    rendering = _Rendering(read(kept), target)
    rendering.run()
    own = {OWN: rendering.own_file()}
    made = {
        path: Change(change.data, MODE if path == OWN else None)
        for path, change in changes(tree, kept, own).items()
    }
    _check(tree, made, target)
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes of all definitions."""
    found = read({path: Document(path, file.data, as_is=True) for path, file in tree.items()})
    return [default for one in found.definitions.values() for default in _defaults(one)]


def _defaults(definition: Definition) -> Iterator[DefaultRoute]:
    match = definition.text("match", "name") or definition.text("match", "macaddress")
    link = definition.text("set-name") or (match or definition.name).lower()
    for place in definition.paths("gateway4"):
        yield DefaultRoute(link, _address(place), 0, place.document.path)
    for place in definition.items("routes"):
        if _is_default(place, 4):
            metric = text(get(place.value, "metric")) or "0"
            if not (metric.isascii() and metric.isdecimal()):
                raise CannotPersist(f"{place.where}: '{metric}' is not a metric")
            yield DefaultRoute(link, _via(place), int(metric), place.document.path)
    uses_routes = definition.text("dhcp4-overrides", "use-routes")
    if definition.is_true("dhcp4") and (uses_routes is None or uses_routes.lower() in _TRUE):
        metric = definition.text("dhcp4-overrides", "route-metric") or str(DHCP_METRIC)
        number = int(metric) if metric.isascii() and metric.isdecimal() else DHCP_METRIC
        yield DefaultRoute(link, None, number, definition.parts[0].document.path)


def _is_default(place: Place, version: int) -> bool:
    """Whether a route is a default one of table main."""
    to, via = text(get(place.value, "to")), text(get(place.value, "via"))
    kind = text(get(place.value, "type")) or "unicast"
    if text(get(place.value, "table")) not in _MAIN or kind != "unicast":
        return False
    if to == "default":
        return ":" in (via or "") if version == 6 else ":" not in (via or "")
    return to in (_ANY4 if version == 4 else _ANY6)


def _via(place: Place) -> IPv4Address | None:
    node = get(place.value, "via")
    return None if node is None else _address(place._replace(value=node))


def _address(place: Place) -> IPv4Address:
    said = text(place.value) or ""
    try:
        return IPv4Address(said)
    except ValueError:
        raise CannotPersist(f"{place.where}: '{said}' is not an address") from None


@dataclass
class _Rendering:
    """The edits for one wish, and what our own file says."""

    found: Configuration
    target: Target
    own: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    _removed: dict[str, int] = field(default_factory=dict)  # routes, by definition

    def own_file(self) -> bytes:
        content = {"network": {"version": 2, **self.own}}
        body: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=False)
        return f"{HEADER}\n{body}".encode()

    def run(self) -> None:
        target = self.target
        servicenet = self.found.of(target.servicenet)
        public = [one for nic in target.public for one in self.found.all_of(nic)]
        for one in public:
            if one is servicenet:
                raise CannotPersist(
                    f"{_where(one)}: '{one.name}' configures {target.servicenet.name} and a public"
                    " interface; give each its own definition"
                )
        self._clean(servicenet)
        self._have_dhcp_lose(servicenet)
        if target.policy is PublicInterface.DOWN:
            self._move_dns(public, servicenet)
            if servicenet.is_true("optional"):
                # Else no link is left for networkd's wait-online: it would time out.
                self._ours(servicenet)["optional"] = False
            for one in public:
                self._keep_down(one)
        else:
            for one in public:
                self._public(one)
        route: dict[str, Any] = {"to": "0.0.0.0/0", "via": str(target.gateway), "metric": METRIC}
        if target.onlink:
            route["on-link"] = True
        self._add_routes(servicenet, [route])
        for document in self.found.documents:
            document.finish()

    def _ours(self, definition: Definition) -> dict[str, Any]:
        return self.own.setdefault(definition.section, {}).setdefault(definition.name, {})

    def _add_routes(self, definition: Definition, routes: Sequence[dict[str, Any]]) -> None:
        """Have these too. Debian 11's netplan takes as many routes as it has already for the same
        ones, read again, and drops them; later ones drop what is there twice."""
        kept = len(list(definition.items("routes"))) - self._removed.get(definition.name, 0)
        again = routes[-1:] if len(routes) == kept else []
        self._ours(definition)["routes"] = [*routes, *map(dict, again)]

    def _override_dhcp(self, definition: Definition, key: str, value: object) -> None:
        """networkd has one setting for both versions, so netplan wants the same of both."""
        self._ours(definition)["dhcp4-overrides"] = {key: value}
        if definition.renderer == "networkd" and definition.is_true("dhcp6"):
            self._ours(definition)["dhcp6-overrides"] = {key: value}

    def _clean(self, definition: Definition) -> list[IPv4Address]:
        """Have its IPv4 defaults go; returns their gateways."""
        gateways = []
        for place in definition.paths("gateway4"):
            gateways.append(_address(place))
            place.remove()
        for place in definition.items("routes"):
            if _is_default(place, 4):
                via = _via(place)
                gateways += [via] if via is not None else []
                self._remove_route(definition, place)
        return gateways

    def _remove_route(self, definition: Definition, place: Place) -> None:
        place.remove()
        self._removed[definition.name] = self._removed.get(definition.name, 0) + 1

    def _have_dhcp_lose(self, servicenet: Definition) -> None:
        """Its other routes by DHCP stay: they may be what keeps ServiceNet reachable."""
        if any(default.metric <= METRIC for default in _defaults_by_dhcp(servicenet)):
            self._override_dhcp(servicenet, "route-metric", LOSING)

    def _public(self, definition: Definition) -> None:
        """It stays up, without a default route."""
        gateways = self._clean(definition)
        if any(True for _ in _defaults_by_dhcp(definition)):
            # Classless routes of its DHCP server go too: one of them may be a default.
            self._override_dhcp(definition, "use-routes", False)
        if self.target.public_ipv6 is PublicIPv6.NO_DEFAULT:
            for place in definition.paths("gateway6"):
                place.remove()
            for place in definition.items("routes"):
                if _is_default(place, 6):
                    self._remove_route(definition, place)
            self._ours(definition)["accept-ra"] = False
        if self.target.public_routes and self.target.policy is PublicInterface.NO_DEFAULT:
            if not gateways:
                raise CannotPersist(
                    f"{_where(definition)}: public_routes need the public link's old gateway, and"
                    " there is none; add the routes to it"
                )
            self._add_routes(
                definition,
                [{"to": str(one), "via": str(gateways[0])} for one in self.target.public_routes],
            )

    def _keep_down(self, definition: Definition) -> None:
        """What no file mentions networkd leaves as it is: down. `activation-mode` came with 0.103.

        NetworkManager would make up a connection for it, by DHCP.
        """
        if definition.renderer != "networkd":
            self._public(definition)
            self._ours(definition)["activation-mode"] = "manual"
            return
        for other in self.found.definitions.values():
            above = [text(place.value) for place in other.paths("link")]
            above += [text(place.value) for place in other.items("interfaces")]
            if definition.name in above:
                raise CannotPersist(
                    f"{_where(other)}: '{other.name}' is on top of '{definition.name}', which is to"
                    " be down; remove it"
                )
        for document, _ in definition.parts:
            section = get(document.root, "network", definition.section)
            for position, name, node in pairs(section):
                if name == definition.name and section is not None:
                    Place(document, section, position, node).remove()

    def _move_dns(self, public: Sequence[Definition], servicenet: Definition) -> None:
        """Have the public links' name servers behind ServiceNet's."""
        mine = _name_servers([servicenet])
        added = [server for server in _name_servers(public) if server not in mine]
        if added:
            self._ours(servicenet)["nameservers"] = {"addresses": added}


def _defaults_by_dhcp(definition: Definition) -> Iterator[DefaultRoute]:
    return (default for default in _defaults(definition) if default.gateway is None)


def _name_servers(definitions: Sequence[Definition]) -> list[str]:
    """The IPv4 name servers, each once."""
    servers = [
        text(place.value) or ""
        for definition in definitions
        for place in definition.items("nameservers", "addresses")
    ]
    return [server for server in dict.fromkeys(servers) if server and ":" not in server]


def _where(definition: Definition) -> str:
    document, node = definition.parts[0]
    return document.where(node)


def _check(tree: Tree, made: Changes, target: Target) -> None:
    """Read what was made: exactly one winning default, ours."""
    after = applied(tree, made)
    found = read({path: Document(path, file.data, as_is=True) for path, file in after.items()})
    winners = [
        (one.name, default)
        for one in found.definitions.values()
        for default in _defaults(one)
        if default.metric <= METRIC
    ]
    ours = (found.of(target.servicenet).name, target.gateway, METRIC)
    for name, default in winners:
        if (name, default.gateway, default.metric) != ours:
            raise CannotPersist(
                f"{default.path}: {default.link} would have a default route of metric"
                f" {default.metric} still; remove it"
            )
