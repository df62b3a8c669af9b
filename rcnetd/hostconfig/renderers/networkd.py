"""systemd-networkd: our own drop-ins, and marked edits where a default route has to go.

The route is in a drop-in of the file that configures ServiceNet's link, named so that it is read
last. A drop-in cannot take back a route of the file, so other default routes are commented out
where they are; a package's file is replaced by an edited copy in /etc. If one file configures
ServiceNet's link and public ones, ServiceNet's link gets a copy of its own that sorts first. A
public link that has to stay down gets a file of its own where its file is for other links, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC, PROTOCOL
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ini_edits import Entry, Section
from rcnetd.hostconfig.renderers.marked_edits import Document, applied, changes, documents, own
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.networkd_reader import (
    DHCP_METRIC,
    DIRECTORIES,
    ETC,
    FALSE,
    Configuration,
    StaticDefault,
    Unit,
    read,
)
from rcnetd.hostconfig.renderers.rendering import (
    missing_name_servers,
    old_gateway,
    replacing_vendor_files,
    require_editable,
    require_no_other_winner,
    require_plain_names,
    visible,
)

PATTERNS = tuple(
    f"{directory}/{name}"
    for directory in DIRECTORIES
    for name in ("*.network", "*.network.d/*.conf")
)
OWN_NAME = "zz-rcnetd.conf"
VENDOR = tuple(one for one in DIRECTORIES if not one.startswith(("/etc/", "/run/")))


def render(tree: Tree, target: Target) -> Changes:
    """Return the changes that make networkd set up what *target* says."""
    require_plain_names(target)
    tree = visible(tree)
    kept = documents(tree)
    rendering = _Rendering(read(kept), target)
    rendering.run()
    ours = replacing_vendor_files(tree, kept, ETC, VENDOR)
    ours.update((path, own(lines)) for path, lines in rendering.own.items())
    made = changes(tree, kept, ours)
    links = (target.servicenet, *target.public)
    require_no_other_winner(
        read_defaults_of(applied(tree, made), links), target.servicenet.name, target
    )
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """Return the IPv4 default routes of all files, in effect or not."""
    return read_defaults_of(tree, ())


def read_defaults_of(tree: Tree, links: Sequence[HostLink]) -> list[DefaultRoute]:
    """Return the IPv4 default routes: what *links* get, and what the other files would set."""
    return list(_read_as_is(tree).defaults(links))


def ignored(tree: Tree) -> list[str]:
    """Return the paths of the files that networkd ignores: damaged, or without a valid [Match]."""
    return _read_as_is(tree).ignored


def _read_as_is(tree: Tree) -> Configuration:
    return read(
        {path: Document(path, file.data, as_is=True) for path, file in visible(tree).items()}
    )


@dataclass
class _Rendering:
    """The edits for one target, and our own files."""

    found: Configuration
    target: Target
    own: dict[str, list[str]] = field(default_factory=dict)
    _split: Unit | None = None  # the unit of which ServiceNet's link gets a copy
    _gone: list[Section | Entry] = field(default_factory=list)

    def run(self) -> None:
        servicenet, public = self._servicenet(), self._public_units()
        self._remove_defaults(servicenet)
        if any(unit is servicenet for unit in public):
            self._copy(servicenet)
        if self.target.policy is PublicInterface.DOWN:
            self._move_dns(public, servicenet)
            for link in self.target.public:
                self._take_down(link)
        else:
            for unit in public:
                self._remove_public_defaults(unit)
        if servicenet.uses_dhcp and servicenet.dhcp_metric <= METRIC:
            self._add(servicenet, "[DHCPv4]", f"RouteMetric={DHCP_METRIC}")
        onlink = ["GatewayOnLink=yes"] if self.target.onlink else []
        self._add(
            servicenet, "[Route]", "Destination=0.0.0.0/0", f"Gateway={self.target.gateway}",
            f"Metric={METRIC}", f"Protocol={PROTOCOL}", *onlink,
        )  # fmt: skip

    def _unit_of(self, link: HostLink) -> Unit | None:
        unit = self.found.of(link)
        if unit is not None:
            unit.match.require_no_condition(link)
        return unit

    def _servicenet(self) -> Unit:
        name = self.target.servicenet.name
        unit = self._unit_of(self.target.servicenet)
        if unit is None:
            ignored = "".join(
                f"; {path} is damaged or has no valid [Match]" for path in self.found.ignored
            )
            raise CannotPersist(
                f"{ETC}: no file configures {name}; add a .network file there{ignored}"
            )
        if unit.is_unmanaged:
            raise CannotPersist(f"{unit.path}: sets Unmanaged=yes for {name}; remove it")
        return unit

    def _public_units(self) -> list[Unit]:
        units: list[Unit] = []
        for link in self.target.public:
            unit = self._unit_of(link)
            if unit is not None and unit not in units:
                units.append(unit)
        return units

    def _remove_defaults(self, unit: Unit) -> list[IPv4Address]:
        """Comment out the IPv4 defaults; return their gateways.

        A default that leads nowhere and loses against ours stays: it is what remains without ours.
        """
        gateways = []
        for default in list(unit.static_defaults(4)):
            if not default.leads_nowhere or default.metric <= METRIC:
                gateways += [default.gateway] if default.gateway is not None else []
                self._comment_out(default)
        return gateways

    def _comment_out(self, default: StaticDefault) -> None:
        for part in default.parts:
            require_editable(part.where, ETC)
            part.put_out()
            self._gone.append(part)

    def _move_dns(self, public: Sequence[Unit], servicenet: Unit) -> None:
        """Ask for the public links' name servers over ServiceNet, and wait for its link."""
        added = missing_name_servers(
            list(_name_servers(servicenet)),
            (server for unit in public for server in _name_servers(unit)),
        )
        if added:
            self._add(servicenet, "[Network]", *(f"DNS={server}" for server in added))
        if (servicenet.get(("Link",), "RequiredForOnline") or "").lower() in FALSE:
            # Without any link to wait for, wait-online would time out.
            self._add(servicenet, "[Link]", "RequiredForOnline=yes")

    def _take_down(self, link: HostLink) -> None:
        """Leave a public link unmanaged, and no other: nothing else brings it up.

        `ActivationPolicy=` exists since systemd 248 only.
        """
        unit = self._unit_of(link)
        if unit is None:
            return
        lines = ["[Link]", "Unmanaged=yes"]
        if unit.match.is_for_one_link:
            self._add_to_drop_in(unit, *lines)
        else:
            self.own[self._own_path(link, unit)] = ["[Match]", f"Name={link.name}", "", *lines]

    def _remove_public_defaults(self, unit: Unit) -> None:
        gateways = self._remove_defaults(unit)
        if unit.uses_dhcp:
            # One of the classless routes of a DHCP server may be a default, so these go as well.
            self._add_to_drop_in(unit, "[DHCPv4]", "UseGateway=no", "UseRoutes=no")
        if self.target.public_ipv6 is PublicIPv6.NO_DEFAULT:
            for default in list(unit.static_defaults(6)):
                self._comment_out(default)
            # `UseGateway=` in [IPv6AcceptRA] exists since systemd 250 only.
            self._add_to_drop_in(unit, "[Network]", "IPv6AcceptRA=no")
        for network in self.target.public_routes:
            gateway = old_gateway(unit.path, gateways)
            self._add_to_drop_in(unit, "[Route]", f"Destination={network}", f"Gateway={gateway}")

    def _copy(self, unit: Unit) -> None:
        """Write a file for ServiceNet's link alone, which networkd finds before *unit*."""
        path = self._own_path(self.target.servicenet, unit)
        self._split = unit
        self.own[path] = ["[Match]", f"Name={self.target.servicenet.name}"]
        for section in unit.sections:
            entries = [entry for entry in section.entries if entry not in self._gone]
            if section.name != "Match" and section not in self._gone and entries:
                self.own[path] += ["", f"[{section.name}]"]
                self.own[path] += [f"{entry.key}={entry.value}" for entry in entries]

    @staticmethod
    def _own_path(link: HostLink, unit: Unit) -> str:
        """The path of a file for one link alone, which networkd finds before *unit*."""
        name = f"00-rcnetd-{link.name}.network"
        if name >= unit.name:
            raise CannotPersist(
                f"{unit.path}: configures {link.name} and other links, and no file of rcnetd's"
                " would be found before it; rename it so that it begins with '10-'"
            )
        return f"{ETC}/{name}"

    def _add(self, servicenet: Unit, *lines: str) -> None:
        """Add lines for ServiceNet's link."""
        if servicenet is self._split:
            self.own[self._own_path(self.target.servicenet, servicenet)] += ["", *lines]
        else:
            self._add_to_drop_in(servicenet, *lines)

    def _add_to_drop_in(self, unit: Unit, *lines: str) -> None:
        self.own.setdefault(f"{ETC}/{unit.name}.d/{OWN_NAME}", []).extend(["", *lines])


def _name_servers(unit: Unit) -> Iterator[str]:
    for entry in unit.entries("Network", "DNS"):
        yield from entry.value.split()
