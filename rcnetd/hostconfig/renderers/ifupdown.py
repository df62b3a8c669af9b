"""The ifupdown renderer: /etc/network/interfaces and the files that it sources.

ifupdown 0.8, ifupdown2 and ifupdown-ng read these files; what is written here means the same to
all three. A link may have several `iface` stanzas, and all apply. So our route gets a stanza in
a file of our own, provided that all three programs find this file (an absolute `source`, see
interfaces_file) and that ifupdown 0.8 reads it after the stanza with the link's address; the other
two apply addresses of all stanzas first. Otherwise it becomes a marked line in that stanza, and so
it does if a command there may fail: ifupdown 0.8 and ifupdown-ng then leave the link as it is, and
the server would have no default route at all. The route has metric 1 and is set by `ip route
replace`: `add` fails where the daemon has set it already.

Each way to a default route, and what is done about it. Links of no concern keep theirs if it loses.

    gateway (static, tunnel, no method)         commented out, with its metric
    gateway (any other method)                  commented out; ifupdown-ng would use it
    DHCP: dhcp, bootp, `use dhcp`               gets a losing metric, and is deleted once up
    up, pre-up, post-up: ip, route, busybox     commented out, or taken out of a longer line
    unreachable, blackhole, prohibit, throw     the same
    the same in another link's stanza           taken out if it concerns the public interface
    a DHCP client started by such a line        refused: use the method dhcp
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
from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC, PROTOCOL
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.interfaces_defaults import (
    is_dynamic,
    link_of,
    may_fail,
    reaches,
    read_defaults,
)
from rcnetd.hostconfig.renderers.interfaces_edits import (
    Removal,
    editable,
    insert,
    require_plain_name,
)
from rcnetd.hostconfig.renderers.interfaces_file import DIRECTORIES, MAIN, Interfaces, Stanza, read
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
from rcnetd.hostconfig.renderers.rendering import (
    missing_name_servers,
    old_gateway,
    require_no_other_winner,
    require_plain_names,
)

__all__ = ["PATTERNS", "query_name", "read_defaults", "render"]

PATTERNS = (MAIN, *(f"{directory}/*" for directory in DIRECTORIES))
# The first that is sourced: some lines read only names that end with `.cfg`.
OWN = tuple(f"{DIRECTORIES[0]}/{name}" for name in ("zz-rcnetd", "zz-rcnetd.cfg"))
_DNS = ("dns-nameservers", "dns-nameserver")
_PROBE = "-"  # not the name of any link


def render(tree: Tree, target: Target) -> Changes:
    """Compute the changes after which the next boot brings up the links as *target* says."""
    require_plain_names(target)
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
        removal = Removal(self.found, target)
        old = removal.clean(cleaned, public)
        removal.clean_others([*cleaned, *public])
        if down:
            self._move_dns(public, servicenet)
            for nic in target.public:
                removal.keep_down(nic)
        self._add_route(servicenet)
        if not down:
            self._public_routes(old)
            if target.public_ipv6 is PublicIPv6.NO_DEFAULT:
                removal.ignore_advertisements(public)

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
        require_plain_name(found[0])
        return found

    # What is added

    def _add_route(self, servicenet: Sequence[Stanza]) -> None:
        """Add our route where no failing command of the link comes before it."""
        if self._is_own(servicenet) and not any(may_fail(stanza) for stanza in servicenet):
            self._add(servicenet[-1].name, servicenet, [_command(self.target)])
            return
        places = [stanza for stanza in servicenet if reaches(stanza, self.target.gateway)]
        if any(is_dynamic(stanza) for stanza in servicenet) or not places:
            places = [servicenet[-1]]
        insert(places[0], [_command(self.target)])

    def _move_dns(self, public: Sequence[Stanza], servicenet: Sequence[Stanza]) -> None:
        """Give ServiceNet the name servers of the public links, after its own.

        Hook scripts keep the options of a link's last stanza, and all lines of an option there.
        """
        last = servicenet[-1]
        mine = _name_servers(servicenet)
        added = missing_name_servers(mine, _name_servers(public))
        lines = [line for line in last.options if line.words[0] in _DNS]
        if not added:
            return
        if self._is_own(servicenet) or not lines:
            self._add(last.name, servicenet, [f"dns-nameservers {' '.join((*mine, *added))}"])
        else:
            line = editable(lines[-1])
            line.document.insert_after(line.last, [f"    dns-nameservers {' '.join(added)}"])

    def _public_routes(self, old: Sequence[tuple[str, IPv4Address]]) -> None:
        if not self.target.public_routes:
            return
        gateway = old_gateway(MAIN, [gateway for _, gateway in old])
        link, _ = old[0]
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
            insert(stanzas[-1], options)


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
    name = target.servicenet.name
    if DefaultRoute(name, target.gateway, METRIC) not in defaults:
        raise CannotPersist(f"{MAIN}: another line deletes the default route of {name}; remove it")
    require_no_other_winner(defaults, name, target)
