"""rtnetlink on a plain socket: requests out, the kernel's answers in, nothing understood yet.

The rule: pyroute2's message classes write what changes the kernel's state (`body`, with the classes
of `rcnetd.netlink.pyroute2`); a question is a header and an address or two, and is packed where it
is asked: the first request to the API needs no change, so it does not wait for pyroute2. What the
kernel sends is walked here. A route has to come back byte for byte as it was, and a link with its
hundred counters takes pyroute2 ten times as long as finding the three attributes that matter. Only
the classes are used, never pyroute2's sockets: they are what stayed the same from 0.5.14 to 0.9.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

# linux/rtnetlink.h
RTM_GETLINK, RTM_SETLINK = 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
# linux/netlink.h
NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x400, 0x800
NLM_F_DUMP_INTR = 0x10
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1
NLA_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
KERNEL = 0  # the kernel's port

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
CODE = struct.Struct("=i")  # of NLMSG_ERROR and NLMSG_DONE: 0 or minus an errno
TIMEVAL = struct.Struct("@ll")

BUFFER = 65536  # bytes; the kernel makes no part of a dump larger than 32 KiB
ROOM = 2048  # bytes; the kernel fills 3.5 KiB at least before it begins another part of a list
TIMEOUT = 2.0  # seconds; the kernel answers before `send` returns, so this is a bug's end only


class NetlinkError(Exception):
    """The kernel refused or could not be asked; the text is one plain line for people.

    *code* is the kernel's errno, 0 where the trouble is not the kernel's.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Interrupted(NetlinkError):
    """What was being listed changed meanwhile: the list may lack an entry, ask again."""


class Message(NamedTuple):
    """One netlink message, its payload not looked at."""

    kind: int
    flags: int
    sequence: int
    port: int
    payload: bytes


def align(length: int) -> int:
    """The next multiple of four: messages, attributes and next hops begin at one."""
    return (length + 3) & ~3


def messages(data: bytes) -> Iterator[Message]:
    """Take one datagram apart; raises NetlinkError where it is no row of messages."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < HEADER.size:
            raise NetlinkError("the kernel's answer ends within a message")
        length, kind, flags, sequence, port = HEADER.unpack_from(data, offset)
        if not HEADER.size <= length <= len(data) - offset:
            raise NetlinkError("the kernel's answer ends within a message")
        payload = data[offset + HEADER.size : offset + length]
        yield Message(kind, flags, sequence, port, payload)
        offset += align(length)


def attributes(data: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """The attributes in *data* from *offset* on, in order; raises NetlinkError if they are none.

    Types are as sent, with the flags in their two highest bits.
    """
    found = []
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if not ATTRIBUTE.size <= length <= len(data) - offset:
            raise NetlinkError("the kernel's answer ends within an attribute")
        found.append((kind, data[offset + ATTRIBUTE.size : offset + length]))
        offset += align(length)
    return found


def attribute_map(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes by type; of two of one type the last, as in the kernel."""
    return {kind & NLA_TYPE_MASK: value for kind, value in attributes(data, offset)}


def pack_attribute(kind: int, value: bytes) -> bytes:
    """One attribute as it is sent, padded."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(align(length) - length)


def body(message_class: Any, *attrs: tuple[str, Any], **fields: int) -> bytes:
    """The payload of a change: a pyroute2 message class, its attributes, its header's fields."""
    message = message_class()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = list(attrs)
    message.encode()
    return bytes(message.data)[HEADER.size :]


def refusal(message: Message) -> NetlinkError | None:
    """The error in an NLMSG_ERROR or NLMSG_DONE message, in the kernel's own words if it has any.

    The words are the extended acknowledgement's (Documentation/userspace-api/netlink/intro.rst).
    """
    payload = message.payload
    if len(payload) < CODE.size:
        return NetlinkError("the kernel's answer has no end")
    code = -CODE.unpack_from(payload)[0]
    if code == 0:
        return None
    words = b""
    if message.flags & NLM_F_ACK_TLVS:
        # An error quotes the request's header before the words (NETLINK_CAP_ACK: no more of it).
        quoted = HEADER.size if message.kind == NLMSG_ERROR else 0
        words = attribute_map(payload, CODE.size + quoted).get(NLMSGERR_ATTR_MSG, b"")
    text = words.rstrip(b"\0").decode(errors="replace").strip(" .")
    return NetlinkError(text or os.strerror(code), code)


class NetlinkSocket:
    """A socket for requests, one piece of work after the other: `with NetlinkSocket() as exchange`.

    One whose answer was not read to its end (`is_idle`) is closed: what is left never meets the
    next question.
    """

    def __init__(self, buffer: int | None = None) -> None:
        """*buffer* is how many bytes the kernel lists at once: it fills them, read or not."""
        self.is_idle = True
        self._sequence = 0
        self._received = 0  # bytes of the last datagram
        self._buffer = buffer or BUFFER
        try:
            flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            self._socket = socket.socket(socket.AF_NETLINK, flags, socket.NETLINK_ROUTE)
        except OSError as error:
            raise _broken(error) from error
        try:
            # The kernel's time-out: Python's own is two system calls more for each request.
            timeout = TIMEVAL.pack(int(TIMEOUT), 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
                self._socket.setsockopt(SOL_NETLINK, option, 1)
            self._socket.bind((0, 0))
            self._port = self._socket.getsockname()[0]
        except OSError as error:
            self._socket.close()
            raise _broken(error) from error

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def dump(self, kind: int, payload: bytes) -> Iterator[bytes]:
        """List what *payload* asks for; raises Interrupted where the list may have a hole."""
        self._send(self._request(kind, NLM_F_DUMP, payload))
        return self._answers()

    def skip_rest(self, listed: Iterator[bytes]) -> None:
        """Read *listed* (from `dump`) to its end if that is near: the socket can be used again.

        It is near where the kernel had room left. A list that goes on and on stays unread.
        """
        if self._received < ROOM:
            with suppress(NetlinkError):
                deque(listed, maxlen=0)

    def get(self, kind: int, payload: bytes) -> bytes:
        """Ask for one thing."""
        (answer,) = self.get_each(kind, [payload])
        if isinstance(answer, NetlinkError):
            raise answer
        return answer

    def get_each(self, kind: int, payloads: Sequence[bytes]) -> list[bytes | NetlinkError]:
        """Ask for several things at once: the answer to each, or the kernel's refusal."""
        if not payloads:
            return []
        self._send(b"".join(self._request(kind, 0, payload) for payload in payloads))
        # One answer each, in order, and nothing after it.
        first = self._sequence - len(payloads) + 1
        answers = [self._answer(first + number) for number in range(len(payloads))]
        self.is_idle = True
        return answers

    def change(self, kind: int, payload: bytes, flags: int = 0) -> None:
        """Have the kernel do something."""
        self._send(self._request(kind, NLM_F_ACK | flags, payload))
        for _ in self._answers():
            pass

    def _request(self, kind: int, flags: int, payload: bytes) -> bytes:
        self._sequence += 1
        length = HEADER.size + len(payload)
        header = HEADER.pack(length, kind, NLM_F_REQUEST | flags, self._sequence, self._port)
        return header + payload + bytes(align(length) - length)

    def _send(self, requests: bytes) -> None:
        self.is_idle = False
        try:
            self._socket.sendto(requests, (KERNEL, 0))
        except OSError as error:
            raise _broken(error) from error

    def _answer(self, sequence: int) -> bytes | NetlinkError:
        """The payload of the answer to this request, which is a single message."""
        while True:
            for message in messages(self._receive()):
                if (message.sequence, message.port) != (sequence, self._port):
                    continue
                if message.kind in (NLMSG_ERROR, NLMSG_DONE):
                    return refusal(message) or NetlinkError("the kernel gave no answer")
                return message.payload

    def _answers(self) -> Iterator[bytes]:
        """The payloads of the answer to the last request, until the kernel says that is all."""
        while True:
            for message in messages(self._receive()):
                if (message.sequence, message.port) != (self._sequence, self._port):
                    continue
                if message.flags & NLM_F_DUMP_INTR:
                    raise Interrupted("it changed while it was read", errno.EINTR)
                if message.kind == NLMSG_OVERRUN:
                    raise NetlinkError("the kernel lost a part of its answer")
                if message.kind in (NLMSG_ERROR, NLMSG_DONE):
                    self.is_idle = True
                    error = refusal(message)
                    if error is not None:
                        raise error
                    return
                yield message.payload

    def _receive(self) -> bytes:
        """The next datagram from the kernel; anybody else's is dropped."""
        while True:
            try:
                data, _, flags, sender = self._socket.recvmsg(self._buffer)
            except BlockingIOError as error:
                raise NetlinkError("the kernel does not answer", errno.ETIMEDOUT) from error
            except OSError as error:
                raise _broken(error) from error
            if flags & socket.MSG_TRUNC:
                raise NetlinkError("the kernel's answer is too long")
            if sender[0] == KERNEL:
                self._received = len(data)
                return data


class Sockets:
    """Sockets to ask by. With *keep*, one of each size stays for the next question.

    It belongs to the network namespace of the first question then, and wants to be closed.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._idle: dict[int | None, NetlinkSocket] = {}

    @contextmanager
    def take(self, buffer: int | None = None) -> Iterator[NetlinkSocket]:
        """A socket with this buffer (see `NetlinkSocket`), closed after whatever goes wrong."""
        exchange = self._idle.pop(buffer, None) or NetlinkSocket(buffer)
        is_kept = False
        try:
            yield exchange
            is_kept = self._keep and exchange.is_idle and buffer not in self._idle
        finally:
            if is_kept:
                self._idle[buffer] = exchange
            else:
                exchange.close()

    def close(self) -> None:
        """Give the sockets back."""
        while self._idle:
            self._idle.popitem()[1].close()


def _broken(error: OSError) -> NetlinkError:
    return NetlinkError(error.strerror or str(error), error.errno or 0)
