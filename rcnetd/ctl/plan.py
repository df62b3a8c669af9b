"""`rcnetctl plan`: what rcnetd would change on this host now, and what that would break.

It decides nothing itself: the core says which routes would be removed, `hostconfig` which files
would change.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import endpoint, load
from rcnetd.core.facts import Facts
from rcnetd.core.guard import ipv6_bypasses, planned_removals
from rcnetd.core.model import METRIC, Operation, Query
from rcnetd.core.public import cannot_set_down, choose_public, find_public
from rcnetd.core.routes import OUTSIDE, describe, is_ours
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Backend, Metadata, PublicInterface, PublicIPv6, Settings
from rcnetd.ctl import ask, status
from rcnetd.ctl.command import CommandError, address, host_paths
from rcnetd.ctl.ssh_sessions import ssh_sessions
from rcnetd.ctl.terminal import say
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles

CONNECTIONS = Path("/proc/net/tcp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl plan`."""
    parser.description = (
        "Show what rcnetd would change on this host now: routes, a diff of each file, and what"
        " that would break. Changes nothing."
    )
    parser.epilog = (
        "Exit codes: 0 shown; 1 rcnetd would refuse, with the reason; 69 or 75 the gateway is not"
        " known (yet); 78 invalid settings."
    )
    parser.add_argument(
        "--gateway", metavar="ADDRESS", type=address,
        help="assume this gateway instead of asking rcnetd or the API",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the plan for the gateway that is given, that rcnetd uses or that the API assigns."""
    plan(host_paths(), args.config, args.gateway)
    return 0


def plan(
    paths: Paths, config: Sequence[Path], gateway: IPv4Address | None, root: Path = Path("/")
) -> None:
    """Print the plan. Raises `CommandError`."""
    from rcnetd.metadata.file import read

    metadata, _ = read(paths.metadata)
    with _one_line():
        settings = load(config, environ=os.environ)
        network = Kernel().read(Query(destinations=(OUTSIDE,), ipv6=True))
        servicenet = policy.servicenet_of(network, settings, metadata)
    source = "as given"
    if gateway is None:
        gateway, source = _gateway(paths, settings, metadata)
    say(f"ServiceNet  {servicenet.link.name} {servicenet.address}: {servicenet.why}")
    say(f"Gateway     {gateway}, {source}")
    with _one_line():
        policy.require_valid_gateway(gateway, servicenet, network, settings)
    recorded = RuntimeFiles(paths).read_public()
    public = (recorded and find_public(network, recorded)) or choose_public(
        network, servicenet, metadata
    )
    facts = Facts(settings, metadata, network=network, servicenet=servicenet, public=public)
    _show_routes(facts, servicenet, gateway)
    if settings.persist is Backend.NONE:
        say("Files       none: 'persist: none' is set")
    else:
        _show_files(HostConfig(root, paths.undo), facts, servicenet, gateway)
    for line in _what_breaks(facts, servicenet):
        say(f"WARNING     {line}")


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn what can go wrong while something is read into one plain line."""
    try:
        yield
    except ConfigError as error:
        raise CommandError(str(error), os.EX_CONFIG) from None
    except (CannotPersist, NetlinkError) as error:
        raise CommandError(str(error)) from None
    except PermissionError:
        text = "only root may read the host's network configuration; run it as root"
        raise CommandError(text) from None
    except OSError as error:
        raise CommandError(f"Failed to read '{error.filename}': {error.strerror}") from None


def _gateway(paths: Paths, settings: Settings, metadata: Metadata) -> tuple[IPv4Address, str]:
    """Return the gateway that rcnetd uses, or the API's, and whose it is."""
    try:
        content = status.read(paths)
        known = content["gateway"]["address"] if content and status.is_running(content) else None
        if known:
            return IPv4Address(known), "rcnetd's"
    except (status.Unreadable, *status.NOT_ITS_FORM):
        pass  # the API knows
    try:
        with _one_line():
            url = endpoint(settings, metadata)
        body = ask.ask(paths, settings, metadata, url, Operation.GATEWAY, "text")
    except PermissionError:
        text = "only root may ask the API; run it as root, or with --gateway ADDRESS"
        raise CommandError(text, os.EX_TEMPFAIL) from None
    except OSError as error:
        text = f"Failed to use '{paths.requests}': {error.strerror}"
        raise CommandError(text, os.EX_UNAVAILABLE) from None
    try:
        return IPv4Address(body.decode("ascii", "replace").strip()), "the API's"
    except ValueError:
        text = "the API's answer is not an IPv4 address"
        raise CommandError(text, os.EX_UNAVAILABLE) from None


def _show_routes(facts: Facts, servicenet: ServiceNet, gateway: IPv4Address) -> None:
    removals, public = planned_removals(facts, gateway), facts.public
    defaults, link = facts.network.defaults, servicenet.link
    others = [route for route in defaults if not is_ours(route, link.ifindex, gateway)]
    if len(others) == len(defaults):
        say(f"Route       would add default via {gateway} dev {link.name} metric {METRIC}")
    else:
        say("Route       is in place")
    keeps = facts.settings.public_interface is PublicInterface.NO_DEFAULT
    for route in others:
        word = "would remove" if route in removals else "would leave"
        say(f"            {word} {describe(route, facts.network)}")
        is_public = public is not None and route.ifindex == public.ifindex
        if keeps and is_public and route in removals and route.gateway:
            for kept in facts.settings.public_routes:
                say(f"            would add {kept} via {route.gateway}")
    removes = facts.settings.public_ipv6 is PublicIPv6.NO_DEFAULT
    for route in ipv6_bypasses(facts, servicenet):
        word = "would remove" if removes else "would leave"
        say(f"            {word} {describe(route, facts.network)} (IPv6)")


def _show_files(
    host: HostConfig, facts: Facts, servicenet: ServiceNet, gateway: IPv4Address
) -> None:
    with _one_line():
        planned = host.plan(facts.settings, facts.metadata, facts.network, servicenet, gateway)
    number, name = len(planned.changes), planned.backend.value
    say(f"Files       {name}: {number or 'nothing'} to change")
    for path, change in sorted(planned.changes.items()):
        before = planned.tree.get(path)
        lines = policy.diff(path, before.data if before else None, change.data)
        if not sys.stdout.isatty():
            sys.stdout.writelines(lines)  # also for patch(1)
            continue
        for line in lines:
            say(line.rstrip("\n"))
    with _one_line():
        for warning in planned.verify():
            say(f"WARNING     {warning}")


def _what_breaks(facts: Facts, servicenet: ServiceNet) -> Iterator[str]:
    """Say what would no longer work, and what would still bypass the firewall."""
    if facts.settings.public_ipv6 is PublicIPv6.KEEP and ipv6_bypasses(facts, servicenet):
        yield (
            "the IPv6 default route would stay and bypass the RackConnect firewall;"
            " 'public_ipv6: no-default' removes it"
        )
    public = facts.public
    link = facts.network.link(public.ifindex) if public else None
    if public is None or link is None:
        return
    own = {entry.interface.ip for entry in facts.network.addresses if entry.ifindex == link.ifindex}
    try:
        text = CONNECTIONS.read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    for ours, theirs in ssh_sessions(text, own):
        yield f"the SSH session from {theirs} to {ours} (public) would break"
    if not link.up or facts.settings.public_interface is not PublicInterface.DOWN:
        return
    reason = cannot_set_down(facts.network, public, servicenet)
    if reason is not None:
        yield f"{link.name} would not be set down: {reason}"
    else:
        yield f"{link.name} would be set down, and every connection over it would break"
