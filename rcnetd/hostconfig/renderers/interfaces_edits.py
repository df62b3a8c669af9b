"""Edits that take default routes out of /etc/network/interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicIPv6
from rcnetd.hostconfig.renderers.interfaces_defaults import (
    added_by,
    command_lines,
    could_delete,
    gateways,
    in_boot_order,
    is_dynamic,
    link_of,
    metric_of,
)
from rcnetd.hostconfig.renderers.interfaces_file import (
    AT_BOOT,
    MAIN,
    Interfaces,
    Line,
    Stanza,
    matches,
)
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, HostLink, Target
from rcnetd.hostconfig.renderers.rendering import PLAIN_NAME
from rcnetd.hostconfig.renderers.route_commands import DHCP_CLIENTS, CommandRoute, without_routes

LOSING_METRIC = 1024  # of a default route that DHCP sets
_REFUSING = ("unreachable", "blackhole", "prohibit", "throw")  # types of routes without a link


def insert(stanza: Stanza, options: Sequence[str]) -> None:
    """Add options at the beginning of a stanza."""
    line = editable(stanza.line)
    line.document.insert_after(line.last, [f"    {option}" for option in options])


def editable(line: Line) -> Line:
    """Return the line, unless its file does not survive a boot."""
    if line.document.path.startswith("/run/"):
        raise CannotPersist(
            f"{line.where}: this file is created at each boot; configure the link in {MAIN}"
        )
    return line


def require_plain_name(stanza: Stanza) -> None:
    """Refuse a stanza whose name a shell would not take literally: a shell runs our lines."""
    if not PLAIN_NAME.fullmatch(stanza.name):
        raise CannotPersist(
            f"{stanza.line.where}: the name {stanza.name!r} has characters other than letters,"
            " digits and '_.:@-'; rename it"
        )


@dataclass
class Removal:
    """The removal of default routes, for one target."""

    found: Interfaces
    target: Target

    def clean(
        self, stanzas: Sequence[Stanza], public: Sequence[Stanza]
    ) -> list[tuple[str, IPv4Address]]:
        """Remove default routes; return the public links with their gateways."""
        old: list[tuple[str, IPv4Address]] = []
        for stanza in stanzas:
            no_ipv6 = stanza in public and self.target.public_ipv6 is PublicIPv6.NO_DEFAULT
            removed = [address for _, address in gateways(stanza, 4)]
            removed += self._clean_commands(stanza, stanzas, (4, 6) if no_ipv6 else (4,))
            if stanza in public:
                old += [(link_of(stanza), one) for one in removed if isinstance(one, IPv4Address)]
            self._remove_gateways(stanza, stanzas, 4)
            if no_ipv6:
                self._remove_gateways(stanza, stanzas, 6)
            if is_dynamic(stanza):
                self._let_dhcp_lose(stanza, stanzas)
        return old

    def _remove_gateways(self, stanza: Stanza, stanzas: Sequence[Stanza], version: int) -> None:
        lines = [line for line, _ in gateways(stanza, version)]
        # The metric is also that of DHCP, and of the other family's gateway.
        others = len(stanza.values("gateway")) > len(lines)
        if lines and not others and not is_dynamic(stanza):
            lines += stanza.values("metric")
        for line in lines:
            self._put_out(line, stanzas)

    def _clean_commands(
        self, stanza: Stanza, stanzas: Sequence[Stanza], versions: Sequence[int]
    ) -> list[IPv4Address | IPv6Address]:
        """Remove the commands that set or delete a default route; return the gateways."""
        removed: list[IPv4Address | IPv6Address] = []
        for line, commands in command_lines(stanza):
            mine = [command for command in commands if command.route.version in versions]
            self._remove_commands(line, mine, stanzas)
            found = [command.route.gateway for command in mine if command.adds]
            removed += [gateway for gateway in found if gateway is not None]
        return removed

    def clean_others(self, cleaned: Sequence[Stanza]) -> None:
        """Remove commands of other links that concern ServiceNet's or the public interface."""
        for stanza in in_boot_order(self.found):
            if stanza in cleaned:
                continue
            for line, commands in command_lines(stanza):
                mine = [one for one in commands if self._is_concerned(one, stanza, line)]
                self._remove_commands(line, mine, [stanza])

    def _is_concerned(self, command: CommandRoute, stanza: Stanza, line: Line) -> bool:
        target = self.target
        if command.route.version != 4:
            return False
        route = added_by(command, stanza, line)
        if command.adds:
            wins = command.route.kind in _REFUSING and route.metric <= METRIC
            nics = (target.servicenet, *target.public)
            return wins or any(nic.name == route.link or _reaches(nic, route) for nic in nics)
        ours = DefaultRoute(target.servicenet.name, target.gateway, METRIC)
        gone = [
            DefaultRoute(nic.name, route.gateway, route.metric)
            for nic in target.public
            if route.gateway is None or _reaches(nic, route)
        ]
        return any(could_delete(command, stanza, one) for one in (ours, *gone))

    def _remove_commands(
        self, line: Line, commands: Sequence[CommandRoute], stanzas: Sequence[Stanza]
    ) -> None:
        for command in commands:
            if command.program in DHCP_CLIENTS:
                raise CannotPersist(
                    f"{line.where}: '{command.program}' may set a default route; configure the link"
                    " with the method 'dhcp' instead"
                )
        if any(command.span is None for command in commands):
            raise CannotPersist(
                f"{line.where}: only a shell can tell what this line does with the default route;"
                " give the route a line of its own"
            )
        if commands:
            self._put_out(line, stanzas)
            rest = without_routes(line.value, commands)
            if rest:
                line.document.insert_after(line.last, [f"    {line.words[0]} {rest}"])

    def _let_dhcp_lose(self, stanza: Stanza, stanzas: Sequence[Stanza]) -> None:
        """Give DHCP's route a losing metric, for renewals, and delete it once the link is up.

        ifupdown2 and ifupdown-ng do not pass the metric on, so that `del` must not name it.
        """
        require_plain_name(stanza)
        added = []
        if metric_of(stanza) <= METRIC:
            for line in stanza.values("metric"):
                self._put_out(line, stanzas)
            added = [f"metric {LOSING_METRIC}"]
        added.append(f"up ip route del default dev {link_of(stanza)} || true")
        insert(stanza, added)

    def _put_out(self, line: Line, stanzas: Sequence[Stanza]) -> None:
        """Comment an option out, unless another link inherits it."""
        for other in in_boot_order(self.found):
            if other not in stanzas and any(option is line for option in other.effective()):
                raise CannotPersist(
                    f"{line.where}: {other.name} inherits this line too; give each link its own"
                )
        editable(line).put_out()

    def keep_down(self, nic: HostLink) -> None:
        """Remove a link and its aliases from the links that come up at boot."""
        for line, words in self.found.allowed:
            if line.words[0] not in AT_BOOT:
                continue
            removed = [
                word
                for word in words
                if matches(word, nic.name, nic.mac) or word.startswith(f"{nic.name}:")
            ]
            for word in removed:
                if "/" in word or word == "all":
                    raise CannotPersist(
                        f"{line.where}: '{word}' matches {nic.name} too; name the links instead"
                    )
            if removed:
                self._replace_words(line, words, removed)

    def _replace_words(self, line: Line, words: Sequence[str], removed: Iterable[str]) -> None:
        editable(line).put_out()
        left = [word for word in words if word not in removed]
        if left:
            line.document.insert_after(line.last, [" ".join((line.words[0], *left))])

    def ignore_advertisements(self, public: Sequence[Stanza]) -> None:
        """Keep the kernel from taking IPv6 default routes from router advertisements."""
        for name in dict.fromkeys(link_of(stanza) for stanza in public):
            mine = [stanza for stanza in public if stanza.name == name]
            mine.sort(key=lambda stanza: stanza.family != "inet6")
            for stanza in mine[:1]:
                require_plain_name(stanza)
                setting = f"net.ipv6.conf.{name.replace('.', '/')}.accept_ra_defrtr=0"
                insert(stanza, [f"pre-up sysctl -q -w {setting} || true"])


def _reaches(nic: HostLink, route: DefaultRoute) -> bool:
    """Whether a route's gateway is in a network of a link."""
    gateway = route.gateway
    return gateway is not None and any(gateway in address.network for address in nic.addresses)
