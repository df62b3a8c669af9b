"""The fetcher: the process that talks to the network, without any capability.

Started by `spawn.py`, for one parent: its arguments are that one's process id, where the libraries
are, and more authorities to load ahead of need. It reads a request per line on standard input and
writes lines of JSON to standard output; the end of its input is its end. A request has at most
4096 bytes (a pipe takes that many at once) and these members; those with a `?` may be null:

    operation    "automation_status", "automation_status/details", "gateway_ip",
                 "automation_features"
    format       "text", "json" or "xml", as the operation offers
    raw          true: the answer's body is wanted, not its value
    endpoint     the API's base URL
    source?      IPv4 address to send from
    device?      link to send by
    ca_file?     more authorities to trust
    api_address? IPv4 address to connect to
    timeout      seconds the request may take
    deadline     CLOCK_MONOTONIC seconds at which it has to be over, whatever start-up took

Before anything else it says by what the kernel confines it, once there is a request:
`{"confined": {"landlock": VERSION or 0, "seccomp": 1 or 0}}`.

While a request is on its way there are lines `{"progress": PHASE}` (`failures.PHASES`), and then
exactly one line with `answer` and `peer` (the API's address, or null):

    {"answer": "status", "word": "DEPLOYED"}
    {"answer": "gateway", "gateway": "10.180.31.254"}
    {"answer": "not-assigned"}
    {"answer": "features", "configure_network_stack": true, false or null}
    {"answer": "raw", "body": BASE64}
    {"answer": "rate-limited", "retry_after": SECONDS or null}
    {"answer": "failed", "kind": WORD, "reason": TEXT, "retry_after": SECONDS or null}

A line that is no request is answered with `failed`, kind `request`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NoReturn

if TYPE_CHECKING:
    from rcnetd.api.client import Client

MAX_LINE_LENGTH = 4096  # bytes; PIPE_BUF
Send = Callable[[dict[str, Any]], None]


def main() -> NoReturn:
    """Give up all privileges, then serve requests until the input ends; ends the process."""
    from rcnetd.fetcher.confinement import confine, forbid_processes
    from rcnetd.fetcher.privileges import die_with_parent, drop_capabilities

    drop_capabilities()
    if len(sys.argv) > 1:
        die_with_parent(int(sys.argv[1]))
    confined = confine()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's business
    requests, replies = _take_standard_streams()

    def send(reply: dict[str, Any]) -> None:
        line = json.dumps(reply).encode("ascii") + b"\n"
        try:
            while line:
                line = line[os.write(replies, line) :]
        except BrokenPipeError:
            os._exit(1)  # nobody is there to be answered

    # Beside the first request: its connection can be opened without.
    ca_file = Path(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3] else None
    threading.Thread(target=_load, args=(ca_file,), daemon=True).start()
    forbid_processes()
    with open(requests, "rb") as lines:  # noqa: PTH123 -- a descriptor
        _serve(lines, send, confined)
    os._exit(0)  # an interpreter that ends in order may crash in the thread that still loads


def _load(ca_file: Path | None) -> None:
    """Load what takes long, ahead of need."""
    from rcnetd.api.connection import trust
    from rcnetd.api.errors import ApiError

    with contextlib.suppress(ImportError, ApiError):  # the request itself will say so
        import rcnetd.api.client  # noqa: F401 -- for who imports it next

        trust(ca_file)


def _take_standard_streams() -> tuple[int, int]:
    """The two pipes, for us alone: nothing else that prints or reads can get between."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _serve(requests: io.BufferedReader, send: Send, confined: dict[str, int]) -> None:
    while line := requests.readline(MAX_LINE_LENGTH):
        if confined:
            if len(sys.argv) > 1:  # then all requests are to one endpoint
                _confine_ports(line)
            send({"confined": confined})
            confined = {}
        whole = line.endswith(b"\n")
        while line and not line.endswith(b"\n"):
            line = requests.readline(MAX_LINE_LENGTH)
        reply = _reply(line, send) if whole else _failed("request", "the request is too long")
        send(reply)


def _confine_ports(line: bytes) -> None:
    from urllib.parse import urlsplit

    from rcnetd.fetcher.confinement import confine_ports

    with contextlib.suppress(ValueError, TypeError, KeyError):  # the reply will say so
        parts = urlsplit(json.loads(line)["endpoint"])
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        if port is not None:
            confine_ports(port)


def _reply(line: bytes, send: Send) -> dict[str, Any]:
    from rcnetd.api.connection import Connector
    from rcnetd.api.errors import ApiError, RateLimitError, TimedOut
    from rcnetd.api.parse import check_format, parse_json
    from rcnetd.core.model import Operation

    try:
        given = parse_json(line.decode("utf-8"))
        operation, form, raw = Operation(given["operation"]), _text(given["format"]), given["raw"]
        left = min(given["timeout"], given["deadline"] - time.monotonic())
        connector = Connector(
            _text(given["endpoint"]),
            source=_address(given["source"]),
            device=_optional(given["device"]),
            ca_file=_path(given["ca_file"]),
            api_address=_address(given["api_address"]),
            timeout=max(left, 0.001),
            progress=lambda phase: send({"progress": phase}),
        )
        check_format(operation, form)
    except (ValueError, TypeError, KeyError) as error:
        return _senseless(error)
    try:
        if left <= 0:
            raise TimedOut(left, "starting")
        connector.open_ahead()
        from rcnetd.api.client import Client

        client = Client.over(connector, left)
        reply = _raw(client, operation, form) if raw else _value(client, operation, form)
    except RateLimitError as error:
        reply = {"answer": "rate-limited", "retry_after": error.retry_after}
    except TimedOut as error:
        # In the words of who asked: what start-up took is part of the time.
        reply = _failed(error.kind, TimedOut(given["timeout"], error.phase).reason)
    except ApiError as error:
        reply = _failed(error.kind, error.reason, getattr(error, "retry_after", None))
    finally:
        connector.end()
    return {**reply, "peer": str(connector.peer) if connector.peer else None}


def _raw(client: Client, operation: Any, form: str) -> dict[str, Any]:
    body = client.raw(operation, form)
    if body is None:
        return {"answer": "not-assigned"}
    import base64

    return {"answer": "raw", "body": base64.b64encode(body).decode("ascii")}


def _value(client: Client, operation: Any, form: str) -> dict[str, Any]:
    from rcnetd.core.model import Operation

    if operation is Operation.GATEWAY:
        gateway = client.gateway_ip(form)
        if gateway is None:
            return {"answer": "not-assigned"}
        return {"answer": "gateway", "gateway": str(gateway)}
    if operation is Operation.FEATURES:
        features = client.automation_features(form)
        enabled = features.configure_network_stack
        return {"answer": "features", "configure_network_stack": enabled}
    if operation is Operation.DETAILS:
        return {"answer": "status", "word": client.automation_details(form).status.word}
    return {"answer": "status", "word": client.automation_status(form).word}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _path(value: Any) -> Path | None:
    text = _optional(value)
    if text is not None and "\0" in text:
        raise ValueError("a file name with a NUL")
    return None if text is None else Path(text)


def _address(value: Any) -> IPv4Address | None:
    return None if value is None else IPv4Address(_text(value))


def _senseless(error: Exception) -> dict[str, Any]:
    return _failed("request", f"the request makes no sense: {error!r:.80}")


def _failed(kind: str, reason: str, retry_after: float | None = None) -> dict[str, Any]:
    return {
        "answer": "failed",
        "kind": kind,
        "reason": reason,
        "retry_after": retry_after,
        "peer": None,
    }


if __name__ == "__main__":
    # Run as a file by `python -I -S`: the package that it belongs to, and no other, is the one to
    # use; the libraries are where the parent has them.
    PACKAGES = str(Path(__file__).resolve().parents[2])
    if PACKAGES not in sys.path:
        sys.path.insert(0, PACKAGES)
    if len(sys.argv) > 2:
        sys.path += filter(None, sys.argv[2].split(os.pathsep))
    main()
