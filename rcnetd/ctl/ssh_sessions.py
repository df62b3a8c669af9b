"""Which SSH sessions use an address: those that a switch of the default route would cut. Pure.

The text is the kernel's `/proc/net/tcp` (proc(5)), whose addresses are in host byte order.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from ipaddress import IPv4Address

ESTABLISHED = "01"  # TCP_ESTABLISHED, linux/tcp_states.h
SSH = 22


def ssh_sessions(
    text: str, local: Collection[IPv4Address]
) -> list[tuple[IPv4Address, IPv4Address]]:
    """Return the established sessions to port 22 of these addresses, each as (ours, theirs)."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != ESTABLISHED:
            continue
        try:
            (ours, port), (theirs, _) = _endpoint(words[1]), _endpoint(words[2])
        except ValueError:
            continue
        if port == SSH and ours in local:
            found.append((ours, theirs))
    return found


def _endpoint(word: str) -> tuple[IPv4Address, int]:
    address, _, port = word.partition(":")
    number = int.from_bytes(bytes.fromhex(address), sys.byteorder)
    return IPv4Address(number), int(port, 16)
