"""What several renderers need: which routes are defaults, which names are safe, what is refused."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address

from rcnetd.core.model import METRIC
from rcnetd.hostconfig.renderers.marked_edits import HEADER, Document
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    DefaultRoute,
    File,
    HostLink,
    Target,
    Tree,
)

# What may be written besides numbers and addresses. A file or a shell takes neither for code.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:@-]+")
_NAME_SERVER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(#[A-Za-z0-9.-]+)?")
# Routes that are local to this host; the kernel looks in table `local` before it looks in `main`.
LOCAL_TYPES = ("local", "broadcast", "anycast", "nat")
# Kinds of links that have no permanent MAC address, and that no driver brings with the hardware.
VIRTUAL_KINDS = (
    "bond", "bridge", "dummy", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "ip6tnl", "ipip",
    "ipvlan", "ipvtap", "macsec", "macvlan", "macvtap", "sit", "team", "tun", "vlan", "vrf",
    "vti", "vti6", "vxlan", "wireguard",
)  # fmt: skip


def visible(tree: Tree) -> dict[str, File]:
    """Return the files that a backend reads: those whose names do not begin with a dot."""
    return {path: file for path, file in tree.items() if "/." not in path}


def require_plain_names(target: Target) -> None:
    """Refuse links whose names would need quoting in a file; the kernel allows almost any."""
    for link in (target.servicenet, *target.public):
        if not PLAIN_NAME.fullmatch(link.name):
            raise CannotPersist(
                f"the name of link {link.name!r} has characters other than letters, digits and"
                " '_.:@-'; rename the link"
            )


def number(text: str | None) -> int | None:
    """Parse an unsigned number as C does, `0x` and leading zeros included; None for other text."""
    if not text or not (text.isascii() and text.isalnum() and text[0].isdigit()):
        return None
    try:
        octal = text.startswith("0") and text.isdecimal()
        return int(text, 8 if octal else 0)
    except ValueError:
        return None


def zero_prefix_version(destination: str) -> int | None:
    """Return the IP version of a destination of prefix length 0: a default, whatever its address.

    None for any other destination, and for text that is not one.
    """
    address, slash, length = destination.partition("/")
    if not slash or number(length) != 0:
        return None
    try:
        return ip_address(address).version
    except ValueError:
        return 4 if address == "0" else None


def address(text: str | None) -> IPv4Address | IPv6Address | None:
    """Parse an address; None for other text."""
    try:
        return ip_address(text or "")
    except ValueError:
        return None


def fits(word: str, link: HostLink) -> bool:
    """Whether *word* is a link's MAC address, its name, or a pattern that fits its name."""
    return word == link.mac or fnmatchcase(link.name, word)


def require_editable(where: str, directory: str) -> None:
    """Refuse to edit a file of /run: what generates it would write it again at the next boot."""
    if where.startswith("/run/"):
        raise CannotPersist(
            f"{where}: this file is generated at each boot; configure the link in {directory}"
        )


def replacing_vendor_files(
    tree: Tree, edited: dict[str, Document], directory: str, vendor: Sequence[str]
) -> dict[str, bytes]:
    """Return files of ours in *directory* that replace those that were edited below *vendor*.

    A file with the same name hides the package's, which stays as it is.
    """
    ours: dict[str, bytes] = {}
    for path, document in edited.items():
        place = next((one for one in vendor if path.startswith(f"{one}/")), None)
        if place is not None and document.data() != tree[path].data:
            text = document.data().removeprefix(codecs.BOM_UTF8)
            ours[directory + path[len(place) :]] = f"{HEADER}\n".encode() + text
            edited[path] = Document(path, tree[path].data)
    return ours


def missing_name_servers(servicenet: Sequence[str], public: Iterable[str]) -> list[str]:
    """Return the IPv4 name servers of the public links that ServiceNet's link does not have.

    They are written into other files, so nothing but an address is one (networkd's may have a
    name for TLS behind it).
    """
    return [
        server
        for server in dict.fromkeys(public)
        if server not in servicenet and _NAME_SERVER.fullmatch(server)
    ]


def old_gateway(where: str, gateways: Sequence[IPv4Address]) -> IPv4Address:
    """Return the gateway that `public_routes` use. Refused if the link has no static one."""
    if not gateways:
        raise CannotPersist(
            f"{where}: 'public_routes' need the public link's gateway, but none is configured here;"
            " add these routes by hand"
        )
    return gateways[0]


def require_no_other_winner(
    defaults: Iterable[DefaultRoute], servicenet: str, target: Target
) -> None:
    """Refuse a default route that would win against ours. *servicenet*: how its link is named."""
    for default in defaults:
        ours = (servicenet, target.gateway, METRIC)
        found = (default.link, default.gateway, default.metric)
        if default.metric <= METRIC and found != ours:
            raise CannotPersist(
                f"{default.path}: {default.link} would still have a default route of metric"
                f" {default.metric}; remove it"
            )
