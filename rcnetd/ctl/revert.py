"""`rcnetctl revert`: put back the files and routes that were there before rcnetd.

What others have changed in the files since stays. Exit codes: 0 done, or nothing to do; 1 refused
or failed: then no file was changed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import PROTOCOL, Network, Query, Route
from rcnetd.core.routes import describe
from rcnetd.ctl import status
from rcnetd.ctl.command import add_root, host_paths
from rcnetd.ctl.persist import boot_id, reason
from rcnetd.ctl.terminal import say
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.hostconfig.transaction import Changed
from rcnetd.hostconfig.undo import RevertRecord, plan_restore
from rcnetd.netlink.decode import prefixlen, route
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import read_removed

MAX_LIFETIME = 2**31 // 100 - 1  # seconds of a route: the kernel's, at 100 ticks a second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl revert`."""
    parser.description = (
        "Restore the host's files and routes from before rcnetd. rcnetd must not be running:"
        " 'systemctl mask --now rcnetd' first."
    )
    parser.epilog = "Exit codes: 0 restored, or nothing to restore; 1 refused or failed."
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Restore the files, and the routes too unless it is an image's tree."""
    is_image = args.root != Path("/")
    return revert(host_paths().below(args.root), args.root, image=is_image)


def revert(paths: Paths, root: Path = Path("/"), *, image: bool = False) -> int:
    """Put back the files below *root*; unless they are an *image*'s, also this boot's routes."""
    if not image and _is_running(paths):
        return _fail("rcnetd is running and would undo it; run 'systemctl mask --now rcnetd' first")
    try:
        host = HostConfig(root, paths.undo)
        with host.locked():
            reverted = host.revert()
        for path in reverted.files:
            say(f"put back {path}")
        if image:
            return 0  # its kernel is not this one
        if not _routes_back(paths, reverted.record) and not reverted.files:
            say("nothing to put back: no file is rcnetd's, and no route was removed since boot")
    except (CannotPersist, Changed, NetlinkError, OSError) as error:
        return _fail(reason(error))
    with suppress(OSError):
        paths.persisted.unlink()
    return 0


def _is_running(paths: Paths) -> bool:
    try:
        return status.is_running(status.read(paths))
    except status.Unreadable:
        return False


def _routes_back(paths: Paths, record: RevertRecord) -> bool:
    """Put back the routes and links that can be; returns whether there were any."""
    removed = read_removed(paths)
    is_this_boot = record.boot_id == boot_id()
    routes = [*(record.routes if is_this_boot else ()), *removed["routes"]]
    links = [*(record.links if is_this_boot else ()), *removed["links"]]
    kernel = Kernel()
    network = kernel.read(Query())
    back = plan_restore(dict.fromkeys(_recorded(routes)), _set_down(links), network)
    for ifindex, own in back.links:
        kernel.bring_link_up(ifindex, own)
        link = network.link(ifindex)
        say(f"set {link.name if link else ifindex} up")
    for one in back.routes:
        kernel.restore_route(one.raw, one.expires)
        say(f"put back {describe(one, network)}")
    for one in back.ours:
        kernel.remove_route(one)
        say(f"removed {describe(one, network)}")
    if not back.ours and _has_ours(network):
        say("the route by the gateway stays until the next boot: there is no other")
        return True
    return bool(back.links or back.routes or back.ours)


def _recorded(entries: Sequence[Any]) -> list[Route]:
    """The default routes among *entries* that would still be there; no other is ours to add."""
    routes, now = [], round(time.monotonic())
    for entry in entries:
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, NetlinkError):
            raw = bytes.fromhex(entry["raw"])
            if prefixlen(raw) == 0:
                expires = max(0, min(int(entry.get("expires", 0)), MAX_LIFETIME))
                left = expires - max(0, now - int(entry.get("at", now)))
                if left > 0 or not expires:
                    routes.append(replace(route(raw), expires=left if expires else 0))
    return routes


def _set_down(entries: Sequence[Any]) -> list[tuple[str, tuple[IPv4Interface, ...]]]:
    """The MACs and addresses of the links among *entries*."""
    links = []
    for entry in entries:
        with suppress(ValueError, KeyError, TypeError):
            own = tuple(IPv4Interface(text) for text in entry["addresses"])
            links.append((str(entry["mac"]), own))
    return links


def _has_ours(network: Network) -> bool:
    return any(one.protocol == PROTOCOL for one in network.defaults)


def _fail(text: str) -> int:
    say(f"rcnetctl: {text}", file=sys.stderr)
    return 1
