"""What the API answers: pure, from the API page. (server's state, request) -> answer.

Shown on the page: the text of `automation_status`. Witnessed by clients: the JSON key
`automation_status`, the text of `gateway_ip`, the XML elements `automation_feature` and
`is_enabled`. Assumed, by analogy: all other shapes of JSON and XML. The page is silent on an
unknown `format` (400 here), on other methods (405), and on servers that RackConnect does not know
(404 here, with a text that says so).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from rcnetd.emulator.scenario import Server, State

TEXT, JSON, XML = "text/plain", "application/json", "application/xml"
TYPES = {"text": TEXT, "json": JSON, "xml": XML}
# "Response formats" and "Default response format" of the API page; the default is the first.
FORMATS = {
    "automation_status": ("text", "json", "xml"),
    "automation_status/details": ("json", "xml"),
    "gateway_ip": ("text", "json", "xml"),
    "automation_features": ("json", "xml"),
}


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=64)
def operation_of(target: str) -> str | None:
    """The operation that a request's target names, None for another path."""
    path = urlsplit(target).path
    operation = path[len("/v1/") :] if path.startswith("/v1/") else ""
    return operation if operation in FORMATS else None


@lru_cache(maxsize=64)
def _format_of(target: str) -> str:
    return parse_qs(urlsplit(target).query).get("format", [""])[0].lower()


def unknown_server() -> Answer:
    """RackConnect does not know the address that asks."""
    return Answer(404, b"Server not found")


def forbidden(retry_after: int | None = None) -> Answer:
    """ "If you exceed the number of allowed requests per minute, you will receive an HTTP 403." """
    headers = (("Retry-After", str(retry_after)),) if retry_after is not None else ()
    return Answer(403, b"Rate limit exceeded", TEXT, headers)


def answer(server: Server, state: State, method: str, target: str) -> Answer:
    """The answer to one request of *server* in *state*."""
    operation = operation_of(target)
    if operation is None:
        return Answer(404, b"Not found")
    if method not in ("GET", "HEAD"):
        return Answer(405, b"Method not allowed", TEXT, (("Allow", "GET, HEAD"),))
    formats = FORMATS[operation]
    given = _format_of(target) or formats[0]
    if given not in formats:
        return Answer(400, f"Unknown format; use one of {', '.join(formats)}".encode())
    if operation == "gateway_ip" and state.gateway is None:
        # "If the gateway IP address has not yet been assigned, an HTTP 404 response code is
        # returned"
        return Answer(404, b"Not found")
    return Answer(200, _body(operation, given, server, state).encode(), TYPES[given])


def _body(operation: str, form: str, server: Server, state: State) -> str:
    if operation == "automation_status/details":
        tasks = [{"name": name, "status": state.status} for name in server.tasks]
        value: Any = {"automation_status": state.status, "tasks": tasks}
    elif operation == "automation_features":
        value = {
            "automation_features": [
                {"name": name, "is_enabled": enabled} for name, enabled in server.features
            ]
        }
    else:
        word = state.status if operation == "automation_status" else str(state.gateway)
        if form == "text":
            return word
        value = {operation: word}
    return json.dumps(value) if form == "json" else _xml(operation, value)


def _xml(operation: str, value: Any) -> str:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    if operation == "automation_status/details":
        inner = f"<automation_status>{value['automation_status']}</automation_status>"
        inner += f"<tasks>{''.join(_element('task', task) for task in value['tasks'])}</tasks>"
        return f"{head}<automation_status_details>{inner}</automation_status_details>"
    if operation == "automation_features":
        features = value["automation_features"]
        inner = "".join(_element("automation_feature", feature) for feature in features)
        return f"{head}<automation_features>{inner}</automation_features>"
    return f"{head}<{operation}>{escape(value[operation])}</{operation}>"


def _element(name: str, fields: dict[str, Any]) -> str:
    inner = "".join(
        f"<{key}>{escape(str(text).lower() if isinstance(text, bool) else text)}</{key}>"
        for key, text in fields.items()
    )
    return f"<{name}>{inner}</{name}>"
