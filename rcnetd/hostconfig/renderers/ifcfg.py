"""ifcfg: /etc/sysconfig/network-scripts, as NetworkManager's ifcfg-rh plugin (EL9) reads it.

What its reader (nms-ifcfg-rh-reader.c, shvar.c) does, and the scripts of EL7 and 8 do alike:

- `GATEWAY` in /etc/sysconfig/network is every static connection's that has none of its own, and
  `GATEWAYDEV` there overrides `DEFROUTE`: both go.
- `route-X` belongs to `ifcfg-X`. If a line in it is `ADDRESSn=…` it is read as variables, up to
  the first n that is missing; else each line is what `ip route add` takes, and a word that the
  plugin does not know (`proto`) loses the line.
- Such routes hold with `BOOTPROTO=dhcp` and with `DEFROUTE=no` too, and have their own metric. So
  our default route is there: `GATEWAY=` would only hold for static addresses, and its metric
  (`IPV4_ROUTE_METRIC`) is all routes'. EL7's and 8's scripts do not know `METRICn`: there a route
  in variables comes without.
- With a `rule-X` the plugin leaves `route-X` to a dispatcher script: refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from posixpath import basename

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ifcfg_reader import read_defaults
from rcnetd.hostconfig.renderers.marked_edits import Document, applied, changes, documents, own
from rcnetd.hostconfig.renderers.model import CannotPersist, Changes, HostLink, Target, Tree

__all__ = ["PATTERNS", "read_defaults", "render"]

GLOBAL = "/etc/sysconfig/network"
DIRECTORY = "/etc/sysconfig/network-scripts"
PATTERNS = (
    GLOBAL,
    *(f"{DIRECTORY}/{kind}-*" for kind in ("ifcfg", "route", "route6", "rule", "rule6")),
)
# What the plugin takes for a backup (utils_should_ignore_file); `.rpmsave` it reads.
IGNORED = re.compile(r".(~|\.(bak|orig|rej|rpmnew|augnew|augtmp))$|;[0-9a-f]{8}$", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"[ \t\r\v\f]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_PART = re.compile(
    r"""'([^']*)'|"((?:[^"\\$`]|\\.)*)"|\\(.)|([^ \t\r\v\f'"\\$`;|&()<>]+)""", re.DOTALL
)
_END = re.compile(r"[ \t\r\v\f]*;?[ \t\r\v\f]*(?:(?<![^ \t\r\v\f;])#.*)?")
_NEW_FORM = re.compile(r"[ \t\r\v\f]*ADDRESS[0-9]+=")
_GATEWAY = re.compile(r"GATEWAY[0-9]*")
_DNS = re.compile(r"DNS([0-9]+)")
_NO = ("no", "false", "f", "n", "0")
_DEFAULTS = ("default", "0/0", "0.0.0.0/0", "::/0", "::")


@dataclass(frozen=True)
class Assignment:
    """`KEY=value`. *raw* is the value as it is written."""

    key: str
    raw: str
    index: int


class Variables:
    """A document of assignments; of several to one key the last counts."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.assignments: list[Assignment] = []
        for index, line in enumerate(document.lines):
            match = _ASSIGNMENT.fullmatch(line.removesuffix("\n"))
            if match:
                self.assignments.append(Assignment(match[1], match[2], index))
                self._unquote(self.assignments[-1], must=False)

    def get(self, key: str) -> str | None:
        """The value, None for none. Refused: one that only a shell could tell."""
        found = [item for item in self.assignments if item.key == key]
        return self._unquote(found[-1], must=True) if found else None

    def where(self, key: str) -> str:
        """`path:line` of the assignment that counts."""
        found = [item for item in self.assignments if item.key == key]
        return self.document.where(found[-1].index)

    def says_no(self, key: str) -> bool:
        """Whether it is set to a word for false."""
        return (self.get(key) or "").lower() in _NO

    def keys(self, pattern: re.Pattern[str]) -> list[str]:
        """The keys of this form, each once, in their order."""
        found = [item.key for item in self.assignments if pattern.fullmatch(item.key)]
        return list(dict.fromkeys(found))

    def put_out(self, *keys: str) -> None:
        """Put all assignments to these keys out of effect."""
        self.document.put_out(item.index for item in self.assignments if item.key in keys)

    def set(self, key: str, value: str) -> None:
        """Have it set, in place of what there is."""
        self.put_out(key)
        self.document.append([f"{key}={value}"])

    def _unquote(self, assignment: Assignment, *, must: bool) -> str:
        text, value = assignment.raw, ""
        where = self.document.where(assignment.index)
        while match := _PART.match(text):
            quoted = match[2] and re.sub(r"\\([$`\"\\])", r"\1", match[2])
            value += match[1] or quoted or match[3] or match[4] or ""
            text = text[match.end() :]
        if _END.fullmatch(text):
            return value
        if text == "\\" or (text[0] in "'\"" and not re.match(r"\"(?:[^\"\\]|\\.)*\"", text)):
            raise CannotPersist(f"{where}: {assignment.key}= is not closed at the end of the line")
        if must:
            raise CannotPersist(
                f"{where}: only a shell can tell what {assignment.key}= is; write it out"
            )
        return ""


@dataclass(frozen=True)
class Profile:
    """An `ifcfg-X` of a link, and what its `ifcfg-X:1` add."""

    name: str  # X
    variables: Variables
    aliases: tuple[Variables, ...] = ()


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make NetworkManager come up as *target* says."""
    given = {path: file for path, file in tree.items() if not IGNORED.search(basename(path))}
    rendering = _Rendering(documents(given), target)
    rendering.run()
    made = changes(given, rendering.documents, rendering.own)
    _check(applied(tree, made), target, rendering.route_paths)
    return made


class _Rendering:
    """The edits for one wish."""

    def __init__(self, found: dict[str, Document], target: Target) -> None:
        self.documents, self.target = found, target
        self.own: dict[str, bytes] = {}
        self.route_paths: set[str] = set()
        self._parsed = {
            path: Variables(document)
            for path, document in found.items()
            if basename(path).startswith("ifcfg-")
        }

    def run(self) -> None:
        target = self.target
        servicenet = self._servicenet()
        public = [profile for nic in target.public for profile in self._profiles(nic)]
        of_all = self._clean_global(public)
        for profile in servicenet:
            self._clean(profile)
        if target.policy is PublicInterface.DOWN:
            for profile in public:
                if not profile.variables.says_no("ONBOOT"):
                    profile.variables.set("ONBOOT", "no")
            self._move_dns(public, servicenet)
        else:
            old = [item for profile in public for item in self._no_default(profile)]
            self._public_routes(old + of_all)
        for profile in servicenet:
            route = Route("0.0.0.0/0", target.gateway, METRIC, target.onlink)
            self._add_routes(profile, target.servicenet.name, [route])
            self.route_paths.add(f"{DIRECTORY}/route-{profile.name}")

    # Which profiles

    def _profiles(self, nic: HostLink) -> list[Profile]:
        found = []
        for path, variables in self._parsed.items():
            name = basename(path).partition("-")[2]
            if self._is_alias(name) or not _is_of(variables, name, nic):
                continue
            aliases = tuple(
                self._parsed[other] for other in self._parsed if other.startswith(f"{path}:")
            )
            found.append(Profile(name, variables, aliases))
        return found

    def _is_alias(self, name: str) -> bool:
        """`eth0:1` is an alias if there is an `ifcfg-eth0`."""
        base, colon, _ = name.rpartition(":")
        return bool(colon) and f"{DIRECTORY}/ifcfg-{base}" in self._parsed

    def _servicenet(self) -> list[Profile]:
        nic = self.target.servicenet
        if all(basename(path) == "ifcfg-lo" for path in self._parsed):
            raise CannotPersist(
                f"{DIRECTORY}: no ifcfg files there; where NetworkManager has keyfiles it is"
                " 'persist: network-manager'"
            )
        found = self._profiles(nic)
        if not found:
            raise CannotPersist(f"{DIRECTORY}: no ifcfg file there is {nic.name}'s; add one")
        at_boot = [profile for profile in found if not profile.variables.says_no("ONBOOT")]
        if not at_boot:
            path = found[0].variables.document.path
            raise CannotPersist(
                f"{path}: {nic.name} is not brought up at boot; it needs ONBOOT=yes"
            )
        for profile in at_boot:
            for kind in ("rule", "rule6"):
                path = f"{DIRECTORY}/{kind}-{profile.name}"
                if path in self.documents:
                    raise CannotPersist(
                        f"{path}: NetworkManager does not read route-{profile.name} beside this;"
                        " it has to go"
                    )
        return at_boot

    # What goes

    def _clean_global(self, public: Sequence[Profile]) -> list[tuple[Profile, IPv4Address]]:
        """Put the global gateway out of effect; it was the public link's."""
        if GLOBAL not in self.documents:
            return []
        variables = Variables(self.documents[GLOBAL])
        old = _address(variables, "GATEWAY")
        variables.put_out("GATEWAY")
        device = variables.get("GATEWAYDEV")
        if device != self.target.servicenet.name:
            variables.put_out("GATEWAYDEV")
        if self._no_ipv6:
            variables.put_out("IPV6_DEFAULTGW", "IPV6_DEFAULTDEV")
        return [(profile, old) for profile in public[:1] if old]

    @property
    def _no_ipv6(self) -> bool:
        target = self.target
        return (
            target.public_ipv6 is PublicIPv6.NO_DEFAULT
            and target.policy is not PublicInterface.DOWN
            and bool(target.public)
        )

    def _clean(self, profile: Profile) -> list[IPv4Address]:
        """Put a profile's IPv4 default routes out of effect; returns their gateways."""
        old = []
        for variables in (profile.variables, *profile.aliases):
            for key in variables.keys(_GATEWAY):
                address = _address(variables, key)
                old += [address] if address else []
                variables.put_out(key)
        document = self.documents.get(f"{DIRECTORY}/route-{profile.name}")
        return old + (Routes(document).put_out_defaults() if document else [])

    def _no_default(self, profile: Profile) -> list[tuple[Profile, IPv4Address]]:
        old = self._clean(profile)
        if not profile.variables.says_no("DEFROUTE"):
            profile.variables.set("DEFROUTE", "no")
        if self._no_ipv6:
            profile.variables.put_out("IPV6_DEFAULTGW")
            if not profile.variables.says_no("IPV6_DEFROUTE"):
                profile.variables.set("IPV6_DEFROUTE", "no")
            document = self.documents.get(f"{DIRECTORY}/route6-{profile.name}")
            if document:
                Routes(document).put_out_defaults()
        return [(profile, gateway) for gateway in old]

    # What comes

    def _move_dns(self, public: Sequence[Profile], servicenet: Sequence[Profile]) -> None:
        theirs = [server for profile in public for server in _name_servers(profile)]
        for profile in servicenet:
            variables, mine = profile.variables, _name_servers(profile)
            added = [server for server in dict.fromkeys(theirs) if server not in mine]
            if not added:
                continue
            numbers = [int(key[3:]) for key in variables.keys(_DNS)]
            first = max(numbers, default=0) + 1
            variables.document.append(
                [f"DNS{number}={server}" for number, server in enumerate(added, first)]
            )
            # The scripts take DNS1 as little as DHCP's then; of a static profile it says nothing.
            if (variables.get("BOOTPROTO") or "").lower() not in ("dhcp", "bootp"):
                variables.put_out("PEERDNS")

    def _public_routes(self, old: Sequence[tuple[Profile, IPv4Address]]) -> None:
        networks = self.target.public_routes
        if not networks:
            return
        if not old:
            raise CannotPersist(
                f"{DIRECTORY}: public_routes need the public link's old gateway, and there is no"
                " GATEWAY there; add the routes to its route file"
            )
        profile, gateway = old[0]
        link = profile.variables.get("DEVICE") or profile.name
        self._add_routes(profile, link, [Route(str(network), gateway) for network in networks])

    def _add_routes(self, profile: Profile, link: str, routes: Sequence[Route]) -> None:
        path = f"{DIRECTORY}/route-{profile.name}"
        if path in self.documents:
            Routes(self.documents[path]).add(link, routes)
        else:
            self.own[path] = own([route.line(link) for route in routes])


@dataclass(frozen=True)
class Route:
    """A route of ours, in both forms."""

    network: str
    gateway: IPv4Address
    metric: int | None = None
    onlink: bool = False

    def line(self, link: str) -> str:
        """As `ip route add` takes it."""
        metric = "" if self.metric is None else f" metric {self.metric}"
        onlink = " onlink" if self.onlink else ""
        return f"{self.network} via {self.gateway} dev {link}{metric}{onlink}"

    def variables(self, number: int) -> Iterator[str]:
        """As `ADDRESSn` and so on."""
        network = IPv4Network(self.network)
        yield f"ADDRESS{number}={network.network_address}"
        yield f"NETMASK{number}={network.netmask}"
        yield f"GATEWAY{number}={self.gateway}"
        if self.metric is not None:
            yield f"METRIC{number}={self.metric}"
        if self.onlink:
            yield f"OPTIONS{number}=onlink"


class Routes:
    """A route file in either form."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._variables: Variables | None = None
        self._kept: list[Mapping[str, Assignment]] = []  # in variables: those that stay, in order
        if any(_NEW_FORM.match(line) for line in document.lines):
            self._variables = Variables(document)
            self._kept = list(self._numbered(self._variables))

    @staticmethod
    def _numbered(variables: Variables) -> Iterator[Mapping[str, Assignment]]:
        """The routes up to the first number that is missing, by `ADDRESS`, `NETMASK` …."""
        last = {item.key: item for item in variables.assignments}
        number = 0
        while variables.get(f"ADDRESS{number}"):
            yield {
                key: last[f"{key}{number}"]
                for key in ("ADDRESS", "NETMASK", "GATEWAY", "METRIC", "OPTIONS")
                if f"{key}{number}" in last
            }
            number += 1

    def put_out_defaults(self) -> list[IPv4Address]:
        """Put default routes of table main out of effect; returns their gateways."""
        if self._variables is None:
            indexes = range(len(self.document.lines))
            return [gateway for index in indexes for gateway in self._put_out_line(index)]
        variables, gateways = self._variables, []
        kept = [route for route in self._kept if not self._is_default(route)]
        gone = [route for route in self._kept if route not in kept]
        first = next((n for n, route in enumerate(self._kept) if route not in kept), None)
        if first is None:
            return []
        for route in gone:
            if "GATEWAY" in route:
                address = _address(variables, route["GATEWAY"].key)
                gateways += [address] if address else []
        # The others move up: what follows a missing number is not read.
        keys = [item.key for route in self._kept[first:] for item in route.values()]
        variables.put_out(*keys)
        moved = [
            f"{key}{number}={item.raw.rstrip()}"
            for number, route in enumerate(kept[first:], first)
            for key, item in route.items()
        ]
        if moved:
            self.document.append(moved)
        return gateways

    def _is_default(self, route: Mapping[str, Assignment]) -> bool:
        assert self._variables is not None
        values = {key: self._variables.get(item.key) for key, item in route.items()}
        other_table = "table" in (values.get("OPTIONS") or "").split()
        return values["ADDRESS"] == values.get("NETMASK") == "0.0.0.0" and not other_table

    def _put_out_line(self, index: int) -> Iterator[IPv4Address]:
        words = [word for word in self.document.lines[index].split() if word != "to"]
        if not words or words[0] not in _DEFAULTS:
            return
        values = dict(zip(words, words[1:]))
        if values.get("table", "main") not in ("main", "254"):
            return
        self.document.put_out([index])
        try:
            yield IPv4Address(values.get("via", ""))
        except ValueError:
            return

    def add(self, link: str, routes: Sequence[Route]) -> None:
        """Add routes, in the file's form."""
        if self._variables is None:
            self.document.append([route.line(link) for route in routes])
            return
        start = sum(not self._is_default(route) for route in self._kept)
        for number, route in enumerate(routes, start):
            self.document.append(list(route.variables(number)))


def _is_of(variables: Variables, name: str, nic: HostLink) -> bool:
    """Whether a profile is of a link: by DEVICE, else by HWADDR, else by its name."""
    device, mac = variables.get("DEVICE"), variables.get("HWADDR")
    if device:
        return device == nic.name
    if mac and nic.mac:
        return mac.lower() == nic.mac
    return nic.name in (name, variables.get("NAME"))


def _address(variables: Variables, key: str) -> IPv4Address | None:
    value = variables.get(key)
    try:
        return IPv4Address(value) if value else None
    except ValueError:
        raise CannotPersist(f"{variables.where(key)}: {key}={value} is not an address") from None


def _name_servers(profile: Profile) -> list[str]:
    keys = sorted(profile.variables.keys(_DNS), key=lambda key: int(key[3:]))
    servers = [profile.variables.get(key) for key in keys]
    return [server for server in servers if server and ":" not in server]


def _check(tree: Tree, target: Target, paths: set[str]) -> None:
    """Read what was made, by the other reader: exactly one winning default, ours."""
    defaults = read_defaults(tree)
    best = min(default.metric for default in defaults)
    for default in defaults:
        is_ours = default.path in paths and default.gateway == target.gateway
        if default.metric == best and not is_ours:
            raise CannotPersist(
                f"{default.path}: {default.link} would have a default route of metric"
                f" {default.metric} still; remove it"
            )
