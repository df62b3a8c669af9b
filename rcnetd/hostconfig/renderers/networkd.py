"""systemd-networkd: `*.network` files and their drop-ins (systemd.network(5)).

The files of all directories are read in the order of their names, a file in /etc hiding one of the
same name in /run or /usr/lib; the first whose [Match] fits a link configures it, together with the
drop-ins in `NAME.network.d/`. Our own file is such a drop-in, the last one. A drop-in cannot take
back a route that the file has, so competing defaults go by marked edits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, ip_address
from posixpath import basename, dirname
from typing import TypeVar

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC, PROTOCOL
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ini_edits import Entry, Section, sections
from rcnetd.hostconfig.renderers.marked_edits import Document, applied, changes, documents, own
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)

ETC = "/etc/systemd/network"
# The first wins. /lib is /usr/lib wherever systemd is now.
DIRECTORIES = (
    ETC, "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network",
    "/lib/systemd/network",
)  # fmt: skip
PATTERNS = tuple(
    f"{directory}/{name}"
    for directory in DIRECTORIES
    for name in ("*.network", "*.network.d/*.conf")
)
OWN_NAME = "zz-rcnetd.conf"
DHCP_METRIC = 1024  # networkd's for a default by DHCP
_TRUE = ("1", "yes", "y", "true", "t", "on")
_FALSE = ("0", "no", "n", "false", "f", "off")
_DEFAULT4, _DEFAULT6 = ("0.0.0.0/0", "0/0"), ("::/0",)
_MAIN = (None, "", "main", "254")
_Part = TypeVar("_Part", Entry, Section)


@dataclass
class Unit:
    """A `*.network` with its drop-ins: all sections, in the order in which they are read."""

    name: str
    path: str
    sections: list[Section]

    def entries(self, section: str, key: str) -> list[Entry]:
        """The assignments to a key since the last empty one, which resets it."""
        found: list[Entry] = []
        for one in self.sections:
            if one.name == section:
                for entry in one.entries:
                    if entry.key == key:
                        found = [*found, entry] if entry.value else []
        return found

    def get(self, sections: tuple[str, ...], key: str) -> str | None:
        """The value that counts of the keys in these sections."""
        values = [entry.value for name in sections for entry in self.entries(name, key)]
        return values[-1] if values else None

    def matches(self, nic: HostLink) -> bool:
        """Whether it configures this link. Refused: a [Match] that only networkd can judge."""
        doubtful: Entry | None = None
        keys = {entry.key: entry for one in self._match() for entry in one.entries}
        for key, entry in keys.items():
            words = " ".join(item.value for item in self.entries("Match", key)).split()
            if not words:
                continue
            if key in ("Name", "OriginalName"):
                if not _fits(words, nic.name):
                    return False
            elif key in ("MACAddress", "PermanentMACAddress"):
                macs = [word.lower().replace("-", ":") for word in words]
                if nic.mac not in macs:
                    return False
            elif key == "Type":
                if not _fits(words, "ether"):
                    return False
            else:
                doubtful = entry
        if doubtful is not None:
            raise CannotPersist(
                f"{doubtful.where}: only networkd can tell whether '{doubtful.key}=' fits"
                f" {nic.name}; match by Name= or MACAddress="
            )
        return True

    @property
    def is_unmanaged(self) -> bool:
        """Whether networkd leaves its links alone."""
        return (self.get(("Link",), "Unmanaged") or "").lower() in _TRUE

    @property
    def uses_dhcp(self) -> bool:
        """Whether a default route by DHCP comes."""
        dhcp = (self.get(("Network",), "DHCP") or "no").lower()
        if dhcp not in (*_TRUE, "ipv4", "both", "v4"):
            return False
        routes = self.get(("DHCPv4", "DHCP"), "UseRoutes") or "yes"
        return (self.get(("DHCPv4", "DHCP"), "UseGateway") or routes).lower() not in _FALSE

    @property
    def dhcp_metric(self) -> int:
        """The metric of that route."""
        text = self.get(("DHCPv4", "DHCP"), "RouteMetric") or str(DHCP_METRIC)
        return int(text) if text.isascii() and text.isdecimal() else DHCP_METRIC

    @property
    def link(self) -> str:
        """How its link is named."""
        names = self.entries("Match", "Name") or self.entries("Match", "MACAddress")
        return names[0].value.lower() if names else self.name

    def gateways(self, version: int) -> list[Entry]:
        """The [Network] gateways of this version."""
        found = []
        for entry in self.entries("Network", "Gateway"):
            try:
                if ip_address(entry.value).version == version:
                    found.append(entry)
            except ValueError:
                raise CannotPersist(f"{entry.where}: '{entry.value}' is not an address") from None
        return found

    def default_routes(self, version: int) -> list[Section]:
        """The [Route] sections that are default routes of table main."""
        found = []
        for one in self.sections:
            if one.name != "Route" or one.get("Table") not in _MAIN:
                continue
            if (one.get("Type") or "unicast") != "unicast":
                continue
            to, gateway = one.get("Destination"), one.get("Gateway") or ""
            is_ipv6 = ":" in gateway or gateway.startswith("_ipv6")  # `_dhcp4`, `_ipv6ra`
            by_gateway = not to and bool(gateway) and is_ipv6 == (version == 6)
            if by_gateway or to in (_DEFAULT4 if version == 4 else _DEFAULT6):
                found.append(one)
        return found

    def _match(self) -> list[Section]:
        return [one for one in self.sections if one.name == "Match"]


def _fits(words: list[str], name: str) -> bool:
    """systemd's lists of patterns; with a `!` before the first one, all that do not fit."""
    inverted = words[0].startswith("!")
    words = [words[0].lstrip("!"), *words[1:]]
    return any(fnmatchcase(name, word) for word in words) is not inverted


def read(found: Mapping[str, Document]) -> list[Unit]:
    """The units in effect, in the order in which they are tried."""
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
        if not "".join(document.lines).strip():
            continue  # masked
        parts = [document, *(part for _, part in sorted(drop_ins.get(name, {}).items()))]
        merged = [one for part in parts for one in sections(part, continues=True)]
        units.append(Unit(name, document.path, merged))
    return units


def unit_of(units: list[Unit], nic: HostLink) -> Unit | None:
    """The unit that configures a link."""
    return next((unit for unit in units if unit.matches(nic)), None)


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make networkd come up as *target* says."""
    kept = documents(tree)
    rendering = _Rendering(read(kept), target)
    rendering.run()
    made = changes(tree, kept, {path: own(lines) for path, lines in rendering.own.items()})
    _check(tree, made, target)
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes of all units."""
    units = read({path: Document(path, file.data, as_is=True) for path, file in tree.items()})
    return [default for unit in units for default in _defaults(unit)]


def _defaults(unit: Unit) -> Iterator[DefaultRoute]:
    if unit.is_unmanaged:
        return
    for entry in unit.gateways(4):
        yield DefaultRoute(unit.link, IPv4Address(entry.value), 0, entry.document.path)
    for route in unit.default_routes(4):
        metric = route.get("Metric") or "0"
        if not (metric.isascii() and metric.isdecimal()):
            raise CannotPersist(f"{route.where}: '{metric}' is not a metric")
        yield DefaultRoute(unit.link, _gateway(route), int(metric), route.document.path)
    if unit.uses_dhcp:
        yield DefaultRoute(unit.link, None, unit.dhcp_metric, unit.path)


def _gateway(route: Section) -> IPv4Address | None:
    text = route.get("Gateway")
    if not text or text.startswith("_"):  # _dhcp4
        return None
    try:
        return IPv4Address(text)
    except ValueError:
        raise CannotPersist(f"{route.where}: '{text}' is not an address") from None


@dataclass
class _Rendering:
    """The edits for one wish, and our own drop-ins."""

    units: list[Unit]
    target: Target
    own: dict[str, list[str]] = field(default_factory=dict)

    def run(self) -> None:
        target = self.target
        servicenet = unit_of(self.units, target.servicenet)
        if servicenet is None:
            raise CannotPersist(
                f"{ETC}: nothing configures {target.servicenet.name}; add a .network file there"
            )
        if servicenet.is_unmanaged:
            raise CannotPersist(
                f"{servicenet.path}: leaves {target.servicenet.name} unmanaged; have it not"
            )
        public = [unit for nic in target.public for unit in [unit_of(self.units, nic)] if unit]
        for unit in public:
            if unit is servicenet:
                raise CannotPersist(
                    f"{unit.path}: configures {target.servicenet.name} and a public interface; give"
                    " each its own file"
                )
        self._clean(servicenet)
        if target.policy is PublicInterface.DOWN:
            self._move_dns(public, servicenet)
            if (servicenet.get(("Link",), "RequiredForOnline") or "").lower() in _FALSE:
                # Else no link is left that wait-online could wait for: it would time out.
                self._ours(servicenet, "[Link]", "RequiredForOnline=yes")
            for unit in public:
                # What networkd does not manage nobody brings up; `ActivationPolicy=` came with 248.
                self._ours(unit, "[Link]", "Unmanaged=yes")
        else:
            for unit in public:
                self._public(unit)
        if servicenet.uses_dhcp and servicenet.dhcp_metric <= METRIC:
            self._ours(servicenet, "[DHCPv4]", f"RouteMetric={DHCP_METRIC}")
        onlink = ["GatewayOnLink=yes"] if target.onlink else []
        self._ours(
            servicenet, "[Route]", "Destination=0.0.0.0/0", f"Gateway={target.gateway}",
            f"Metric={METRIC}", f"Protocol={PROTOCOL}", *onlink,
        )  # fmt: skip

    def _ours(self, unit: Unit, *lines: str) -> None:
        mine = self.own.setdefault(f"{ETC}/{unit.name}.d/{OWN_NAME}", [])
        mine += ["", *lines]

    def _clean(self, unit: Unit) -> list[IPv4Address]:
        """Have its IPv4 defaults go; returns their gateways."""
        gateways = [IPv4Address(self._editable(entry).value) for entry in unit.gateways(4)]
        for entry in unit.gateways(4):
            entry.put_out()
        for route in unit.default_routes(4):
            gateway = _gateway(self._editable(route))
            gateways += [gateway] if gateway is not None else []
            route.put_out()
        return gateways

    def _public(self, unit: Unit) -> None:
        """It stays up, without a default route."""
        gateways = self._clean(unit)
        if unit.uses_dhcp:
            # Classless routes of its DHCP server go too: one of them may be a default.
            self._ours(unit, "[DHCPv4]", "UseGateway=no", "UseRoutes=no")
        if self.target.public_ipv6 is PublicIPv6.NO_DEFAULT:
            for entry in unit.gateways(6):
                self._editable(entry).put_out()
            for route in unit.default_routes(6):
                self._editable(route).put_out()
            # `UseGateway=` of [IPv6AcceptRA] came with 250.
            self._ours(unit, "[Network]", "IPv6AcceptRA=no")
        for network in self.target.public_routes:
            if not gateways:
                raise CannotPersist(
                    f"{unit.path}: public_routes need the public link's old gateway, and there is"
                    " none; add the routes to it"
                )
            self._ours(unit, "[Route]", f"Destination={network}", f"Gateway={gateways[0]}")

    def _move_dns(self, public: list[Unit], servicenet: Unit) -> None:
        """Have the public links' name servers behind ServiceNet's."""
        mine = _name_servers([servicenet])
        added = [server for server in _name_servers(public) if server not in mine]
        if added:
            self._ours(servicenet, "[Network]", *(f"DNS={server}" for server in added))

    def _editable(self, part: _Part) -> _Part:
        directory = part.document.path
        if not directory.startswith(f"{ETC}/"):
            what = (
                "is made anew at each boot" if directory.startswith("/run/") else "is a package's"
            )
            raise CannotPersist(f"{part.where}: {what}; copy the file to {ETC}, to be changed")
        return part


def _name_servers(units: list[Unit]) -> list[str]:
    """The IPv4 name servers, each once."""
    words = [
        word for unit in units for entry in unit.entries("Network", "DNS")
        for word in entry.value.split()
    ]  # fmt: skip
    return [word for word in dict.fromkeys(words) if ":" not in word]


def _check(tree: Tree, made: Changes, target: Target) -> None:
    """Read what was made: exactly one winning default, ours."""
    after = applied(tree, made)
    units = read({path: Document(path, file.data, as_is=True) for path, file in after.items()})
    servicenet = unit_of(units, target.servicenet)
    for unit in units:
        for default in _defaults(unit):
            ours = unit is servicenet and default.gateway == target.gateway
            if default.metric <= METRIC and not (ours and default.metric == METRIC):
                raise CannotPersist(
                    f"{default.path}: {default.link} would have a default route of metric"
                    f" {default.metric} still; remove it"
                )
