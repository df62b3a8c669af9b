"""Decides what to write into the host's network configuration, and whether to write at all. Pure.

The daemon writes `route.json` and has fewer rights than the process that writes /etc. So its word
is checked here like an answer from outside, against the kernel's state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import unified_diff
from ipaddress import IPv4Address

from rcnetd.core.model import Address, Link, Network
from rcnetd.core.routes import evaluate_route
from rcnetd.core.servicenet import ServiceNet, choose, hints, rejection
from rcnetd.core.settings import Manage, Metadata, PublicInterface, PublicIPv6, Settings
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Change,
    Changes,
    DefaultRoute,
    HostLink,
    NotYet,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.registry import Renderer
from rcnetd.hostconfig.renderers.rendering import fits
from rcnetd.hostconfig.undo import RevertRecord

OWN, MOVED = "/etc/netplan/zz-rcnetd.yaml", "/etc/netplan/zz-netplan-set.yaml"


def gateway_of(route: bytes) -> IPv4Address:
    """Read the gateway from the daemon's `route.json`. Raises `CannotPersist` if it is damaged."""
    try:
        content = json.loads(route)
        if content["version"] != 1 or not isinstance(content["gateway"], str):
            raise ValueError
        return IPv4Address(content["gateway"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CannotPersist("route.json is damaged; restart rcnetd") from None


def servicenet_of(network: Network, settings: Settings, metadata: Metadata) -> ServiceNet:
    """Find ServiceNet as the daemon does. Raises `CannotPersist` if there is none."""
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
    """Check that *gateway* can be a gateway on ServiceNet. Raises `CannotPersist`."""
    own = tuple(entry.interface for entry in network.addresses)
    reason = rejection(gateway, own, servicenet.address, onlink=settings.gateway.onlink)
    if reason is not None:
        raise CannotPersist(f"gateway {gateway} {reason}; nothing is written")


def require_in_effect(gateway: IPv4Address, servicenet: ServiceNet, network: Network) -> None:
    """Check that the kernel's default route is by *gateway*, diverted or not. Raises `NotYet`."""
    if not evaluate_route(network, servicenet, gateway).holds:
        raise NotYet(f"the kernel's default route is not by gateway {gateway}; nothing is written")


def target(
    original: Tree,
    renderer: Renderer,
    gateway: IPv4Address,
    servicenet: ServiceNet,
    network: Network,
    settings: Settings,
    metadata: Metadata,
) -> Target:
    """What the next boot should come up with.

    Public are the link that the metadata names and the links to which *original*, the files without
    our edits, gives a default route.
    """
    links = {link.ifindex: _host_link(link, network.addresses) for link in network.links}
    found = renderer.defaults(original, tuple(links.values()))
    public = tuple(
        link
        for ifindex, link in links.items()
        if ifindex != servicenet.link.ifindex
        and (
            (link.mac and link.mac == metadata.public_mac)
            or any(fits(default.link, link) for default in found)
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


def changes(tree: Tree, original: Tree, renderer: Renderer, wanted: Target) -> Changes:
    """What makes the next boot come up as *wanted*; *original* is the tree without our edits.

    Where that boot would come up so by itself, our edits are taken back. They are in the order in
    which they are safe to write: whatever a crash leaves, there is a default route.
    """
    made = _changes(tree, original, renderer, wanted)
    gateway = str(wanted.gateway).encode()

    def step(path: str) -> int:
        change, old = made[path], tree.get(path)
        is_in_new = gateway in (change.data or b"")
        is_in_old = old is not None and gateway in old.data
        return is_in_old - is_in_new  # our route comes first, and goes last

    return {path: made[path] for path in sorted(made, key=step)}


def _changes(tree: Tree, original: Tree, renderer: Renderer, wanted: Target) -> Changes:
    links = (wanted.servicenet, *wanted.public)
    if _is_so_already(renderer.defaults(original, links), wanted):
        return difference(tree, original)
    if _same_content(original, RevertRecord().without_ours(tree)):
        return renderer.render(
            tree, wanted
        )  # its messages count the lines of the files as they are
    foreign = _own_place_free(original)
    return difference(tree, applied(foreign, renderer.render(foreign, wanted)))


def difference(tree: Tree, wanted: Tree) -> Changes:
    """What makes *wanted* of *tree*."""
    made: Changes = {path: Change(None) for path in tree if path not in wanted}
    for path, file in wanted.items():
        if path not in tree or file.data != tree[path].data:
            made[path] = Change(file.data, file.mode)
    return made


def taken_back(tree: Tree) -> Changes:
    """What leaves nothing of ours in files that still have our marks."""
    return difference(tree, RevertRecord().without_ours(tree))


def _same_content(one: Tree, other: Tree) -> bool:
    return {path: file.data for path, file in one.items()} == {
        path: file.data for path, file in other.items()
    }


def _own_place_free(original: Tree) -> Tree:
    """`netplan set` moves a definition into the file that mentions it last, which is ours. What is
    foreign there moves to a file of its own, which netplan reads just before ours."""
    return {MOVED if path == OWN else path: file for path, file in original.items()}


def _is_so_already(defaults: list[DefaultRoute], wanted: Target) -> bool:
    """Whether somebody has configured this very gateway, and nothing more is wanted."""
    return (
        bool(defaults)
        and all(
            default.gateway == wanted.gateway and fits(default.link, wanted.servicenet)
            for default in defaults
        )
        and (wanted.policy, wanted.public_ipv6) == (PublicInterface.NO_DEFAULT, PublicIPv6.KEEP)
        and not wanted.public_routes
    )


def _host_link(link: Link, addresses: tuple[Address, ...]) -> HostLink:
    own = tuple(entry.interface for entry in addresses if entry.ifindex == link.ifindex)
    return HostLink(link.name, link.mac or None, own, link.kind)


def diff(path: str, before: bytes | None, after: bytes | None) -> Iterator[str]:
    """Yield the lines of a unified diff; None stands for a file that does not exist."""
    texts = [
        (data or b"").decode("utf-8", "replace").splitlines(keepends=True)
        for data in (before, after)
    ]
    names = ["/dev/null" if data is None else path for data in (before, after)]
    for line in unified_diff(texts[0], texts[1], names[0], names[1]):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
