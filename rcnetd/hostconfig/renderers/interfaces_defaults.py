"""The default routes that the stanzas of /etc/network/interfaces set at boot.

A stanza sets one through `gateway`, through DHCP, or through commands; a command may also delete
the routes of stanzas that came up earlier. The family of a `gateway` is the address's: ifupdown2
and ifupdown-ng keep both families in one stanza, and iproute2 goes by the address too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address

from rcnetd.hostconfig.renderers.interfaces_file import (
    AT_BOOT,
    Interfaces,
    Line,
    Stanza,
    matches,
    read,
)
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, Tree
from rcnetd.hostconfig.renderers.route_arguments import DefaultArguments
from rcnetd.hostconfig.renderers.route_commands import CommandRoute, default_routes

_PHASES_UP = ("pre-up", "up", "post-up")
_PHASES = (*_PHASES_UP, "down", "pre-down", "post-down")
_STATIC = ("", "static", "tunnel")
_DYNAMIC = ("dhcp", "bootp")
_NEVER_FAILS = re.compile(r"(\|\||;)\s*(true|/bin/true|:|exit 0)\s*$")
_OWN_LINK = (None, "$IFACE", "${IFACE}", "%iface%")


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes after boot, in the order in which they are set."""
    found = read(tree, as_is=True)
    routes: list[DefaultRoute] = []
    for stanza in in_boot_order(found):
        if sets_default(stanza):
            routes.append(_default_of(stanza))
        for line, commands in command_lines(stanza):
            if line.words[0] in _PHASES_UP:
                routes = _after(routes, stanza, line, commands)
    return routes


def in_boot_order(found: Interfaces) -> list[Stanza]:
    """The stanzas that come up at boot, in order: `auto` first, then `allow-hotplug`."""
    words = [
        (line.words[0] == "allow-hotplug", word)
        for line, words in found.allowed
        if line.words[0] in AT_BOOT
        for word in words
    ]
    words.sort(key=lambda pair: pair[0])

    def position(stanza: Stanza) -> int:
        for index, (_, word) in enumerate(words):
            if stanza.name in (matches(word, stanza.name), word.partition("=")[2]):
                return index
        return len(words)

    coming = [
        one
        for one in found.stanzas
        if one.line.words[0] != "template" and position(one) < len(words)
    ]
    return sorted(coming, key=position)


def link_of(stanza: Stanza) -> str:
    """The link of a stanza, or its logical name; `eth0` for its alias `eth0:1`."""
    return stanza.name.partition(":")[0]


def is_dynamic(stanza: Stanza) -> bool:
    """Whether a stanza gets its IPv4 configuration from a server."""
    by_option = any("dhcp" in line.words[1:] for line in stanza.values("use"))
    return stanza.family in ("", "inet") and (stanza.method in _DYNAMIC or by_option)


def gateways(stanza: Stanza, version: int) -> list[tuple[Line, IPv4Address | IPv6Address]]:
    """The `gateway` lines of one family, also those that ifupdown 0.8 ignores."""
    found = []
    for line in stanza.values("gateway"):
        try:
            address = ip_address(line.words[1])
        except ValueError:
            raise CannotPersist(
                f"{line.where}: '{line.words[1]}' is not an address; replace it with one"
            ) from None
        if address.version == version:
            found.append((line, address))
    return found


def reaches(stanza: Stanza, gateway: IPv4Address) -> bool:
    """Whether a stanza gives its link an address in the gateway's network."""
    masks = [line.words[1] for line in stanza.values("netmask")]
    for line in stanza.values("address"):
        address, slash, length = line.words[1].partition("/")
        with contextlib.suppress(ValueError):
            mask = length if slash else masks[0] if masks else "32"
            if gateway in IPv4Interface(f"{address}/{mask}").network:
                return True
    return False


def may_fail(stanza: Stanza) -> bool:
    """Whether a command at the way up may fail, and with it the link."""
    return any(not _NEVER_FAILS.search(line.value) for line in stanza.values(*_PHASES_UP))


def sets_default(stanza: Stanza) -> bool:
    """Whether the method of a stanza sets an IPv4 default route."""
    return is_dynamic(stanza) or (stanza.method in _STATIC and bool(gateways(stanza, 4)))


def metric_of(stanza: Stanza) -> int:
    """The metric of the default route that the method sets. ifupdown-ng's is 1 if not given."""
    for line in reversed(stanza.values("metric")):
        if not (line.words[1].isascii() and line.words[1].isdecimal()):
            raise CannotPersist(f"{line.where}: '{line.words[1]}' is not a metric; use a number")
        return int(line.words[1])
    return 0


def command_lines(stanza: Stanza) -> Iterator[tuple[Line, list[CommandRoute]]]:
    """The lines whose commands add or delete default routes, at whatever time."""
    for line in stanza.values(*_PHASES):
        commands = default_routes(line.value)
        if commands:
            yield line, commands


def could_delete(command: CommandRoute, stanza: Stanza, route: DefaultRoute) -> bool:
    """Whether a command of *stanza* deletes *route*, should no other come first."""
    arguments = command.route
    return (
        not command.adds
        and arguments.version == 4
        and arguments.gateway in (None, route.gateway)
        and route.link in _links(arguments, stanza, route.link)
        and arguments.metric in (None, 0, route.metric)
    )


def _links(arguments: DefaultArguments, stanza: Stanza, otherwise: str) -> Sequence[str]:
    if arguments.link is None:
        return (otherwise,)
    return (link_of(stanza) if arguments.link in _OWN_LINK else arguments.link,)


def _default_of(stanza: Stanza) -> DefaultRoute:
    found = [] if is_dynamic(stanza) else gateways(stanza, 4)
    line, gateway = found[0] if found else (stanza.line, None)
    gateway = gateway if isinstance(gateway, IPv4Address) else None
    return DefaultRoute(link_of(stanza), gateway, metric_of(stanza), line.document.path)


def _after(
    routes: list[DefaultRoute], stanza: Stanza, line: Line, commands: Sequence[CommandRoute]
) -> list[DefaultRoute]:
    """The routes after the commands of a line."""
    for command in commands:
        if command.adds and command.route.version == 4:
            routes = [*routes, added_by(command, stanza, line)]
            continue
        doomed = [route for route in routes if could_delete(command, stanza, route)]
        if not command.flushes:  # `del` deletes the first only
            doomed = sorted(doomed, key=lambda route: route.metric)[:1]
        routes = [route for route in routes if route not in doomed]
    return routes


def added_by(command: CommandRoute, stanza: Stanza, line: Line) -> DefaultRoute:
    """The IPv4 default route that a command adds."""
    arguments = command.route
    link = link_of(stanza) if arguments.link in _OWN_LINK else str(arguments.link)
    gateway = arguments.gateway if isinstance(arguments.gateway, IPv4Address) else None
    return DefaultRoute(link, gateway, arguments.metric or 0, line.document.path)
