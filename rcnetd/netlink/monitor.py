"""The kernel's messages: when to look again.

The rule: a message only says "look again", and by its kind whether links and addresses have to be
read again, too. Nothing is learnt from what it carries, because the kernel deletes routes without a
word, and because messages get lost.
"""

from __future__ import annotations

import array
import contextlib
import errno
import socket
import struct

from rcnetd.netlink.socket import (
    HEADER,
    KERNEL,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    SOL_NETLINK,
    NetlinkError,
)

# linux/rtnetlink.h
RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR = 1, 3, 5
RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_ROUTE = 7, 8, 11
RTNLGRP_NEXTHOP = 32  # since Linux 5.3
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_NEWRULE, RTM_DELRULE = 28, 29, 32, 33
RTM_NEWNEXTHOP, RTM_DELNEXTHOP = 104, 105
GROUPS = (RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE)
# linux/netlink.h, asm-generic/socket.h, linux/filter.h
NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP = 1, 2
SO_ATTACH_FILTER = 26
BPF_LOAD_HALF, BPF_LOAD_BYTE, BPF_RETURN = 0x28, 0x30, 0x06
BPF_JUMP_EQUAL, BPF_JUMP_GREATER = 0x15, 0x25

# Prefix lengths up to ServiceNet's own routes: a half of the internet, or all but what is private,
# goes to a VPN by such routes. Container hosts and routers change narrower ones.
WIDE = 12

# Messages that leave links and addresses as they are.
ROUTING = {
    RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEIGH, RTM_DELNEIGH, RTM_NEWRULE, RTM_DELRULE,
    RTM_NEWNEXTHOP, RTM_DELNEXTHOP,
}  # fmt: skip
MAX_MESSAGES = 1000  # read in a row, before everything else has its turn


class Monitor:
    """The subscription to what could concern the default route: links, addresses, routes, rules.

    Make it before the first reading. What it reads is hardly looked at, so its buffer may overrun:
    that says no more and no less than a message of every kind does.

    *links_changed*: links or addresses may be others than when it was last set to False.
    """

    def __init__(self) -> None:
        self.links_changed = True
        self._all_routes = False
        self._joined: set[int] = set()  # groups besides GROUPS
        try:
            flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_NETLINK, flags, socket.NETLINK_ROUTE)
        except OSError as error:
            raise _refused(error) from error
        try:
            _attach_filter(self._socket, False)
            self._socket.bind((0, 0))
            for group in GROUPS:
                self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
            with contextlib.suppress(OSError):  # where there are none, none vanish
                # With such an object its IPv4 routes go, without a message about any of them.
                self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NEXTHOP)
        except OSError as error:
            self._socket.close()
            raise _refused(error) from error

    def fileno(self) -> int:
        """The descriptor to wait on for reading."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read what is pending, never blocking; True if the kernel's state is to be read again."""
        read_again = False
        for _ in range(MAX_MESSAGES):
            try:
                header, (sender, _) = self._socket.recvfrom(HEADER.size)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                read_again = self.links_changed = True  # messages were lost; which, is not needed
            else:
                if sender == KERNEL:
                    read_again = True
                    if HEADER.unpack(header)[1] not in ROUTING:
                        self.links_changed = True
        return read_again

    def watch_routes(self, on: bool) -> None:
        """Wake for changes of any route, or only for those of default and other wide routes."""
        if on != self._all_routes:
            _attach_filter(self._socket, on)
            self._all_routes = on

    def watch_neighbours(self, on: bool) -> None:
        """Wake also for changes of the neighbour table, or no longer."""
        self._watch(RTNLGRP_NEIGH, on)

    def watch_ipv6(self, on: bool) -> None:
        """Wake also for changes of IPv6 default routes, or no longer."""
        self._watch(RTNLGRP_IPV6_ROUTE, on)

    def _watch(self, group: int, on: bool) -> None:
        if on != (group in self._joined):
            option = NETLINK_ADD_MEMBERSHIP if on else NETLINK_DROP_MEMBERSHIP
            self._socket.setsockopt(SOL_NETLINK, option, group)
            self._joined ^= {group}

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()


def _refused(error: OSError) -> NetlinkError:
    text = f"Failed to subscribe to the kernel's messages: {error.strerror}"
    return NetlinkError(text, error.errno or 0)


def _attach_filter(netlink_socket: socket.socket, all_routes: bool) -> None:
    """Let everything pass but messages of routes that are not `WIDE`, unless *all_routes*.

    Without it every route of a router or container host would wake us.
    """
    everything = 0xFFFFFFFF if all_routes else 0
    program = [
        (BPF_LOAD_HALF, 0, 0, 4),  # nlmsg_type; loaded as if in network order
        (BPF_JUMP_EQUAL, 1, 0, socket.htons(RTM_NEWROUTE)),
        (BPF_JUMP_EQUAL, 0, 2, socket.htons(RTM_DELROUTE)),
        (BPF_LOAD_BYTE, 0, 0, 17),  # rtm_dst_len
        (BPF_JUMP_GREATER, 1, 0, WIDE),
        (BPF_RETURN, 0, 0, 0xFFFFFFFF),
        (BPF_RETURN, 0, 0, everything),
    ]
    code = array.array("B", b"".join(struct.pack("HBBI", *line) for line in program))
    packed = struct.pack("HP", len(program), code.buffer_info()[0])
    netlink_socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed)
