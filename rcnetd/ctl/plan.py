"""`rcnetctl plan`: what rcnetd would do on this host now, and what would break; changes nothing.

Exit codes: 0; 1 it cannot be done, and why; 69 or 75 the gateway is not known (yet); 78 settings
wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import configuration
from rcnetd.core.model import METRIC, PROTOCOL, Link, Network, Operation, Query
from rcnetd.core.routes import OUTSIDE, describe
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Backend, Metadata, PublicInterface, Settings
from rcnetd.ctl import ask, status
from rcnetd.ctl.persist import ROOT, prepare
from rcnetd.ctl.ssh_sessions import ssh_sessions
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.hostconfig.verify import check
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.store.paths import Paths

CONNECTIONS = Path("/proc/net/tcp")


def run(
    paths: Paths, config: Sequence[Path], gateway: IPv4Address | None, root: Path = ROOT
) -> int:
    """Show it, for the gateway that the API gives, or for *gateway*."""
    from rcnetd.metadata.file import read

    metadata, _ = read(paths.metadata)
    try:
        settings, url = configuration(config, metadata)
    except ConfigError as error:
        return _fail(str(error), os.EX_CONFIG)
    try:
        network = Kernel().read(Query(destinations=(OUTSIDE,)))
        servicenet = policy.servicenet_of(network, settings, metadata)
        source = "as given"
        if gateway is None:
            gateway, source = _gateway(paths, settings, metadata, url)
        print(f"ServiceNet  {servicenet.link.name} {servicenet.address}: {servicenet.why}")
        print(f"Gateway     {gateway}, {source}")
        policy.require_valid_gateway(gateway, servicenet, network, settings)
        _show_routes(gateway, servicenet, network, settings)
        _show_files(paths, root, settings, metadata, network, servicenet, gateway)
    except ask.NoAnswer as error:
        return _fail(str(error), error.code)
    except PermissionError:
        return _fail("only root may read the host's configuration; run it as root", 1)
    except (CannotPersist, NetlinkError) as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"Failed to read '{error.filename}': {error.strerror}", 1)
    return 0


def _gateway(
    paths: Paths, settings: Settings, metadata: Metadata, url: str
) -> tuple[IPv4Address, str]:
    """The daemon's, or the API's."""
    try:
        content = status.read(paths)
        known = content["gateway"]["address"] if content and status.is_running(content) else None
        if known:
            return IPv4Address(known), "rcnetd's"
    except (status.Unreadable, *status.NOT_ITS_FORM):
        pass  # the API knows
    try:
        body = ask.ask(paths, settings, metadata, url, Operation.GATEWAY, "text")
    except PermissionError:
        text = "only root may ask the API; run it as root, or with --gateway ADDRESS"
        raise ask.NoAnswer(text, os.EX_TEMPFAIL) from None
    try:
        return IPv4Address(body.decode("ascii", "replace").strip()), "the API's"
    except ValueError:
        raise ask.NoAnswer("the API's answer is no IPv4 address", os.EX_UNAVAILABLE) from None


def _show_routes(
    gateway: IPv4Address, servicenet: ServiceNet, network: Network, settings: Settings
) -> None:
    ours = (servicenet.link.ifindex, gateway, METRIC, PROTOCOL)
    others = [
        route
        for route in network.defaults
        if (route.ifindex, route.gateway, route.metric, route.protocol) != ours
    ]
    if len(others) == len(network.defaults):
        name = servicenet.link.name
        print(f"Route       would add default via {gateway} dev {name} metric {METRIC}")
    else:
        print("Route       is in effect")
    for route in others:
        word = (
            "would remove"
            if route.metric <= METRIC or _is_public(route.ifindex, servicenet)
            else "would leave"
        )
        print(f"            {word} {describe(route, network)}")
        is_kept = settings.public_interface is PublicInterface.NO_DEFAULT
        if is_kept and route.gateway and _is_public(route.ifindex, servicenet):
            for kept in settings.public_routes:
                print(f"            would add {kept} via {route.gateway}")


def _is_public(ifindex: int | None, servicenet: ServiceNet) -> bool:
    return ifindex != servicenet.link.ifindex


def _show_files(
    paths: Paths,
    root: Path,
    settings: Settings,
    metadata: Metadata,
    network: Network,
    servicenet: ServiceNet,
    gateway: IPv4Address,
) -> None:
    public = [
        link
        for link in network.links
        if link.ifindex != servicenet.link.ifindex
        and (
            link.mac == metadata.public_mac
            if metadata.public_mac
            else any(route.ifindex == link.ifindex for route in network.defaults)
        )
    ]
    if settings.persist is Backend.NONE:
        print("Files       none: 'persist: none' is set")
    else:
        prepared = prepare(
            HostConfig(root, paths.undo), settings, metadata, network, servicenet, gateway
        )
        number = len(prepared.changes)
        name = prepared.renderer.persist.value
        print(f"Files       {name}: {number or 'nothing'} to change")
        for path, change in sorted(prepared.changes.items()):
            before = prepared.found.get(path)
            data = before.data if before else None
            sys.stdout.writelines(policy.diff(path, data, change.data))
        if prepared.changes:
            after = applied(prepared.found, prepared.changes)
            check(prepared.renderer.persist, after, prepared.target)
    for line in _what_breaks(settings, network, public):
        print(f"WARNING     {line}")


def _what_breaks(settings: Settings, network: Network, public: list[Link]) -> Iterator[str]:
    indexes = {link.ifindex for link in public}
    own = {entry.interface.ip for entry in network.addresses if entry.ifindex in indexes}
    try:
        text = CONNECTIONS.read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    for ours, theirs in ssh_sessions(text, own):
        yield f"the SSH session from {theirs} to {ours} (public) would break"
    for link in public:
        if link.up and settings.public_interface is PublicInterface.DOWN:
            yield f"{link.name} would be set down, with all that comes in by it"


def _fail(text: str, code: int) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return code
