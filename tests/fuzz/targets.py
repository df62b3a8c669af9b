"""What is fuzzed: readers of bytes that others have written. Each takes any bytes.

The rule: a target returns, whatever the bytes are. An error that the reader documents is caught
here; any other exception, and a broken promise, is a finding.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from rcnetd.api.client import Client
from rcnetd.api.connection import Bounds, Connector, PlainSocket
from rcnetd.api.errors import ApiError
from rcnetd.api.parse import FORMATS
from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.core.settings import Backend, PublicInterface
from rcnetd.hostconfig.policy import taken_back
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import CannotPersist, File, Tree
from rcnetd.hostconfig.renderers.registry import Renderer, renderer
from rcnetd.metadata import file as metadata_file
from rcnetd.metadata.parse import from_cloud_init, from_config_drive, from_xenstore, merge
from rcnetd.netlink import decode
from rcnetd.netlink.socket import NetlinkError, messages
from tests.support.trees import HERE, read_tree, target_of

DECODERS: tuple[Callable[[bytes], object], ...] = (
    decode.link, decode.address, decode.route, decode.lookup, decode.neighbour_state,
    decode.prefixlen, decode.destination, decode.as_added,
)  # fmt: skip
# Loaded now: what is loaded later is not instrumented.
RENDERERS = {
    backend: renderer(backend) for backend in Backend if backend not in (Backend.AUTO, Backend.NONE)
}
ASKED = [(operation, form) for operation in FORMATS for form in FORMATS[operation]]


def netlink(data: bytes) -> None:
    """A datagram with messages, and each of them as whatever it could be."""
    with contextlib.suppress(NetlinkError):
        for message in messages(data):
            for decoder in DECODERS:
                with contextlib.suppress(NetlinkError):
                    decoder(message.payload)


class _Given(Connector):
    """A connection on which the answer has come already."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("http://api.example.net")
        self._answer = answer

    def _open(self, bounds: Bounds) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # More than fits would wait for a reader; what is kept in the corpus is far smaller.
            theirs.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                theirs.sendall(self._answer)
            theirs.shutdown(socket.SHUT_WR)
            sock = PlainSocket(fileno=ours.detach())
            # The other end stays until the request is over: it is no broken pipe.
            self._opened.append(socket.socket(fileno=theirs.detach()))
        sock.bounds = bounds
        self._opened.append(sock)
        bounds.enter("asking")
        return sock


def http(data: bytes) -> None:
    """A whole answer, head and body, to the question that its first byte names."""
    operation, form = ASKED[data[0] % len(ASKED)] if data else ASKED[0]
    try:
        Client.over(_Given(data[1:]), 10.0).raw(operation, form)
    except ApiError as error:
        _one_line(str(error))


def body(data: bytes) -> None:
    """A body to each question, and whatever type its answer says it has."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    for number in range(len(ASKED)):
        http(bytes([number]) + head + data)


def metadata(data: bytes) -> None:
    """What the platform says: its sources, and the file that is made of them."""
    one, _, other = data.decode("utf-8", "replace").partition("\0")
    merged = merge([
        ("xenstore", from_xenstore({"networking/A": one, "provider_data/roles": other})),
        ("config drive", from_config_drive(one, other)),
        ("cloud-init", from_cloud_init(one)),
    ])  # fmt: skip
    assert json.loads(json.dumps(merged)) == merged
    with _file(data) as path:
        _, warnings = metadata_file.read(path)
    for warning in warnings:
        _one_line(warning)


def settings(data: bytes) -> None:
    """A file with settings."""
    with _file(data) as path:
        try:
            load([path], environ={})
        except ConfigError as error:
            _one_line(str(error))


def host_files(backend: Backend, data: bytes) -> None:
    """Files of the host, as `packed` has them: rendered for each policy, and taken back."""
    found = RENDERERS[backend]
    tree = dict(_unpacked(found, data))
    # With a part of ours in it, or another's file in our place, the record knows the way back.
    is_theirs = not any("rcnetd" in path or b"rcnetd" in file.data for path, file in tree.items())
    with contextlib.suppress(CannotPersist):  # what it says is escaped where it is printed
        found.read_defaults(tree)
    for policy in PublicInterface:
        target = target_of("", "", policy)  # the usual server
        try:
            made = found.render(tree, target)
        except CannotPersist:
            continue
        if is_theirs:
            after = applied(tree, made)
            assert found.render(after, target) == {}, "rendered twice is not once"
            assert applied(after, taken_back(after)) == tree, "there is no way back"


def packed(tree: Tree) -> bytes:
    """Files as an input of `host_files`: path, NUL, content, NUL, and so on."""
    return b"\0".join(
        part for path, file in sorted(tree.items()) for part in (path.encode(), file.data)
    )


def _unpacked(found: Renderer, data: bytes) -> Iterator[tuple[str, File]]:
    parts = data.split(b"\0")
    for name, content in zip(parts[::2], parts[1::2]):
        path = name.decode("utf-8", "replace")
        is_one = any(fnmatchcase(path, pattern) for pattern in found.patterns)
        if is_one and (found.is_read is None or found.is_read(path)):
            yield path, File(content, 0o600)


def seeds(name: str) -> Iterator[bytes]:
    """Inputs that the repository has elsewhere: the golden trees."""
    if name in (backend.value for backend in RENDERERS):
        for tree in sorted((HERE / name.replace("-", "_")).glob("*/*")):
            if tree.is_dir():
                yield packed(read_tree(tree))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "netlink": netlink,
    "http": http,
    "body": body,
    "metadata": metadata,
    "settings": settings,
    **{backend.value: partial(host_files, backend) for backend in RENDERERS},
}


def _one_line(text: str) -> None:
    """What a person is told is one line without anything that a terminal obeys."""
    assert text.isprintable(), repr(text)


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """A file with these bytes."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)
