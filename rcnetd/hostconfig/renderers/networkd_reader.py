"""systemd-networkd's files as networkd reads them (systemd.network(5)).

The files of all directories are sorted by name, whatever their directory; a file in /etc hides one
of the same name in /run or /usr/lib. The first file whose [Match] fits a link configures it,
together with the drop-ins in `NAME.network.d/`. There are no drop-ins for truncated names or for
all files. networkd ignores a file without a valid [Match], and one with an invalid section header,
also if that is in a drop-in; it ignores a [Route] section with an invalid value. All this was
compared with systemd 252 and 262. (systemd 247 applies a file without a valid [Match] to every
link, with a warning; where it does, `verify.py` refuses.)

The ways to an IPv4 default route, each with the tree in tests/golden/networkd that has it:

    [Network] Gateway=, any number of them                            cloud-init, ways
    [Network] DefaultRouteOnDevice=                                   default-on-device
    [Network] DHCP= with [DHCPv4] UseGateway= or UseRoutes=           dhcp
    [Route] with a Destination= of prefix length 0                    any-zero-prefix
    [Route] without Destination=, with Gateway= (_dhcp4 as well),
      Source= or PreferredSource=                                     ways
    [Route] as above through an IPv6 gateway, a gateway that is not
      on the link (GatewayOnLink=), MultiPathRoute=, NextHop= or
      nothing, that is on the link itself                             ways
    [Route] as above with a Type= that refuses or discards            unreachable
    [Route] as above in Table= main or local, by name or by number    ways
    any of these in a drop-in, in any directory                       drop-ins, ways

Not default routes of table main: those in any other Table=, and those without Table= where VRF= is
set. A [RoutingPolicyRule] can divert traffic past all default routes; rcnetd reports that while it
runs, and does not edit it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from posixpath import basename, dirname

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.ini_edits import Entry, Section, sections
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, HostLink
from rcnetd.hostconfig.renderers.networkd_match import KEYS, Match
from rcnetd.hostconfig.renderers.rendering import (
    LOCAL_TYPES,
    address,
    number,
    zero_prefix_version,
)

ETC = "/etc/systemd/network"
# The first wins. /lib is /usr/lib wherever systemd is now.
DIRECTORIES = (
    ETC, "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network",
    "/lib/systemd/network",
)  # fmt: skip
DHCP_METRIC = 1024  # networkd's for a default by DHCP
TRUE = ("1", "yes", "y", "true", "t", "on")
FALSE = ("0", "no", "n", "false", "f", "off")
TYPES = (
    "unicast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "xresolve",
    *LOCAL_TYPES,
)  # fmt: skip
TABLES = {"default": 253, "main": 254, "local": 255}
MAIN, LOCAL = 254, 255


@dataclass(frozen=True)
class StaticDefault:
    """A default route in a file. *parts* have to go for it to go."""

    version: int
    parts: tuple[Entry | Section, ...]
    gateway: IPv4Address | None = None
    metric: int = 0
    leads_nowhere: bool = False


@dataclass
class Unit:
    """A `.network` file with its drop-ins: all sections, in the order in which they are read."""

    name: str
    path: str
    sections: list[Section]

    def entries(self, section: str, key: str) -> list[Entry]:
        """Return the assignments to a key since the last empty one, which resets most keys."""
        found: list[Entry] = []
        for entry in self.assignments(section, key):
            found = [*found, entry] if entry.value else []
        return found

    def assignments(self, section: str, key: str) -> list[Entry]:
        """Return all assignments to a key."""
        return [
            entry
            for one in self.sections
            if one.name == section
            for entry in one.entries
            if entry.key == key
        ]

    def get(self, sections: tuple[str, ...], key: str) -> str | None:
        """Return the last value of a key in these sections."""
        values = [entry.value for name in sections for entry in self.entries(name, key)]
        return values[-1] if values else None

    def is_true(self, section: str, key: str) -> bool:
        """Whether a switch is on: the last valid value counts, an empty one is not valid."""
        said = [entry.value.lower() for entry in self.assignments(section, key)]
        valid = [word for word in said if word in (*TRUE, *FALSE)]
        return bool(valid) and valid[-1] in TRUE

    @property
    def is_unmanaged(self) -> bool:
        """Whether networkd leaves its links alone."""
        return self.is_true("Link", "Unmanaged")

    @property
    def uses_dhcp(self) -> bool:
        """Whether a default route by DHCP may come, as the router or as a classless route."""
        dhcp = (self.get(("Network",), "DHCP") or "no").lower()
        if dhcp not in (*TRUE, "ipv4", "both", "v4"):
            return False
        if not self._is_main(self.get(("DHCPv4", "DHCP"), "RouteTable")):
            return False
        routes = (self.get(("DHCPv4", "DHCP"), "UseRoutes") or "yes").lower()
        gateway = (self.get(("DHCPv4", "DHCP"), "UseGateway") or routes).lower()
        return routes not in FALSE or gateway not in FALSE

    @property
    def dhcp_metric(self) -> int:
        """The metric of that route."""
        metric = number(self.get(("DHCPv4", "DHCP"), "RouteMetric"))
        return DHCP_METRIC if metric is None else metric

    @property
    def match(self) -> Match:
        """Its [Match]."""
        return Match({key: self.entries("Match", key) for key in KEYS})

    @property
    def link(self) -> str:
        """What it calls its link: a name, a pattern or a MAC address; or else the file's name."""
        return self.match.first or self.name

    def static_defaults(self, version: int) -> Iterator[StaticDefault]:
        """Return the default routes that the files have."""
        in_main = self._is_main(None)
        for entry in self.assignments("Network", "Gateway"):
            # An empty value resets the key since systemd 256 or so, and never did before.
            found = address(entry.value)
            if in_main and found is not None and found.version == version:
                yield StaticDefault(version, (entry,), _v4(found))
        if version == 4 and in_main and self.is_true("Network", "DefaultRouteOnDevice"):
            yield StaticDefault(4, tuple(self.assignments("Network", "DefaultRouteOnDevice")))
        for section in self.sections:
            if section.name == "Route" and _route_version(section) == version:
                yield from self._route(section, version)

    def defaults(self) -> Iterator[DefaultRoute]:
        """Return the IPv4 default routes, those by DHCP included."""
        if self.is_unmanaged:
            return
        for one in self.static_defaults(4):
            path = one.parts[0].document.path
            yield DefaultRoute(self.link, one.gateway, one.metric, path)
        if self.uses_dhcp:
            yield DefaultRoute(self.link, None, self.dhcp_metric, self.path)

    def _route(self, section: Section, version: int) -> Iterator[StaticDefault]:
        kind, table = section.get("Type") or "unicast", section.get("Table")
        metric = number(section.get("Metric") or "0")
        if kind not in TYPES or metric is None:
            return  # networkd ignores a section with an invalid value
        is_local = (not table and kind in LOCAL_TYPES) or _table(table) == LOCAL
        if is_local or self._is_main(table):
            gateway = _v4(address(section.get("Gateway")))
            leads_nowhere = kind != "unicast"
            yield StaticDefault(
                version, (section,), gateway, 0 if is_local else metric, leads_nowhere
            )

    def _is_main(self, table: str | None) -> bool:
        return _table(table) == MAIN if table else not self.get(("Network",), "VRF")


def _route_version(section: Section) -> int | None:
    """Return the IP version of a [Route] that is a default route, None for any other."""
    destination = section.get("Destination")
    gateway, word = address(section.get("Gateway")), section.get("Gateway") or ""
    if word and gateway is None and not word.startswith("_"):
        return None  # not valid, so networkd ignores the section
    if destination is not None:
        return zero_prefix_version(destination)
    if gateway is not None:
        return gateway.version
    if word:
        return 6 if word == "_ipv6ra" else 4
    source = section.get("PreferredSource") or section.get("Source")
    return None if not source else 6 if ":" in source else 4


def _table(text: str | None) -> int | None:
    return TABLES.get(text or "main", number(text))


def _v4(found: IPv4Address | IPv6Address | None) -> IPv4Address | None:
    return found if isinstance(found, IPv4Address) else None


@dataclass
class Configuration:
    """All files, in the order in which networkd tries them."""

    units: list[Unit]
    ignored: list[str]  # paths

    def of(self, link: HostLink) -> Unit | None:
        """Return the unit that configures a link: the first that fits."""
        return next((unit for unit in self.units if unit.match.fits(link)), None)

    def defaults(self, links: Sequence[HostLink]) -> Iterator[DefaultRoute]:
        """Return the default routes that *links* get, and those for links that are not among them.

        A unit that fits a link but is not the first to do so is not used.
        """
        used = [(link, self.of(link)) for link in links]
        for unit in self.units:
            names = [link.name for link, its in used if its is unit]
            if not names and any(unit.match.fits(link) for link in links):
                continue
            for default in unit.defaults():
                for name in names or [default.link]:
                    yield DefaultRoute(name, default.gateway, default.metric, default.path)


def read(found: Mapping[str, Document]) -> Configuration:
    """Read the files that networkd would use."""
    mains: dict[str, Document] = {}
    drop_ins: dict[str, dict[str, Document]] = {}
    for directory in reversed(DIRECTORIES):
        for path in sorted(found):
            if dirname(path) == directory:
                mains[basename(path)] = found[path]
            elif dirname(dirname(path)) == directory:
                name = basename(dirname(path)).removesuffix(".d")
                drop_ins.setdefault(name, {})[basename(path)] = found[path]
    configuration = Configuration([], [])
    for name, document in sorted(mains.items()):
        if name.endswith(".network") and "".join(document.lines).strip():  # else masked
            parts = [document, *(part for _, part in sorted(drop_ins.get(name, {}).items()))]
            unit = _unit(name, document.path, parts)
            if unit is not None:
                configuration.units.append(unit)
            else:
                configuration.ignored.append(document.path)
    return configuration


def _unit(name: str, path: str, parts: Sequence[Document]) -> Unit | None:
    """Return the unit; None if networkd ignores it, since it has no match or is damaged."""
    try:
        merged = [one for part in parts for one in sections(part, continues=True)]
    except CannotPersist:
        return None
    unit = Unit(name, path, merged)
    return None if unit.match.is_empty else unit
