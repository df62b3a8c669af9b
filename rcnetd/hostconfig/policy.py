"""What to write into the host's own configuration, and whether at all. Pure.

`route.json` is from the daemon, a process with fewer rights than the one that writes /etc: it is
judged here like an answer from outside, against the kernel's own state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from difflib import unified_diff
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Interface

from rcnetd.basic.dataclass import dataclass, replace
from rcnetd.core.model import PROTOCOL, Address, Link, Network, Route
from rcnetd.core.routes import evaluate_route
from rcnetd.core.servicenet import ServiceNet, choose, hints, rejection
from rcnetd.core.settings import Backend, Manage, Metadata, PublicInterface, PublicIPv6, Settings
from rcnetd.hostconfig.renderers.marked_edits import documents
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Change,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)


@dataclass(frozen=True)
class Renderer:
    """One of the renderers: what it reads, and its two functions."""

    persist: Backend
    patterns: tuple[str, ...]
    render: Callable[[Tree, Target], Changes]
    read_defaults: Callable[[Tree], list[DefaultRoute]]


@dataclass(frozen=True)
class LinkManagers:
    """What the network managers say of ServiceNet's link; None: nothing.

    *networkd* and *network_manager* are the files by which they configure it now.
    """

    networkd: str | None = None
    network_manager: str | None = None
    ifupdown: bool = False


def manager(managed: LinkManagers, link: str) -> Backend:
    """Whose configuration brings the link up. Raises `CannotPersist` if nobody's that we know."""
    profile, unit = managed.network_manager, managed.networkd
    if profile is not None:
        if "/netplan-" in profile:
            return Backend.NETPLAN
        if profile.startswith("/etc/sysconfig/network-scripts/"):
            return Backend.IFCFG
        return Backend.NETWORK_MANAGER
    if unit is not None:
        return Backend.NETPLAN if "/10-netplan-" in unit else Backend.NETWORKD
    if managed.ifupdown:
        return Backend.IFUPDOWN
    raise CannotPersist(
        f"neither networkd nor NetworkManager nor ifupdown configures {link}; set 'persist' to"
        " what does, or to 'none'"
    )


def gateway_of(route: bytes) -> IPv4Address:
    """The gateway in the daemon's `route.json`. Raises `CannotPersist` for other content."""
    try:
        content = json.loads(route)
        if content["version"] != 1 or not isinstance(content["gateway"], str):
            raise ValueError
        return IPv4Address(content["gateway"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CannotPersist("route.json is damaged; restart rcnetd") from None


def servicenet_of(network: Network, settings: Settings, metadata: Metadata) -> ServiceNet:
    """ServiceNet, found as the daemon finds it. Raises `CannotPersist` if there is none."""
    if metadata.is_rackconnect_v3:
        raise CannotPersist("this is RackConnect v3: rcnetd changes nothing here")
    if settings.manage is Manage.NEVER:
        raise CannotPersist("'manage: never' is set: rcnetd changes nothing here")
    servicenet = choose(network, settings.servicenet, hints(metadata, known=None))
    if servicenet is None:
        raise CannotPersist("there is no ServiceNet interface")
    return servicenet


def require_valid_gateway(
    gateway: IPv4Address, servicenet: ServiceNet, network: Network, settings: Settings
) -> None:
    """Whether *gateway* may be written: a fit one. Raises `CannotPersist`."""
    own = tuple(entry.interface for entry in network.addresses)
    reason = rejection(gateway, own, servicenet.address, onlink=settings.gateway.onlink)
    if reason is not None:
        raise CannotPersist(f"gateway {gateway} {reason}; nothing is written")


def require_in_effect(gateway: IPv4Address, servicenet: ServiceNet, network: Network) -> None:
    """Check that the kernel's default route is by it, diverted or not. Raises `CannotPersist`."""
    if not evaluate_route(network, servicenet, gateway).holds:
        raise CannotPersist(f"the kernel's route is not by gateway {gateway}; nothing is written")


def target(
    tree: Tree,
    renderer: Renderer,
    gateway: IPv4Address,
    servicenet: ServiceNet,
    network: Network,
    settings: Settings,
    metadata: Metadata,
) -> Target:
    """What the next boot is to come up with. The public links are the one that the metadata
    names, and those to which the files, without our edits, give a default route."""
    found = renderer.read_defaults(unedited(tree))
    public = tuple(
        _host_link(link, network.addresses)
        for link in network.links
        if link.ifindex != servicenet.link.ifindex
        and (
            (link.mac and link.mac == metadata.public_mac)
            or any(_is_of(default, link) for default in found)
        )
    )
    return Target(
        servicenet=_host_link(servicenet.link, network.addresses),
        gateway=gateway,
        public=public,
        policy=settings.public_interface,
        public_ipv6=settings.public_ipv6,
        public_routes=settings.public_routes,
        onlink=gateway not in servicenet.address.network,
    )


def changes(tree: Tree, renderer: Renderer, wanted: Target) -> Changes:
    """The changes of the files: those that take our edits back where nothing is needed."""
    if _is_so_already(renderer.read_defaults(unedited(tree)), wanted):
        return taken_back(tree)
    return renderer.render(tree, wanted)


def taken_back(tree: Tree) -> Changes:
    """The changes that leave nothing of ours in the files."""
    clean = unedited(tree)
    made: Changes = {path: Change(None) for path in tree if path not in clean}
    for path, file in clean.items():
        if file != tree[path]:
            made[path] = Change(file.data)
    return made


def unedited(tree: Tree) -> Tree:
    """The files without our edits, and without our own."""
    found = documents(tree)
    return {
        path: replace(file, data=found[path].data()) for path, file in tree.items() if path in found
    }


def _is_so_already(defaults: list[DefaultRoute], wanted: Target) -> bool:
    """Whether the host comes up so by itself: somebody has configured this gateway."""
    return (
        bool(defaults)
        and all(
            default.gateway == wanted.gateway and _names(default.link, wanted.servicenet)
            for default in defaults
        )
        and (wanted.policy, wanted.public_ipv6) == (PublicInterface.NO_DEFAULT, PublicIPv6.KEEP)
        and not wanted.public_routes
    )


def _host_link(link: Link, addresses: tuple[Address, ...]) -> HostLink:
    own = tuple(entry.interface for entry in addresses if entry.ifindex == link.ifindex)
    return HostLink(link.name, link.mac or None, own, link.kind)


def _is_of(default: DefaultRoute, link: Link) -> bool:
    return _names(default.link, HostLink(link.name, link.mac or None))


def _names(word: str, nic: HostLink) -> bool:
    return word == nic.mac or fnmatchcase(nic.name, word)


def diff(path: str, before: bytes | None, after: bytes | None) -> Iterator[str]:
    """The lines of a unified diff; None is a file that is not there."""
    texts = [
        (data or b"").decode("utf-8", "replace").splitlines(keepends=True)
        for data in (before, after)
    ]
    names = ["/dev/null" if data is None else path for data in (before, after)]
    for line in unified_diff(texts[0], texts[1], names[0], names[1]):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


@dataclass(frozen=True)
class RouteRestore:
    """What `revert` tells the kernel: links up with their addresses, routes back, ours away.

    *ours* goes last, and only where another default route is there then.
    """

    links: tuple[tuple[int, tuple[IPv4Interface, ...]], ...] = ()
    routes: tuple[Route, ...] = ()
    ours: tuple[Route, ...] = ()


def plan_restore(
    recorded_routes: Iterable[Route],
    recorded_links: Iterable[tuple[str, tuple[IPv4Interface, ...]]],
    network: Network,
) -> RouteRestore:
    """How the routes become again what they were, from what was recorded since boot.

    Links are known by their MACs. Only what a link of this server can have is put back.
    """
    by_mac = {link.mac: link.ifindex for link in network.links if link.mac}
    present = {link.ifindex for link in network.links}
    links = tuple((by_mac[mac], own) for mac, own in recorded_links if mac in by_mac)
    routes = tuple(
        route
        for route in recorded_routes
        if route.protocol != PROTOCOL
        and (route.ifindex is None or route.ifindex in present)
        and route.raw not in [other.raw for other in network.defaults]
    )
    others = [route for route in network.defaults if route.protocol != PROTOCOL]
    ours = tuple(route for route in network.defaults if route.protocol == PROTOCOL)
    return RouteRestore(links, routes, ours if routes or others else ())
