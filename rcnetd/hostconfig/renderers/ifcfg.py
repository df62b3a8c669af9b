"""ifcfg: /etc/sysconfig/network-scripts, as its two readers have it (sysconfig.txt).

The readers are NetworkManager's ifcfg-rh plugin (EL 8 and 9: nms-ifcfg-rh-reader.c, shvar.c) and
the network-scripts (EL 7 and 8). Our route is in `route-X`, which belongs to `ifcfg-X`: routes
there are added with `BOOTPROTO=dhcp` and with `DEFROUTE=no`, too, and have a metric of their own,
while the metric of `GATEWAY=` (`IPV4_ROUTE_METRIC`) is that of all routes.

These are all ways to a default route, and what rcnetd does about them on a public link (policy
`no-default`):

    GATEWAY=, GATEWAYn= in ifcfg-X, ifcfg-X:1   commented out; on ServiceNet's link, too
    GATEWAY= in /etc/sysconfig/network          commented out: it is that of every static profile
    GATEWAYDEV= there                           commented out, since it overrides DEFROUTE; profiles
                                                that it kept from a default route lose theirs
    BOOTPROTO=dhcp                              DEFROUTE=no
    route-X, X.route, in both forms             default routes commented out (ifcfg_routes.py)
    /etc/sysconfig/static-routes                default routes commented out; network-scripts only
    rule-X                                      left alone on a public link: a diversion. On
                                                ServiceNet's it is refused, since the plugin does
                                                not read route-X beside it
    IPV4_ROUTE_TABLE=                           left alone; our route names table main

`DEFROUTE=no` is written only for DHCP: with static addresses it changes nothing once the gateway is
gone, and nova-agent, which writes `ifcfg-X` again, would keep it while it drops our marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from posixpath import basename

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ifcfg_reader import read_defaults
from rcnetd.hostconfig.renderers.ifcfg_routes import Route, Routes
from rcnetd.hostconfig.renderers.ifcfg_variables import Variables
from rcnetd.hostconfig.renderers.marked_edits import Document, applied, changes, documents, own
from rcnetd.hostconfig.renderers.model import CannotPersist, Changes, HostLink, Target, Tree
from rcnetd.hostconfig.renderers.rendering import (
    missing_name_servers,
    old_gateway,
    require_plain_names,
)
from rcnetd.hostconfig.renderers.route_arguments import route_default

__all__ = ["PATTERNS", "is_read", "read_defaults", "render"]

GLOBAL = "/etc/sysconfig/network"
STATIC_ROUTES = "/etc/sysconfig/static-routes"
DIRECTORY = "/etc/sysconfig/network-scripts"
PATTERNS = (
    GLOBAL,
    STATIC_ROUTES,
    *(f"{DIRECTORY}/{kind}-*" for kind in ("ifcfg", "route", "route6", "rule", "rule6")),
    f"{DIRECTORY}/*.route",
)
# What the plugin takes for a backup (utils_should_ignore_file); it reads `.rpmsave`.
_IGNORED = re.compile(r".(~|\.(bak|orig|rej|rpmnew|augnew|augtmp))$|;[0-9a-f]{8}$", re.IGNORECASE)
_GATEWAY = re.compile(r"GATEWAY[0-9]*")
_DNS = re.compile(r"DNS([0-9]{1,5})")
_CONTROLLERS = ("MASTER", "TEAM_MASTER", "BRIDGE")
_ALL = IPv4Network("0.0.0.0/0")


def is_read(path: str) -> bool:
    """Whether the plugin looks into a file of this name."""
    return not basename(path).startswith(".") and not _IGNORED.search(basename(path))


@dataclass(frozen=True)
class Profile:
    """An `ifcfg-X`, and the `ifcfg-X:1` that add addresses to it."""

    name: str  # X
    variables: Variables
    aliases: tuple[Variables, ...] = ()

    @property
    def device(self) -> str:
        """The link that the profile names."""
        return self.variables.get("DEVICE") or self.name

    @property
    def is_dhcp(self) -> bool:
        """Whether addresses come from DHCP."""
        return self.variables.word("BOOTPROTO") in ("dhcp", "bootp")

    @property
    def at_boot(self) -> bool:
        """Whether the link is brought up at boot."""
        return not self.variables.is_no("ONBOOT")

    def is_of(self, link: HostLink) -> bool:
        """Whether the profile is of a link: by DEVICE, else by HWADDR, else by its name."""
        device, mac = self.variables.get("DEVICE"), self.variables.get("HWADDR")
        if device:
            return device == link.name
        if mac and link.mac:
            return mac.lower() == link.mac
        return link.name in (self.name, self.variables.get("NAME"))

    @property
    def name_servers(self) -> list[str]:
        """The IPv4 name servers, in order."""
        keys = sorted(self.variables.keys(_DNS), key=lambda key: int(key[3:]))
        servers = [self.variables.get(key) for key in keys]
        return [server for server in servers if server and ":" not in server]


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make the next boot come up as *target* says."""
    require_plain_names(target)
    counted = {path: file for path, file in tree.items() if is_read(path)}
    rendering = _Rendering(documents(counted), target)
    rendering.run()
    made = changes(counted, rendering.documents, rendering.own)
    _check(applied(counted, made), target, rendering.our_paths)
    return made


class _Rendering:
    """The edits for one target."""

    def __init__(self, found: dict[str, Document], target: Target) -> None:
        self.documents, self.target = found, target
        self.own: dict[str, bytes] = {}
        self.our_paths: set[str] = set()
        self._route_files: dict[str, Routes] = {}
        self.profiles = list(_profiles(found))
        self.servicenet = self._require_servicenet()
        self.public = [one for link in target.public for one in self._profiles_of(link)]

    def run(self) -> None:
        """Make all edits."""
        old = self._clean_global()
        self._clean_static_routes()
        for profile in self.servicenet:
            self._remove_defaults(profile, keep=self._our_route(profile))
        if self.target.policy is PublicInterface.DOWN:
            for profile in self.public:
                if profile.at_boot:
                    profile.variables.set("ONBOOT", "no")
            self._move_dns()
        else:
            old = [item for profile in self.public for item in self._no_default(profile)] + old
            self._public_routes(old)
        for profile in self.servicenet:
            self._add_our_route(profile)

    # Which profiles

    def _profiles_of(self, link: HostLink) -> list[Profile]:
        """The profiles of a link, and of the bond, team or bridge that it is a port of."""
        found = [profile for profile in self.profiles if profile.is_of(link)]
        controllers = {profile.variables.get(key) for profile in found for key in _CONTROLLERS}
        found += [one for one in self.profiles if one.device in controllers and one not in found]
        return [profile for profile in found if profile not in self.servicenet]

    def _require_servicenet(self) -> list[Profile]:
        link = self.target.servicenet
        if all(profile.name == "lo" for profile in self.profiles):
            raise CannotPersist(
                f"{DIRECTORY}: there are no ifcfg files; if NetworkManager uses keyfiles, set"
                " 'persist' to 'network-manager'"
            )
        found = [profile for profile in self.profiles if profile.is_of(link)]
        if not found:
            raise CannotPersist(f"{DIRECTORY}: there is no ifcfg file for {link.name}; add one")
        at_boot = [profile for profile in found if profile.at_boot]
        if not at_boot:
            path = found[0].variables.document.path
            raise CannotPersist(f"{path}: {link.name} is not brought up at boot; set ONBOOT=yes")
        for profile in at_boot:
            self._refuse_rules(profile)
        return at_boot

    def _refuse_rules(self, profile: Profile) -> None:
        for kind in ("rule", "rule6"):
            path = f"{DIRECTORY}/{kind}-{profile.name}"
            if path in self.documents:
                raise CannotPersist(
                    f"{path}: NetworkManager does not read route-{profile.name} beside it; move the"
                    f" rules to ROUTING_RULE_n= in ifcfg-{profile.name}"
                )

    # What goes

    def _clean_global(self) -> list[tuple[Profile, IPv4Address]]:
        """Remove the global gateway, which was the public link's; returns it."""
        if GLOBAL not in self.documents:
            return []
        variables = Variables(self.documents[GLOBAL])
        old = variables.address("GATEWAY")
        variables.put_out(["GATEWAY"])
        device = variables.get("GATEWAYDEV")
        if device and device != self.target.servicenet.name:
            variables.put_out(["GATEWAYDEV"])
            self._clean_silenced(device)
        if self._no_ipv6:
            variables.put_out(["IPV6_DEFAULTGW", "IPV6_DEFAULTDEV"])
        return [(profile, old) for profile in self.public[:1] if old]

    def _clean_silenced(self, device: str) -> None:
        """Remove the default routes that `GATEWAYDEV` kept other links from having."""
        for profile in self.profiles:
            if profile.device != device and profile not in (*self.servicenet, *self.public):
                for variables in (profile.variables, *profile.aliases):
                    variables.put_out(variables.keys(_GATEWAY))
                self._refuse_dhcp_default(profile)

    @property
    def _no_ipv6(self) -> bool:
        target = self.target
        stays_up = target.policy is not PublicInterface.DOWN and bool(target.public)
        return target.public_ipv6 is PublicIPv6.NO_DEFAULT and stays_up

    def _remove_defaults(self, profile: Profile, keep: Route | None = None) -> list[IPv4Address]:
        """Remove the IPv4 default routes of a profile except DHCP's; returns their gateways."""
        old: list[IPv4Address] = []
        for variables in (profile.variables, *profile.aliases):
            keys = variables.keys(_GATEWAY)
            old += [address for key in keys if (address := variables.address(key))]
            variables.put_out(keys)
        for routes in self._routes_of(profile):
            old += routes.remove_defaults(keep)
        return old

    def _routes_of(self, profile: Profile, kind: str = "route") -> list[Routes]:
        """The route files of a profile that exist."""
        version = 6 if kind == "route6" else 4
        paths = [path for path in _route_paths(profile, kind) if path in self.documents]
        for path in paths:
            if path not in self._route_files:
                self._route_files[path] = Routes(self.documents[path], version=version)
        return [self._route_files[path] for path in paths]

    def _no_default(self, profile: Profile) -> list[tuple[Profile, IPv4Address]]:
        """Remove the default routes of a public link; returns the old gateways."""
        old = self._remove_defaults(profile)
        self._refuse_dhcp_default(profile)
        if self._no_ipv6:
            profile.variables.put_out(["IPV6_DEFAULTGW"])
            if not profile.variables.is_no("IPV6_DEFROUTE"):
                profile.variables.set("IPV6_DEFROUTE", "no")
            for routes in self._routes_of(profile, "route6"):
                routes.remove_defaults()
        return [(profile, gateway) for gateway in old]

    def _refuse_dhcp_default(self, profile: Profile) -> None:
        if profile.is_dhcp and not profile.variables.is_no("DEFROUTE"):
            profile.variables.set("DEFROUTE", "no")

    def _clean_static_routes(self) -> None:
        """`any net 0.0.0.0 netmask 0.0.0.0 gw G`: the arguments of `route add -`."""
        document = self.documents.get(STATIC_ROUTES)
        for index, line in enumerate(document.lines if document else []):
            link, *words = line.partition("#")[0].split() or [""]
            is_ours = link == self.target.servicenet.name
            if words and not is_ours and route_default(["add", f"-{words[0]}", *words[1:]]):
                assert document
                document.put_out([index])

    # What comes

    def _move_dns(self) -> None:
        """Add the public links' name servers after ServiceNet's."""
        theirs = [server for profile in self.public for server in profile.name_servers]
        for profile in self.servicenet:
            variables = profile.variables
            added = missing_name_servers(profile.name_servers, theirs)
            if not added:
                continue
            first = 1 + max((int(key[3:]) for key in variables.keys(_DNS)), default=0)
            lines = [f"DNS{number}={server}" for number, server in enumerate(added, first)]
            variables.document.append(lines)
            # With PEERDNS=no the scripts do not write resolv.conf at all. For a static profile
            # the key has no other meaning.
            if not profile.is_dhcp:
                variables.put_out(["PEERDNS"])

    def _our_route(self, profile: Profile) -> Route:
        table = profile.variables.get("IPV4_ROUTE_TABLE") or "0"
        target = self.target
        return Route(_ALL, target.gateway, METRIC, target.onlink, table not in ("0", "254"))

    def _add_our_route(self, profile: Profile) -> None:
        self.our_paths.update(_route_paths(profile))
        route = self._our_route(profile)
        if not any(routes.has(route) for routes in self._routes_of(profile)):
            self._add_routes(profile, self.target.servicenet.name, [route])

    def _public_routes(self, old: Sequence[tuple[Profile, IPv4Address]]) -> None:
        if self.target.public_routes:
            gateway = old_gateway(DIRECTORY, [gateway for _, gateway in old])
            profile = old[0][0]
            routes = [Route(network, gateway) for network in self.target.public_routes]
            self._add_routes(profile, profile.device, routes)

    def _add_routes(self, profile: Profile, link: str, routes: Sequence[Route]) -> None:
        path = f"{DIRECTORY}/route-{profile.name}"
        if path not in self.documents:
            self.own[path] = own([route.line(link) for route in routes])
        for existing in self._routes_of(profile):
            if existing.document.path == path:
                existing.add(link, routes)


def _profiles(found: dict[str, Document]) -> Iterable[Profile]:
    """The profiles; `ifcfg-eth0:1` belongs to `ifcfg-eth0`, if there is one."""
    start = f"{DIRECTORY}/ifcfg-"
    parsed = {path: Variables(found[path]) for path in found if path.startswith(start)}
    for path, variables in parsed.items():
        if path.rpartition(":")[0] in parsed:
            continue
        aliases = tuple(parsed[other] for other in parsed if other.startswith(f"{path}:"))
        yield Profile(path[len(start) :], variables, aliases)


def _route_paths(profile: Profile, kind: str = "route") -> list[str]:
    """The route files of a profile. The scripts also read those that are named by the link."""
    names = dict.fromkeys((profile.name, profile.device))
    paths = [f"{DIRECTORY}/{kind}-{name}" for name in names]
    return paths + [f"{DIRECTORY}/{name}.route" for name in names if kind == "route"]


def _check(tree: Tree, target: Target, our_paths: set[str]) -> None:
    """Read the new files by the other reader: ours is the only default route that wins."""
    defaults = read_defaults(tree)
    if not defaults:
        raise CannotPersist(
            f"{DIRECTORY}: with the new files there would be no default route; nothing is written"
        )
    best = min(default.metric for default in defaults)
    for default in defaults:
        is_ours = default.path in our_paths and default.gateway == target.gateway
        if default.metric == best and not is_ours:
            raise CannotPersist(
                f"{default.path}: {default.link} would still have a default route of metric"
                f" {default.metric}; remove it"
            )
