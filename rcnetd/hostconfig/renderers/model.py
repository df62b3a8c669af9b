"""The host's network configuration: pure functions from the files there now to changes of them.

One module for each kind of configuration, all with the same three names:

    PATTERNS               globs of the files that it reads, by absolute path
    render(tree, target)   the changes that make the next boot come up as *target* says
    read_defaults(tree)    the IPv4 default routes that the next boot would set up

A module may have a fourth one, `is_read(path)`: whether the backend looks into a file of this name.
Others are not looked into, so that they may be large or binary.

`render` is idempotent: rendered again on its own result, it changes nothing. Our own route goes
into our own file wherever the format allows it, with a name that is read last; a file of somebody
else's is edited only where a competing default, or DNS, has to go, and everything else in it
survives byte by byte. What cannot be done safely is a `CannotPersist`, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.settings import PublicInterface, PublicIPv6

MARK = "rcnetd"  # is in the name of each file of ours, and in each edit of somebody else's


class CannotPersist(Exception):
    """These files must not be changed; one plain line: what, where, what to do."""


class NotYet(CannotPersist):
    """The same, for a reason that passes by itself: try again."""


@dataclass(frozen=True)
class File:
    """A file: its content, permissions and owner.

    A link stands for the file that it leads to; a link to /dev/null (a mask) is an empty file.
    *mtime_ns* is when it was last written; files that differ in nothing else are equal.
    """

    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = field(compare=False, default=0)


@dataclass(frozen=True)
class Change:
    """A new content for a file.

    *data* None removes the file. *mode* None keeps its permissions (0644 for a new file).
    """

    data: bytes | None
    mode: int | None = None


Tree = Mapping[str, File]  # by absolute path
Changes = dict[str, Change]  # only what differs from the tree


@dataclass(frozen=True)
class HostLink:
    """A link as the kernel has it now. *mac* is lower case, None where it has none.

    *kind* is rtnetlink's ("vlan", "bond", "veth" ...), None for a physical link.
    """

    name: str
    mac: str | None = None
    addresses: tuple[IPv4Interface, ...] = ()
    kind: str | None = None


@dataclass(frozen=True)
class Target:
    """What the next boot should come up with: a default route at `METRIC` by *gateway*.

    *public* are the other links whose IPv4 default routes have to go (or, with the policy `down`,
    that are to stay down). *public_routes* are networks that stay reachable by a public link's old
    gateway, where it stays up. *onlink*: the gateway is outside of ServiceNet's subnet.
    """

    servicenet: HostLink
    gateway: IPv4Address
    public: tuple[HostLink, ...] = ()
    policy: PublicInterface = PublicInterface.NO_DEFAULT
    public_ipv6: PublicIPv6 = PublicIPv6.KEEP
    public_routes: tuple[IPv4Network, ...] = ()
    onlink: bool = False


@dataclass(frozen=True)
class DefaultRoute:
    """An IPv4 default route that a configuration asks for, and the file that does."""

    link: str  # as the configuration names it: a name, or how it is matched
    gateway: IPv4Address | None  # None: from DHCP, or none
    metric: int
    path: str = field(compare=False, default="")
