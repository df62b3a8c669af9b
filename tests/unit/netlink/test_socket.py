"""Messages, attributes, errors and the conversation itself.

The kernel asked is this machine's; nothing is changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from rcnetd.netlink import pyroute2
from rcnetd.netlink import socket as rtnetlink
from rcnetd.netlink.socket import (
    HEADER,
    NLM_F_ACK_TLVS,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    NLMSGERR_ATTR_MSG,
    RTM_GETLINK,
    Interrupted,
    Message,
    NetlinkError,
    NetlinkSocket,
    Sockets,
    attribute_map,
    attributes,
    body,
    messages,
    pack_attribute,
    refusal,
)
from tests.support.fuzzing import fuzz

LINKS = body(ifinfmsg)


def message(kind: int, payload: bytes = b"", flags: int = 0, sequence: int = 1) -> bytes:
    """A message as the kernel sends it, to the port of `Scripted`."""
    length = HEADER.size + len(payload)
    return HEADER.pack(length, kind, flags, sequence, Scripted.PORT) + payload + bytes(-length % 4)


class Scripted(NetlinkSocket):
    """An exchange whose answers are given; what it sends goes nowhere."""

    PORT = 4711

    def __init__(self, *datagrams: bytes) -> None:
        super().__init__()
        self._port = self.PORT
        self._script = deque(datagrams)

    def _send(self, _: bytes) -> None:
        self.is_idle = False

    def _receive(self) -> bytes:
        return self._script.popleft()


def test_a_datagram_is_taken_apart_into_messages() -> None:
    """Several messages may come in one datagram, each padded to four bytes."""
    first, second = messages(message(16, b"abcde") + message(17, b"f", sequence=2))
    assert (first.kind, first.payload) == (16, b"abcde")
    assert (second.kind, second.sequence, second.payload) == (17, 2, b"f")


@pytest.mark.parametrize(
    "data",
    [b"\x10", struct.pack("=IHHII", 12, 16, 0, 1, 1), struct.pack("=IHHII", 32, 16, 0, 1, 1)],
)
def test_a_cut_message_is_an_error(data: bytes) -> None:
    """Too short for a header, a length below the header's, a length beyond the end."""
    with pytest.raises(NetlinkError, match="ends within a message"):
        list(messages(data))


def test_attributes_keep_order_flags_and_padding() -> None:
    """What is packed is found again, in order, nested flag and all."""
    packed = (
        pack_attribute(5, b"\1\2\3\4") + pack_attribute(0x8009, b"abc") + pack_attribute(5, b"")
    )
    assert attributes(packed) == [(5, b"\1\2\3\4"), (0x8009, b"abc"), (5, b"")]
    assert attribute_map(packed) == {5: b"", 9: b"abc"}
    assert len(packed) % 4 == 0


@pytest.mark.parametrize("data", [b"\3\0\1\0", b"\x20\0\1\0abcd"])
def test_a_cut_attribute_is_an_error(data: bytes) -> None:
    """A length below the attribute's header, a length beyond the end."""
    with pytest.raises(NetlinkError, match="ends within an attribute"):
        attributes(data)


def test_the_last_attribute_may_lack_its_padding() -> None:
    """The kernel does not always pad the last one."""
    assert attributes(b"\5\0\1\0x") == [(1, b"x")]


def test_requests_are_written_by_pyroute2() -> None:
    """The same bytes from every version that the distributions have."""
    made = body(
        pyroute2.rtmsg,
        ("RTA_OIF", 3),
        ("RTA_GATEWAY", "10.1.2.3"),
        family=socket.AF_INET,
        table=254,
        proto=82,
        type=1,
    )
    assert made.hex() == "02000000fe520001000000000800040003000000080005000a010203"
    assert body(pyroute2.ndmsg, family=2, ifindex=7, state=16).hex() == "020000000700000010000000"
    assert body(pyroute2.ifaddrmsg, family=2, index=7).hex() == "0200000007000000"
    assert body(ifinfmsg, index=7, change=1).hex() == "00000000070000000000000001000000"


def error_message(code: int, words: bytes = b"", kind: int = NLMSG_ERROR) -> Message:
    """The end of an exchange, with the kernel's words if there are any."""
    quoted = bytes(HEADER.size) if kind == NLMSG_ERROR else b""
    text = pack_attribute(NLMSGERR_ATTR_MSG, words + b"\0") if words else b""
    flags = NLM_F_ACK_TLVS if words else 0
    return Message(kind, flags, 1, 1, struct.pack("=i", -code) + quoted + text)


def test_an_error_has_the_kernels_own_words() -> None:
    """The extended acknowledgement says more than the number does."""
    said = refusal(error_message(errno.ENETUNREACH, b"Nexthop has invalid gateway."))
    assert (str(said), said and said.code) == ("Nexthop has invalid gateway", errno.ENETUNREACH)
    said = refusal(error_message(errno.EINVAL, b"Unsupported", NLMSG_DONE))
    assert (str(said), said and said.code) == ("Unsupported", errno.EINVAL)


def test_an_error_without_words_has_the_systems() -> None:
    """Older paths of the kernel say nothing but a number."""
    said = refusal(error_message(errno.EPERM))
    assert (str(said), said and said.code) == (os.strerror(errno.EPERM), errno.EPERM)


def test_success_is_no_error() -> None:
    """Code 0 is an acknowledgement; without any code it is not."""
    assert refusal(error_message(0)) is None
    assert refusal(error_message(0, kind=NLMSG_DONE)) is None
    assert refusal(Message(NLMSG_DONE, 0, 1, 1, b"")) is not None


def test_a_dump_comes_in_parts_until_it_is_done() -> None:
    """A list is as many datagrams as it takes, with everything else left out."""
    strange = message(16, b"another's", sequence=9)
    with Scripted(
        message(16, b"one!") + strange,
        message(16, b"two!") + message(NLMSG_DONE, bytes(4)),
    ) as exchange:
        assert list(exchange.dump(RTM_GETLINK, LINKS)) == [b"one!", b"two!"]


def test_an_interrupted_dump_says_so() -> None:
    """A list that changed while it was made may lack an entry."""
    with (
        Scripted(message(16, b"one!", NLM_F_DUMP_INTR)) as exchange,
        pytest.raises(Interrupted),
    ):
        list(exchange.dump(RTM_GETLINK, LINKS))


def test_a_lost_part_is_an_error() -> None:
    """NLMSG_OVERRUN: data lost."""
    with Scripted(message(NLMSG_OVERRUN)) as exchange, pytest.raises(NetlinkError, match="lost"):
        list(exchange.dump(RTM_GETLINK, LINKS))


def test_a_question_without_an_answer_is_an_error() -> None:
    """An acknowledgement alone answers nothing."""
    with (
        Scripted(message(NLMSG_ERROR, bytes(20))) as exchange,
        pytest.raises(NetlinkError, match="no answer"),
    ):
        exchange.get(RTM_GETLINK, LINKS)


def test_the_real_kernel_answers() -> None:
    """Several questions on one socket, without any privilege."""
    with NetlinkSocket() as exchange:
        assert list(exchange.dump(RTM_GETLINK, LINKS))
        assert exchange.get(RTM_GETLINK, body(ifinfmsg, index=1))
        with pytest.raises(NetlinkError) as refused:
            exchange.get(RTM_GETLINK, body(ifinfmsg, index=0x7FFFFFF0))
        assert refused.value.code == errno.ENODEV
        assert list(exchange.dump(RTM_GETLINK, LINKS))


def test_several_questions_at_once_each_have_their_answer() -> None:
    """In order, a refusal among them; none is no question."""
    bodies = [body(ifinfmsg, index=index) for index in (1, 0x7FFFFFF0, 1)]
    with NetlinkSocket() as exchange:
        first, refused, last = exchange.get_each(RTM_GETLINK, bodies)
        assert isinstance(first, bytes)
        assert first == last
        assert isinstance(refused, NetlinkError)
        assert refused.code == errno.ENODEV
        assert exchange.get_each(RTM_GETLINK, []) == []
        assert exchange.is_idle


def used(sockets: Sockets) -> int:
    """List the links; the descriptor by which that was done."""
    with sockets.take() as exchange:
        assert list(exchange.dump(RTM_GETLINK, LINKS))
        return exchange._socket.fileno()


def test_a_kept_socket_is_used_again_after_an_answer_only() -> None:
    """What is left of an answer never meets the next question."""
    sockets = Sockets(keep=True)
    with contextlib.closing(sockets):
        kept = used(sockets)
        with sockets.take() as exchange:
            assert exchange._socket.fileno() == kept
            next(exchange.dump(RTM_GETLINK, LINKS))
        assert exchange._socket.fileno() == -1
        with pytest.raises(ValueError, match="by the way"), sockets.take() as exchange:
            raise ValueError("by the way")
        assert exchange._socket.fileno() == -1
        with sockets.take() as first, sockets.take() as second:
            assert first is not second
        assert used(sockets) >= 0
    assert sockets._idle == {}


def test_without_keeping_each_piece_of_work_has_its_socket() -> None:
    """Nothing stays open."""
    sockets = Sockets()
    with sockets.take() as exchange:
        assert exchange.get(RTM_GETLINK, body(ifinfmsg, index=1))
    assert exchange._socket.fileno() == -1


def test_the_rest_of_a_list_is_skipped_where_it_is_near() -> None:
    """Else the socket is no good for another question."""
    rest = [message(16, b"two!"), message(NLMSG_DONE, bytes(4))]
    for size, idle in ((100, True), (rtnetlink.ROOM, False)):
        with Scripted(message(16, b"one!"), *rest) as exchange:
            exchange._received = size
            listed = exchange.dump(RTM_GETLINK, LINKS)
            next(listed)
            exchange.skip_rest(listed)
            assert exchange.is_idle is idle


def test_only_the_kernel_is_believed() -> None:
    """A datagram from another process is dropped, a silent kernel is an error in the end."""

    class Other(socket.socket):
        def recvmsg(self, *args: int) -> tuple[bytes, list[object], int, tuple[int, int]]:  # type: ignore[override]
            data, ancillary, flags, _ = super().recvmsg(*args)
            return data, list(ancillary), flags, (1234, 0)

    with NetlinkSocket() as exchange:
        real = exchange._socket
        exchange._socket = Other(fileno=real.detach())
        at_once = rtnetlink.TIMEVAL.pack(0, 10_000)
        exchange._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, at_once)
        with pytest.raises(NetlinkError, match="the kernel does not answer"):
            exchange.get(RTM_GETLINK, body(ifinfmsg, index=1))


def test_too_long_an_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut datagram is never taken for a whole one."""
    monkeypatch.setattr(rtnetlink, "BUFFER", 64)
    with NetlinkSocket() as exchange, pytest.raises(NetlinkError, match="too long"):
        list(exchange.dump(RTM_GETLINK, LINKS))


def test_no_socket_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of descriptors, forbidden by a sandbox: a NetlinkError with the system's reason."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(NetlinkError, match="Too many open files"):
        NetlinkSocket()


def test_a_broken_socket_is_an_error_too() -> None:
    """Whatever the system says of a socket, the caller has one kind of error to expect."""
    with NetlinkSocket() as exchange:
        exchange._socket.close()
        with pytest.raises(NetlinkError, match="Bad file descriptor"):
            exchange.get(RTM_GETLINK, LINKS)
        with pytest.raises(NetlinkError, match="Bad file descriptor"):
            exchange._receive()


def test_a_socket_that_cannot_be_set_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that lacks an option refuses it."""
    monkeypatch.setattr(rtnetlink, "NETLINK_GET_STRICT_CHK", 9999)
    with pytest.raises(NetlinkError, match="Protocol not available"):
        NetlinkSocket()


@fuzz(300)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=3))
def test_hostile_datagrams_raise_nothing_but_netlink_errors(datagrams: list[bytes]) -> None:
    """Whatever comes, it is an answer or a NetlinkError."""
    whole = [*datagrams, message(NLMSG_DONE, bytes(4))]
    with Scripted(*whole) as exchange, contextlib.suppress(NetlinkError):
        list(exchange.dump(RTM_GETLINK, LINKS))


@fuzz(300)
@given(
    st.sampled_from([NLMSG_ERROR, NLMSG_DONE]),
    st.integers(0, 0xFFFF),
    st.binary(max_size=60),
)
def test_hostile_errors_raise_nothing_but_netlink_errors(
    kind: int, flags: int, payload: bytes
) -> None:
    """Also the error that tells of an error may be broken."""
    with contextlib.suppress(NetlinkError):
        refusal(Message(kind, flags, 1, 1, payload))
