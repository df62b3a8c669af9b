"""systemd-networkd's files as networkd reads them (systemd.network(5)).

The files of all directories are sorted by name, whatever their directory; a file in /etc hides one
of the same name in /run or /usr/lib. The first file whose [Match] fits a link configures it,
together with the drop-ins in `NAME.network.d/`. There are no drop-ins for truncated names or for
all files. networkd ignores a file without a valid [Match], and one with an invalid section header,
also if that is in a drop-in; it ignores a [Route] section with an invalid value. All this was
compared with systemd 252 and 262.

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
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address
from posixpath import basename, dirname

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.ini_edits import Entry, Section, sections
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, HostLink
from rcnetd.hostconfig.renderers.rendering import (
    LOCAL_TYPES,
    VIRTUAL_KINDS,
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
# What this process cannot see: only networkd can tell whether it fits.
CONDITIONS = (
    "Architecture", "BSSID", "Credential", "Driver", "Firmware", "Host", "KernelCommandLine",
    "KernelVersion", "Path", "Property", "SSID", "Version", "Virtualization", "WLANInterfaceType",
)  # fmt: skip


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
    def link(self) -> str:
        """The first name or MAC address in [Match], or else the name of the file."""
        names = self.entries("Match", "Name") + self.entries("Match", "OriginalName")
        if names:
            return names[0].value.split()[0]
        macs = [
            mac for key in _MACS for entry in self.entries("Match", key) for mac in _macs(entry)
        ]
        return macs[0] if macs else self.name

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


_NAMES = ("Name", "OriginalName")
_MACS = ("MACAddress", "PermanentMACAddress")


@dataclass(frozen=True)
class Match:
    """A [Match] section: all its conditions must hold."""

    unit: Unit

    @property
    def is_empty(self) -> bool:
        """Whether networkd ignores the whole file: it has no valid condition."""
        keys = {
            entry.key for one in self.unit.sections if one.name == "Match" for entry in one.entries
        }
        return not any(
            self._words(key) for key in keys & {*_NAMES, *_MACS, "Type", "Kind", *CONDITIONS}
        )

    def fits(self, link: HostLink) -> bool:
        """Whether this file may configure *link*: what cannot be seen is taken to match."""
        if not all(_fits_patterns(self._words(key), link.name) for key in _NAMES):
            return False
        if not _fits_patterns(self._words("Type"), _device_type(link)):
            return False
        if not _fits_patterns(self._words("Kind"), link.kind or ""):
            return False
        for key in _MACS:
            macs = self._words(key)
            virtual = key == "PermanentMACAddress" and link.kind in VIRTUAL_KINDS
            if macs and (virtual or link.mac not in macs):
                return False
        return True

    def require_no_condition(self, link: HostLink) -> None:
        """Refuse a file of which only networkd can tell whether it configures *link*."""
        for key in CONDITIONS:
            for entry in self.unit.entries("Match", key):
                raise CannotPersist(
                    f"{entry.where}: only networkd can tell whether '{key}=' matches {link.name};"
                    " match by Name= or MACAddress= instead"
                )

    def _words(self, key: str) -> list[str]:
        """Return the words of a key. A `!` before the first word of a line is for all of it."""
        words: list[str] = []
        for entry in self.unit.entries("Match", key):
            if key in _MACS:
                words += _macs(entry)
                continue
            inverted = "!" if entry.value.startswith("!") else ""
            words += [inverted + word for word in entry.value.removeprefix("!").split()]
        return words


def _fits_patterns(words: Sequence[str], text: str) -> bool:
    """Whether one of the patterns fits and no inverted one does; all fit where none is given."""
    if any(word[0] == "!" and fnmatchcase(text, word[1:]) for word in words):
        return False
    positive = [word for word in words if word[0] != "!"]
    return not positive or any(fnmatchcase(text, word) for word in positive)


def _device_type(link: HostLink) -> str:
    """udev's DEVTYPE where a kind of links has one, as networkd compares it with Type=."""
    return link.kind if link.kind in ("bond", "bridge", "vlan", "vxlan", "wireguard") else "ether"


def _macs(entry: Entry) -> list[str]:
    """Return the valid MAC addresses of a list, which may have colons, hyphens or dots."""
    found = []
    for word in entry.value.split():
        groups, width = word.lower().replace("-", ":").split(":"), 2
        if len(groups) == 1:
            groups, width = word.lower().split("."), 4
        digits = "".join(group.zfill(width) for group in groups)
        if len(digits) == 12 and all(char in "0123456789abcdef" for char in digits):
            found.append(":".join(digits[at : at + 2] for at in range(0, 12, 2)))
    return found


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

    def of(self, link: HostLink) -> Unit | None:
        """Return the unit that configures a link: the first that fits."""
        return next((unit for unit in self.units if Match(unit).fits(link)), None)

    def defaults(self, links: Sequence[HostLink]) -> Iterator[DefaultRoute]:
        """Return the default routes that *links* get, and those for links that are not among them.

        A unit that fits a link but is not the first to do so is not used.
        """
        used = [(link, self.of(link)) for link in links]
        for unit in self.units:
            names = [link.name for link, its in used if its is unit]
            if not names and any(Match(unit).fits(link) for link in links):
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
    units = []
    for name, document in sorted(mains.items()):
        if name.endswith(".network"):
            parts = [document, *(part for _, part in sorted(drop_ins.get(name, {}).items()))]
            units += _unit(name, document.path, parts)
    return Configuration(units)


def _unit(name: str, path: str, parts: Sequence[Document]) -> list[Unit]:
    """Return the unit, or none if networkd ignores it: masked, without a match, or damaged."""
    try:
        merged = [one for part in parts for one in sections(part, continues=True)]
    except CannotPersist:
        return []
    unit = Unit(name, path, merged)
    return [] if Match(unit).is_empty else [unit]
