"""A name server in a namespace: it knows some names, or is silent."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from rcnetd.lab.topology import Namespace

DNS_HEADER = struct.Struct("!6H")  # RFC 1035, 4.1.1
ANSWER, REFERENCE = 0x8580, b"\xc0\x0c"  # authoritative, recursion as asked for; "the name above"
A_RECORD, INTERNET = 1, 1
PORT = 53


@contextlib.contextmanager
def name_server(
    namespace: Namespace, address: str, names: Mapping[str, IPv4Address] | None
) -> Iterator[list[bytes]]:
    """Serve A records of *names* at *address*; None: take every question and answer none.

    Yields the questions so far.
    """
    with namespace:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, PORT))
    end, ended = socket.socketpair()
    questions: list[bytes] = []

    def serve() -> None:
        while ended not in select.select([server, ended], [], [])[0]:
            question, client = server.recvfrom(512)
            questions.append(question)
            if names is not None:
                server.sendto(_answer(question, names), client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield questions
    finally:
        end.close()
        thread.join()
        ended.close()
        server.close()


def _answer(query: bytes, names: Mapping[str, IPv4Address]) -> bytes:
    number, *_ = DNS_HEADER.unpack_from(query)
    question = query[DNS_HEADER.size : query.index(b"\0", DNS_HEADER.size) + 5]
    (kind,) = struct.unpack_from("!H", question, len(question) - 4)
    known = {_encoded(name): address for name, address in names.items()}
    address = known.get(question[:-4].lower()) if kind == A_RECORD else None
    head = DNS_HEADER.pack(number, ANSWER, 1, int(address is not None), 0, 0)
    if address is None:
        return head + question
    record = struct.pack("!HHIH", A_RECORD, INTERNET, 60, len(address.packed))
    return head + question + REFERENCE + record + address.packed


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
