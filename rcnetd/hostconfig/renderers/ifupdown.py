"""ifupdown: /etc/network/interfaces and what it sources.

Several `iface` stanzas may be given for one link, and all are applied, in the order in which they
are read (interfaces(5)). So our route is in a stanza of its own in our own file, if that is read
after the one with the link's address; otherwise it is a marked line in that one. The route has
metric 1 and is made by `ip route replace`: `add` fails where the daemon has it already, and a
failing `up` line makes the whole link, and networking.service, fail.

A default route by DHCP cannot be asked away: it gets a metric that loses (dhclient's
`-e IF_METRIC`, dhcpcd's `-m`), for the renewals, and is deleted once the link is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC, PROTOCOL
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.interfaces_file import (
    AT_BOOT,
    DIRECTORIES,
    MAIN,
    PHASES,
    Interfaces,
    Line,
    Stanza,
    matches,
    read,
)
from rcnetd.hostconfig.renderers.marked_edits import Document, applied, changes, documents, own
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.route_arguments import DefaultArguments
from rcnetd.hostconfig.renderers.route_commands import (
    default_routes,
    without_routes,
)

PATTERNS = (MAIN, *(f"{directory}/*" for directory in DIRECTORIES))
# The first that is sourced: `source-directory` takes no dots, `source …/*.cfg` wants one.
OWN = tuple(f"{DIRECTORIES[0]}/{name}" for name in ("zz-rcnetd", "zz-rcnetd.cfg"))
LOSING = 1024  # the metric of a default route by DHCP
_DNS = ("dns-nameservers", "dns-nameserver")
_PROBE = "-"  # no link's name


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make ifupdown come up as *target* says."""
    kept = documents({path: file for path, file in tree.items() if path not in OWN})
    rendering = _Rendering(read(kept), target, *_own_place(kept))
    rendering.run()
    made = changes(tree, kept, rendering.own_files())
    _check(tree, made, target)
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes of the links that come up at boot."""
    files = {path: Document(path, file.data, as_is=True) for path, file in tree.items()}
    found = read(files)
    return [
        default
        for stanza in found.stanzas
        if _comes_up(found, stanza.name)
        for default in _defaults(stanza)
    ]


def _comes_up(found: Interfaces, name: str) -> bool:
    return any(
        name in (matches(word, name), word.partition("=")[2])
        for line, words in found.allowed
        if line.words[0] in AT_BOOT
        for word in words
    )


def _defaults(stanza: Stanza) -> Iterator[DefaultRoute]:
    """The default routes of a stanza, without those that it deletes itself."""
    link = stanza.name.partition(":")[0]
    routes: list[tuple[DefaultRoute, DefaultArguments]] = []
    if _has_default(stanza):
        found = DefaultArguments(4, _gateway(stanza), link, _metric(stanza))
        routes.append((_default_route(found, link, stanza.line), found))
    for line in stanza.effective():
        if line.words[0] not in ("pre-up", "up", "post-up"):
            continue
        for command in default_routes(line.value):
            route = command.route
            if command.adds and route.version == 4:
                routes.append((_default_route(route, link, line), route))
            elif not command.adds:
                routes = [one for one in routes if not _deletes(route, one[0])]
    yield from (route for route, _ in routes)


def _default_route(route: DefaultArguments, link: str, line: Line) -> DefaultRoute:
    name = link if route.link in (None, "$IFACE", "${IFACE}", "%iface%") else str(route.link)
    gateway = route.gateway if isinstance(route.gateway, IPv4Address) else None
    return DefaultRoute(name, gateway, route.metric or 0, line.document.path)


def _deletes(arguments: DefaultArguments, route: DefaultRoute) -> bool:
    """Whether `ip route del` with *arguments* could delete *route*."""
    return (
        arguments.version == 4
        and arguments.gateway in (None, route.gateway)
        and arguments.link in (None, "$IFACE", "${IFACE}", route.link)
        and arguments.metric in (None, 0, route.metric)
    )


def _has_default(stanza: Stanza) -> bool:
    """Whether its method makes an IPv4 default route."""
    if stanza.family != "inet":
        return False
    return stanza.method == "dhcp" or (
        stanza.method in ("static", "tunnel") and bool(_option(stanza, "gateway"))
    )


def _option(stanza: Stanza, name: str) -> list[Line]:
    return [line for line in stanza.effective() if line.words[0] == name]


def _gateway(stanza: Stanza) -> IPv4Address | None:
    for line in _option(stanza, "gateway"):
        if stanza.method != "dhcp":
            try:
                return IPv4Address(line.words[1])
            except ValueError:
                raise CannotPersist(f"{line.where}: '{line.words[1]}' is not an address") from None
    return None


def _metric(stanza: Stanza) -> int:
    for line in reversed(_option(stanza, "metric")):
        if not (line.words[1].isascii() and line.words[1].isdecimal()):
            raise CannotPersist(f"{line.where}: '{line.words[1]}' is not a metric")
        return int(line.words[1])
    return 0


def _own_place(kept: Mapping[str, Document]) -> tuple[str | None, int]:
    """Which own file would be read, and how many stanzas come before."""
    for path in OWN:
        probe = Document(path, f"iface {_PROBE} inet manual\n".encode())
        names = [stanza.name for stanza in read({**kept, path: probe}).stanzas]
        if _PROBE in names:
            return path, names.index(_PROBE)
    return None, 0


@dataclass
class _Rendering:
    """The edits for one wish."""

    found: Interfaces
    target: Target
    own_path: str | None
    before_own: int
    own_options: dict[str, list[str]] = field(default_factory=dict)

    def own_files(self) -> dict[str, bytes]:
        lines: list[str] = []
        for name, options in self.own_options.items():
            lines += ["", f"iface {name} inet manual", *(f"    {option}" for option in options)]
        return {str(self.own_path): own(lines)} if lines else {}

    def run(self) -> None:
        target = self.target
        down = target.policy is PublicInterface.DOWN
        for nic in (target.servicenet, *target.public):
            self._refuse_mapping(nic)
        servicenet = self._servicenet()
        public = [stanza for nic in target.public for stanza in self._stanzas(nic)]
        cleaned = [*self._stanzas(target.servicenet), *([] if down else public)]
        old = self._clean(cleaned, public)
        if down:
            self._move_dns(public, servicenet)
            for nic in target.public:
                self._keep_down(nic)
        self._add(servicenet[-1].name, servicenet, [_command(target)])
        if not down:
            self._public_routes(old)
            if target.public_ipv6 is PublicIPv6.NO_DEFAULT:
                self._no_ipv6(public)

    # Which stanzas

    def _refuse_mapping(self, nic: HostLink) -> None:
        for line in self.found.mappings:
            if any(fnmatchcase(nic.name, pattern) for pattern in line.words[1:]):
                raise CannotPersist(
                    f"{line.where}: a mapping decides by a script how {nic.name} is configured;"
                    " configure it without"
                )

    def _names(self, nic: HostLink) -> set[str]:
        return {nic.name, *self.found.at_boot(nic.name, nic.mac)}

    def _stanzas(self, nic: HostLink) -> list[Stanza]:
        names = self._names(nic)
        return [item for item in self.found.stanzas if item.name.partition(":")[0] in names]

    def _servicenet(self) -> list[Stanza]:
        """ServiceNet's IPv4 stanzas, those of its aliases left out."""
        nic = self.target.servicenet
        names = self.found.at_boot(nic.name, nic.mac)
        found = [item for item in self.found.stanzas if item.name in names]
        ipv4 = [stanza for stanza in found if stanza.family == "inet"]
        if not ipv4:
            raise CannotPersist(
                f"{MAIN}: {nic.name} is not configured and brought up at boot there; it needs"
                f" 'auto {nic.name}' and 'iface {nic.name} inet …'"
            )
        if len({stanza.name for stanza in ipv4}) > 1:
            raise CannotPersist(
                f"{ipv4[-1].line.where}: {nic.name} is brought up by more than one name; leave one"
            )
        return ipv4

    # What goes

    def _clean(
        self, stanzas: Sequence[Stanza], public: Sequence[Stanza]
    ) -> list[tuple[str, IPv4Address]]:
        """Put default routes out of effect; returns the public links' gateways by them."""
        old = []
        for stanza in stanzas:
            link = stanza.name.partition(":")[0]
            gateways = [_gateway(stanza)] if _has_default(stanza) else []
            gateways += self._clean_commands(stanza, stanzas, 4)
            if stanza in public:
                old += [(link, gateway) for gateway in gateways if gateway is not None]
            if stanza.family == "inet" and stanza.method == "dhcp":
                self._let_dhcp_lose(stanza, stanzas)
            elif _has_default(stanza):
                for line in (*_option(stanza, "gateway"), *_option(stanza, "metric")):
                    self._put_out(line, stanzas)
        return old

    def _clean_commands(
        self, stanza: Stanza, stanzas: Sequence[Stanza], version: int
    ) -> list[IPv4Address | None]:
        gateways: list[IPv4Address | None] = []
        for line in stanza.effective():
            if line.words[0] not in PHASES:
                continue
            commands = [one for one in default_routes(line.value) if one.route.version == version]
            if any(one.span is None for one in commands):
                raise CannotPersist(
                    f"{line.where}: only a shell can tell what this line does with the default"
                    " route; give the route a line of its own"
                )
            if commands:
                self._put_out(line, stanzas)
                rest = without_routes(line.value, commands)
                if rest:
                    line.document.insert_after(line.last, [f"    {line.words[0]} {rest}"])
                gateways += [
                    one.route.gateway
                    for one in commands
                    if one.adds and isinstance(one.route.gateway, IPv4Address)
                ]
        return gateways

    def _let_dhcp_lose(self, stanza: Stanza, stanzas: Sequence[Stanza]) -> None:
        metric = _metric(stanza)
        added = []
        if metric <= METRIC:
            for line in _option(stanza, "metric"):
                self._put_out(line, stanzas)
            metric = LOSING
            added = [f"metric {metric}"]
        added.append(f"up ip route del default dev {stanza.name} metric {metric} || true")
        self._insert(stanza, added)

    def _put_out(self, line: Line, stanzas: Sequence[Stanza]) -> None:
        """Put an option out of effect, unless another link inherits it."""
        for other in self.found.stanzas:
            if other in stanzas or not _comes_up(self.found, other.name):
                continue
            if any(option is line for option in other.effective()):
                raise CannotPersist(
                    f"{line.where}: {other.name} has this too, by 'inherits'; give each link its"
                    " own"
                )
        self._editable(line).put_out()

    def _editable(self, line: Line) -> Line:
        if line.document.path.startswith("/run/"):
            raise CannotPersist(
                f"{line.where}: is made anew at each boot; configure the link in {MAIN}"
            )
        return line

    def _keep_down(self, nic: HostLink) -> None:
        """Take a link, and its aliases, out of what is brought up at boot."""
        for line, words in self.found.allowed:
            if line.words[0] not in AT_BOOT:
                continue
            gone = [
                word
                for word in words
                if matches(word, nic.name, nic.mac) or word.startswith(f"{nic.name}:")
            ]
            for word in gone:
                if "/" in word:
                    raise CannotPersist(
                        f"{line.where}: the pattern '{word}' is {nic.name} too; name the links"
                    )
            if gone:
                self._replace_words(line, words, gone)

    def _replace_words(self, line: Line, words: Sequence[str], gone: Iterable[str]) -> None:
        self._editable(line).put_out()
        left = [word for word in words if word not in gone]
        if left:
            line.document.insert_after(line.last, [" ".join((line.words[0], *left))])

    def _no_ipv6(self, public: Sequence[Stanza]) -> None:
        for stanza in public:
            self._clean_commands(stanza, public, 6)
            if stanza.family == "inet6" and stanza.method == "static":
                for line in (*_option(stanza, "gateway"), *_option(stanza, "metric")):
                    self._put_out(line, public)
        # Without a gateway of its own it takes one from router advertisements.
        for name in dict.fromkeys(stanza.name.partition(":")[0] for stanza in public):
            mine = sorted(
                (stanza for stanza in public if stanza.name == name),
                key=lambda stanza: stanza.family != "inet6",
            )
            for stanza in mine[:1]:
                setting = f"net.ipv6.conf.{name.replace('.', '/')}.accept_ra_defrtr=0"
                self._insert(stanza, [f"pre-up sysctl -q -w {setting} || true"])

    # What comes

    def _move_dns(self, public: Sequence[Stanza], servicenet: Sequence[Stanza]) -> None:
        """Have ServiceNet's name servers and then the public ones, if there are any to be added.

        What hooks keep for a link is the last stanza's; one that has the option twice has both.
        """
        last = servicenet[-1]
        mine = _name_servers(servicenet)
        added = [server for server in _name_servers(public) if server not in mine]
        lines = [line for line in last.options if line.words[0] in _DNS]
        if not added:
            return
        if self._is_own(servicenet) or not lines:
            self._add(last.name, servicenet, [f"dns-nameservers {' '.join((*mine, *added))}"])
        else:
            line = self._editable(lines[-1])
            line.document.insert_after(line.last, [f"    dns-nameservers {' '.join(added)}"])

    def _public_routes(self, old: Sequence[tuple[str, IPv4Address]]) -> None:
        if not self.target.public_routes:
            return
        if not old:
            raise CannotPersist(
                f"{MAIN}: public_routes need the public link's old gateway, and there is no"
                " 'gateway' there; add the routes to it"
            )
        link, gateway = old[0]
        stanzas = [
            item for item in self.found.stanzas if item.name == link and item.family == "inet"
        ]
        self._add(
            link,
            stanzas,
            [
                f"up ip route replace {network} via {gateway} dev {link} || true"
                for network in self.target.public_routes
            ],
        )

    def _is_own(self, stanzas: Sequence[Stanza]) -> bool:
        """Whether our own file is read, and after these."""
        return self.own_path is not None and all(
            stanza in self.found.stanzas[: self.before_own] for stanza in stanzas
        )

    def _add(self, name: str, stanzas: Sequence[Stanza], options: Sequence[str]) -> None:
        """Add options for a link, in our own file if it is read after these stanzas of it."""
        if self._is_own(stanzas):
            self.own_options.setdefault(name, []).extend(options)
        else:
            self._insert(stanzas[-1], options)

    def _insert(self, stanza: Stanza, options: Sequence[str]) -> None:
        line = self._editable(stanza.line)
        line.document.insert_after(line.last, [f"    {option}" for option in options])


def _command(target: Target) -> str:
    onlink = " onlink" if target.onlink else ""
    return (
        f"up ip route replace default via {target.gateway} dev {target.servicenet.name}{onlink}"
        f" metric {METRIC} proto {PROTOCOL} || true"
    )


def _name_servers(stanzas: Sequence[Stanza]) -> list[str]:
    """The IPv4 name servers, each once."""
    servers = [
        word
        for stanza in stanzas
        for line in stanza.effective()
        if line.words[0] in _DNS
        for word in line.words[1:]
        if ":" not in word
    ]
    return list(dict.fromkeys(servers))


def _check(tree: Tree, made: Changes, target: Target) -> None:
    """Read what was made: exactly one winning default, ours."""
    defaults = read_defaults(applied(tree, made))
    best = min(default.metric for default in defaults)
    ours = DefaultRoute(target.servicenet.name, target.gateway, METRIC)
    for default in defaults:
        if default.metric == best and default != ours:
            raise CannotPersist(
                f"{default.path}: {default.link} would have a default route of metric"
                f" {default.metric} still; remove it"
            )
