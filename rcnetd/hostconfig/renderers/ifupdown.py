"""The ifupdown renderer: /etc/network/interfaces and the files that it sources.

ifupdown 0.8, ifupdown2 and ifupdown-ng read these files; what is written here means the same to
all three. A link may have several `iface` stanzas, and all apply. So our route gets a stanza in
a file of our own, provided that all three programs find this file (an absolute `source`, see
interfaces_file) and that ifupdown 0.8 reads it after the stanza with the link's address; the other
two apply addresses of all stanzas first. Otherwise it becomes a marked line in that stanza. The
route has metric 1 and is set by `ip route replace`: `add` fails where the daemon has set it
already, and a failing `up` line makes the link, and networking.service, fail.

Each way to a default route, and what is done about it. Links of no concern keep theirs if it loses.

    gateway (static, tunnel, no method)         commented out, with its metric
    gateway (any other method)                  commented out; ifupdown-ng would use it
    DHCP: dhcp, bootp, `use dhcp`               gets a losing metric, and is deleted once up
    up, pre-up, post-up: ip, route, busybox     commented out, or taken out of a longer line
    the same in another link's stanza           taken out if it concerns the public interface
    down, pre-down, post-down                   as above, so that nothing deletes our route
    del or flush, also in another link's stanza taken out if it could delete our route
    $(…), `…`, sh -c '…' with a default route   refused: only a shell can tell
    inherits, inherit, template                 the parent's lines, unless another link has them too
    source, source-directory                    followed, also several levels; others are refused
    mapping                                     refused: a script decides
    pointopoint                                 sets a host route only
    ppp, wvdial                                 not seen: the peer's own files decide
    scripts in /etc/network/if-*.d, or called   not seen: they are code
    router advertisements (inet6)               switched off by sysctl, if IPv6 defaults must go
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC, PROTOCOL
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.interfaces_defaults import (
    added_by,
    command_lines,
    could_delete,
    gateways,
    in_boot_order,
    is_dynamic,
    link_of,
    metric_of,
    read_defaults,
)
from rcnetd.hostconfig.renderers.interfaces_file import (
    AT_BOOT,
    DIRECTORIES,
    MAIN,
    Interfaces,
    Line,
    Stanza,
    matches,
    read,
)
from rcnetd.hostconfig.renderers.marked_edits import (
    BEGIN,
    HEADER,
    OFF,
    Document,
    applied,
    changes,
    own,
)
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Changes,
    DefaultRoute,
    File,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.route_commands import CommandRoute, without_routes

__all__ = ["PATTERNS", "query_name", "read_defaults", "render"]

PATTERNS = (MAIN, *(f"{directory}/*" for directory in DIRECTORIES))
# The first that is sourced: some lines read only names that end with `.cfg`.
OWN = tuple(f"{DIRECTORIES[0]}/{name}" for name in ("zz-rcnetd", "zz-rcnetd.cfg"))
LOSING_METRIC = 1024  # of a default route by DHCP
_DNS = ("dns-nameservers", "dns-nameserver")
_PROBE = "-"  # not the name of any link
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:@-]+")


def render(tree: Tree, target: Target) -> Changes:
    """Compute the changes after which the next boot brings up the links as *target* says."""
    for link in (target.servicenet, *target.public):
        _refuse_special_name(link.name)
    theirs = {
        path: file
        for path, file in tree.items()
        if path not in OWN and not file.data.startswith(HEADER.encode())
    }
    found = read(theirs)
    rendering = _Rendering(found, target, *_own_place(theirs))
    rendering.run()
    documents = {**_formerly_edited(theirs, found), **found.documents}
    touched = {path: file for path, file in tree.items() if path in documents or path not in theirs}
    made = changes(touched, documents, rendering.own_files())
    _check(tree, made, target)
    return made


def query_name(tree: Tree, link: HostLink) -> str:
    """The name of a link for `ifquery`: `eth1`, or `eth1=home` where its stanza is called so."""
    names = read(tree, as_is=True).at_boot(link.name, link.mac)
    return f"{link.name}={names[0]}" if names and names[0] != link.name else link.name


def _refuse_special_name(name: str) -> None:
    if not _PLAIN_NAME.fullmatch(name):
        raise CannotPersist(
            f"the link name '{name}' has special characters, and a shell runs the lines of"
            f" {MAIN}; rename the link"
        )


def _formerly_edited(tree: Tree, found: Interfaces) -> dict[str, Document]:
    """Files with edits of ours that are not read any more."""
    return {
        path: Document(path, file.data)
        for path, file in tree.items()
        if path not in found.documents
        and (BEGIN.encode() in file.data or OFF.encode() in file.data)
    }


def _own_place(theirs: Tree) -> tuple[str | None, int]:
    """Return which file of ours all programs would read, and how many stanzas come before it."""
    for path in OWN:
        probe = File(f"iface {_PROBE} inet manual\n".encode())
        found = read({**theirs, path: probe})
        if path in found.found_by_all:
            return path, [stanza.name for stanza in found.stanzas].index(_PROBE)
    return None, 0


@dataclass
class _Rendering:
    """The edits for one target."""

    found: Interfaces
    target: Target
    own_path: str | None
    before_own: int
    own_options: dict[str, list[str]] = field(default_factory=dict)

    def own_files(self) -> dict[str, bytes]:
        """The file of ours, if there are lines for it."""
        lines: list[str] = []
        for name, options in self.own_options.items():
            lines += ["", f"iface {name} inet manual", *(f"    {option}" for option in options)]
        return {str(self.own_path): own(lines)} if lines else {}

    def run(self) -> None:
        """Make all edits."""
        target = self.target
        down = target.policy is PublicInterface.DOWN
        for nic in (target.servicenet, *target.public):
            self._refuse_mapping(nic)
        servicenet = self._servicenet()
        public = [stanza for nic in target.public for stanza in self._stanzas(nic)]
        cleaned = [*self._stanzas(target.servicenet), *([] if down else public)]
        old = self._clean(cleaned, public)
        self._clean_others([*cleaned, *public])
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
                    f"{line.where}: a script decides how {nic.name} is configured; configure"
                    f" {nic.name} without a mapping"
                )

    def _stanzas(self, nic: HostLink) -> list[Stanza]:
        names = {nic.name, *self.found.at_boot(nic.name, nic.mac)}
        return [stanza for stanza in self.found.stanzas if link_of(stanza) in names]

    def _servicenet(self) -> list[Stanza]:
        """ServiceNet's IPv4 stanzas, without those of its aliases."""
        nic = self.target.servicenet
        names = self.found.at_boot(nic.name, nic.mac)
        found = [
            stanza
            for stanza in self.found.stanzas
            if stanza.name in names and stanza.family in ("", "inet")
        ]
        if not found:
            raise CannotPersist(
                f"{MAIN}: {nic.name} is not configured and brought up at boot; add"
                f" 'auto {nic.name}' and 'iface {nic.name} inet …'"
            )
        if len({stanza.name for stanza in found}) > 1:
            raise CannotPersist(
                f"{found[-1].line.where}: {nic.name} comes up under several names; keep one"
            )
        _refuse_special_name(found[0].name)
        return found

    # What is removed

    def _clean(
        self, stanzas: Sequence[Stanza], public: Sequence[Stanza]
    ) -> list[tuple[str, IPv4Address]]:
        """Remove default routes; return the public links with their gateways."""
        old: list[tuple[str, IPv4Address]] = []
        for stanza in stanzas:
            removed = [address for _, address in gateways(stanza, 4)]
            removed += self._clean_commands(stanza, stanzas, 4)
            if stanza in public:
                old += [(link_of(stanza), one) for one in removed if isinstance(one, IPv4Address)]
            self._remove_gateways(stanza, stanzas, 4)
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
        self, stanza: Stanza, stanzas: Sequence[Stanza], version: int
    ) -> list[IPv4Address | IPv6Address]:
        """Remove the commands that set or delete a default route; return the gateways."""
        removed: list[IPv4Address | IPv6Address] = []
        for line, commands in command_lines(stanza):
            mine = [command for command in commands if command.route.version == version]
            self._remove_commands(line, mine, stanzas)
            found = [command.route.gateway for command in mine if command.adds]
            removed += [gateway for gateway in found if gateway is not None]
        return removed

    def _clean_others(self, cleaned: Sequence[Stanza]) -> None:
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
            return any(
                nic.name == route.link or _reaches(nic, route)
                for nic in (target.servicenet, *target.public)
            )
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
        _refuse_special_name(stanza.name)
        added = []
        if metric_of(stanza) <= METRIC:
            for line in stanza.values("metric"):
                self._put_out(line, stanzas)
            added = [f"metric {LOSING_METRIC}"]
        added.append(f"up ip route del default dev {link_of(stanza)} || true")
        self._insert(stanza, added)

    def _put_out(self, line: Line, stanzas: Sequence[Stanza]) -> None:
        """Comment an option out, unless another link inherits it."""
        for other in in_boot_order(self.found):
            if other not in stanzas and any(option is line for option in other.effective()):
                raise CannotPersist(
                    f"{line.where}: {other.name} inherits this line too; give each link its own"
                )
        self._editable(line).put_out()

    def _editable(self, line: Line) -> Line:
        if line.document.path.startswith("/run/"):
            raise CannotPersist(
                f"{line.where}: this file is created at each boot; configure the link in {MAIN}"
            )
        return line

    def _keep_down(self, nic: HostLink) -> None:
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
        self._editable(line).put_out()
        left = [word for word in words if word not in removed]
        if left:
            line.document.insert_after(line.last, [" ".join((line.words[0], *left))])

    def _no_ipv6(self, public: Sequence[Stanza]) -> None:
        """Remove the IPv6 default routes of the public links."""
        for stanza in public:
            self._clean_commands(stanza, public, 6)
            self._remove_gateways(stanza, public, 6)
        # Without a gateway the kernel takes one from router advertisements.
        for name in dict.fromkeys(link_of(stanza) for stanza in public):
            mine = [stanza for stanza in public if stanza.name == name]
            mine.sort(key=lambda stanza: stanza.family != "inet6")
            for stanza in mine[:1]:
                _refuse_special_name(name)
                setting = f"net.ipv6.conf.{name.replace('.', '/')}.accept_ra_defrtr=0"
                self._insert(stanza, [f"pre-up sysctl -q -w {setting} || true"])

    # What is added

    def _move_dns(self, public: Sequence[Stanza], servicenet: Sequence[Stanza]) -> None:
        """Give ServiceNet the name servers of the public links, after its own.

        Hook scripts keep the options of a link's last stanza, and all lines of an option there.
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
                " 'gateway' line; add the routes to the link's stanza"
            )
        link, gateway = old[0]
        _refuse_special_name(link)
        stanzas = [
            stanza
            for stanza in self.found.stanzas
            if stanza.name == link and stanza.family in ("", "inet")
        ]
        routes = [
            f"up ip route replace {network} via {gateway} dev {link} || true"
            for network in self.target.public_routes
        ]
        self._add(link, stanzas, routes)

    def _is_own(self, stanzas: Sequence[Stanza]) -> bool:
        """Whether our own file is read, and after these stanzas.

        Where DHCP's route is deleted, ours must follow in the same stanza: only ifupdown 0.8 keeps
        the commands of several stanzas in the order of the files.
        """
        before = self.found.stanzas[: self.before_own]
        return self.own_path is not None and all(
            stanza in before and not is_dynamic(stanza) for stanza in stanzas
        )

    def _add(self, name: str, stanzas: Sequence[Stanza], options: Sequence[str]) -> None:
        """Add options for a link, in our own file if it is read after its stanzas."""
        if self._is_own(stanzas):
            self.own_options.setdefault(name, []).extend(options)
        else:
            self._insert(stanzas[-1], options)

    def _insert(self, stanza: Stanza, options: Sequence[str]) -> None:
        line = self._editable(stanza.line)
        line.document.insert_after(line.last, [f"    {option}" for option in options])


def _reaches(nic: HostLink, route: DefaultRoute) -> bool:
    """Whether a route's gateway is in a network of a link."""
    gateway = route.gateway
    return gateway is not None and any(gateway in address.network for address in nic.addresses)


def _command(target: Target) -> str:
    onlink = " onlink" if target.onlink else ""
    return (
        f"up ip route replace default via {target.gateway} dev {target.servicenet.name}{onlink}"
        f" metric {METRIC} proto {PROTOCOL} || true"
    )


def _name_servers(stanzas: Sequence[Stanza]) -> list[str]:
    """The IPv4 name servers, each once."""
    words = [word for stanza in stanzas for line in stanza.values(*_DNS) for word in line.words[1:]]
    return list(dict.fromkeys(word for word in words if re.fullmatch(r"[0-9.]+", word)))


def _check(tree: Tree, made: Changes, target: Target) -> None:
    """Read the result: exactly one default route wins, and it is ours."""
    defaults = read_defaults(applied(tree, made))
    best = min((default.metric for default in defaults), default=METRIC)
    ours = DefaultRoute(target.servicenet.name, target.gateway, METRIC)
    if ours not in defaults:
        raise CannotPersist(
            f"{MAIN}: another line deletes the default route of {target.servicenet.name}; remove it"
        )
    for default in defaults:
        if default.metric == best and default != ours:
            raise CannotPersist(
                f"{default.path}: {default.link} would still have a default route of metric"
                f" {default.metric}, which wins; remove it"
            )
