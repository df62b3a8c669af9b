"""A cloud to list servers from: the few calls of Keystone (v2, v3) and Nova that a list needs.

As real Nova 26 and 34 answered: pages of 1,000, newest first; `changes-since` is inclusive, in
whole seconds, and lists deleted servers; the marker of an unknown server is 400; unknown filters
are ignored. Faults come from a queue, one for each request of a list.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "rackconnect_automation_status"
MAX_LIMIT = 1000
Fault = Callable[["Handler"], bool]  # True: the request has been dealt with


def server(number: int, word: str | None = "DEPLOYED", /, **more: Any) -> dict[str, Any]:
    """A server as Nova shows it, with its RackConnect status."""
    metadata = {"rackconnect_automation_feature_configure_network_stack": "ENABLED"}
    if word is not None:
        metadata[KEY] = word
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "name": f"web-{number}",
        "status": "ACTIVE",
        "OS-EXT-STS:task_state": None,
        "accessIPv4": f"203.0.{number // 256 % 256}.{number % 256}",
        "addresses": {
            "public": [{"version": 4, "addr": f"198.51.{number // 256 % 256}.{number % 256}"}],
            "private": [
                {"version": 6, "addr": "fe80::1"},
                {"version": 4, "addr": f"10.180.{number // 256 % 256}.{number % 256}"},
            ],
        },
        "metadata": metadata,
        "updated": "2026-11-27T08:00:00Z",
        # What a real answer has besides, to have its size.
        "flavor": {"id": "2", "links": [{"rel": "bookmark", "href": "http://nova/flavors/2"}]},
        "image": {"id": "5" * 36, "links": [{"rel": "bookmark", "href": "http://nova/images/5"}]},
        "links": [{"rel": "self", "href": f"http://nova/v2.1/servers/{number}"}] * 2,
        "security_groups": [{"name": "default"}],
        "tenant_id": "t" * 32,
        "user_id": "u" * 32,
        "hostId": "h" * 56,
        "key_name": None,
        "config_drive": "True",
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-STS:vm_state": "active",
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "nova",
        "os-extended-volumes:volumes_attached": [],
        **more,
    }


class Region:
    """The servers of one region. Change them by `change` and `delete` only."""

    def __init__(self, servers: list[dict[str, Any]]) -> None:
        self.listed = {one["id"]: one for one in servers}
        self.changed_at: dict[str, float] = {}
        self.reports_changes = True
        self.before_page: Callable[[int], object] = lambda _: None
        self.faults: deque[Fault] = deque()
        self.requests: list[str] = []

    def change(self, number: int, status: str | None, *, access: str | None = None) -> None:
        """Set a server's automation status; None removes the key, which Nova does not report."""
        server_id = server(number)["id"]
        one = json.loads(json.dumps(self.listed[server_id]))
        if status is None:
            one["metadata"].pop(KEY, None)
        else:
            one["metadata"][KEY] = status
            self.changed_at[server_id] = time.time()
        if access is not None:
            one["accessIPv4"] = access
        self.listed[server_id] = one

    def delete(self, number: int) -> None:
        """Delete a server: only `changes-since` still lists it."""
        server_id = server(number)["id"]
        self.listed[server_id] = {**self.listed[server_id], "status": "DELETED"}
        self.changed_at[server_id] = time.time()

    def page(self, query: dict[str, str], url: str) -> tuple[int, dict[str, Any]]:
        """The status and the body of the answer."""
        self.before_page(len(self.requests))
        since = query.get("changes-since")
        chosen = [one for one in self.listed.values() if self._is_listed(one, since)]
        marker = query.get("marker")
        if marker:
            if marker not in self.listed:
                return 400, {"badRequest": {"code": 400, "message": f"marker [{marker}]"}}
            ids = list(self.listed)
            after = set(ids[ids.index(marker) + 1 :])
            chosen = [one for one in chosen if one["id"] in after]
        limit = min(int(query.get("limit", MAX_LIMIT)), MAX_LIMIT)
        body: dict[str, Any] = {"servers": chosen[:limit]}
        if len(chosen) >= limit:
            more = f"&changes-since={since}" if since else ""
            link = f"{url}?marker={chosen[limit - 1]['id']}{more}"
            body["servers_links"] = [{"rel": "next", "href": link}]
        return 200, body

    def _is_listed(self, one: dict[str, Any], since: str | None) -> bool:
        if since is None:
            return bool(one["status"] != "DELETED")
        begin = time.mktime(time.strptime(since, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        changed = self.changed_at.get(one["id"])
        return self.reports_changes and changed is not None and int(changed) >= begin


class OpenStack:
    """Serves a cloud on 127.0.0.1 until `stop`. *regions*: by name; None is a dead one."""

    def __init__(self, regions: dict[str, Region | None]) -> None:
        self.regions = regions
        self.users = {"demo": "secret"}
        self.tokens: set[str] = set()
        self.logins = 0
        self.login_faults: deque[Fault] = deque()
        self._numbers = itertools.count()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.cloud = self  # type: ignore[attr-defined] # for its handlers
        self._server.daemon_threads = True
        self._server.handle_error = _client_has_gone  # type: ignore[method-assign,assignment]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        """Close the socket."""
        self._server.shutdown()
        self._server.server_close()

    def token(self) -> str:
        """A new token."""
        token = f"token-{next(self._numbers)}"
        self.tokens.add(token)
        return token

    def expire_tokens(self) -> None:
        """From now on every token that was given is refused."""
        self.tokens.clear()

    def place(self, region: str) -> str:
        """The URL of a region's Nova; a port that nothing listens on for a dead one."""
        if self.regions[region] is None:
            return "http://127.0.0.1:1/v2.1"
        return f"{self.url}/{region}/v2.1"

    def settings(self, **more: Any) -> dict[str, Any]:
        """This cloud in clouds.yaml."""
        auth = {
            "auth_url": f"{self.url}/v3",
            "username": "demo",
            "password": "secret",
            "project_name": "demo",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return {"auth": auth, "identity_api_version": "3", **more}

    def rackspace(self, key: str = "secret") -> dict[str, Any]:
        """This cloud in clouds.yaml, as Rackspace's, with an API key."""
        auth = {"auth_url": f"{self.url}/v2.0/", "username": "demo", "api_key": key}
        return {"profile": "rackspace", "auth_type": "rackspace_apikey", "auth": auth}


def _client_has_gone(*_: Any) -> None:
    """Say nothing: a client may close a connection at any time."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def cloud(self) -> OpenStack:
        """The cloud it belongs to."""
        return self.server.cloud  # type: ignore[attr-defined,no-any-return] # set by OpenStack

    def do_GET(self) -> None:
        """Versions, or a list of servers."""
        parts = urlsplit(self.path)
        match = re.fullmatch(r"/([A-Za-z]+)/v2\.1/servers/detail", parts.path)
        region = self.cloud.regions.get(match[1]) if match else None
        if region is None or match is None:
            self._version(parts.path)
            return
        region.requests.append(self.path)
        if region.faults and region.faults.popleft()(self):
            return
        if self.headers.get("X-Auth-Token") not in self.cloud.tokens:
            self.answer(401, {"error": {"code": 401, "message": "Unauthorized"}})
            return
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.answer(*region.page(query, f"{self.cloud.place(match[1])}/servers/detail"))

    def _version(self, path: str) -> None:
        if path.rstrip("/") == "/v3":
            link = {"rel": "self", "href": f"{self.cloud.url}/v3/"}
            self.answer(200, {"version": {"id": "v3.14", "status": "stable", "links": [link]}})
        else:
            self.answer(404, {"error": {"code": 404}})

    def do_POST(self) -> None:
        """A login."""
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.cloud.logins += 1
        if self.cloud.login_faults and self.cloud.login_faults.popleft()(self):
            return
        if self.path == "/v3/auth/tokens":
            user = content["auth"]["identity"]["password"]["user"]
            self._login(user["name"], user["password"], self._token_v3)
        else:
            auth = content["auth"]
            given = auth.get("RAX-KSKEY:apiKeyCredentials") or auth["passwordCredentials"]
            self._login(
                given["username"], given.get("apiKey", given.get("password")), self._token_v2
            )

    def _login(self, user: str, secret: str, grant: Callable[[], None]) -> None:
        if self.cloud.users.get(user) == secret:
            grant()
        else:  # Rackspace's form of a fault
            self.answer(401, {"unauthorized": {"code": 401, "message": "wrong"}})

    def _token_v3(self) -> None:
        endpoints = [
            {
                "id": name, "region": name, "region_id": name, "interface": "public",
                "url": self.cloud.place(name),
            }
            for name in self.cloud.regions
        ]  # fmt: skip
        token = {
            "methods": ["password"],
            "expires_at": "2036-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "catalog": [{"id": "c", "type": "compute", "name": "nova", "endpoints": endpoints}],
        }
        self.answer(201, {"token": token}, **{"X-Subject-Token": self.cloud.token()})

    def _token_v2(self) -> None:
        access = {
            "token": {"id": self.cloud.token(), "expires": "2036-01-01T00:00:00Z",
                      "tenant": {"id": "123456", "name": "123456"}},
            "user": {"id": "1", "name": "demo", "roles": []},
            "serviceCatalog": [
                {"type": "compute", "name": "cloudServers",
                 "endpoints": [{"publicURL": f"{self.cloud.url}/v1.0/123456"}]},
                {"type": "compute", "name": "cloudServersOpenStack", "endpoints": [
                    {"region": name, "publicURL": self.cloud.place(name)}
                    for name in self.cloud.regions
                ]},
            ],
        }  # fmt: skip
        self.answer(200, {"access": access})

    def answer(self, status: int, content: Any, **headers: str) -> None:
        """Send JSON."""
        self.send(status, json.dumps(content).encode(), None, **headers)

    def send(self, status: int, body: bytes, length: int | None, /, **headers: str) -> None:
        """Send a body; with another *length* than it has, and the connection closed after it."""
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or length is not None

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def says(status: int, body: bytes = b"{}", **headers: str) -> Fault:
    """Answers with this status."""

    def fault(handler: Handler) -> bool:
        handler.send(
            status, body, None, **{key.replace("_", "-"): text for key, text in headers.items()}
        )
        return True

    return fault


def half(handler: Handler) -> bool:
    """Sends half of a page, and closes the connection."""
    handler.send(200, b'{"servers": [', 5000)
    return True


def works(handler: Handler) -> bool:
    """No fault: this request is answered as usual."""
    return False


def token_expires(handler: Handler) -> bool:
    """The token of this request has just expired."""
    handler.cloud.expire_tokens()
    return False


def write_clouds(path: Path, clouds: dict[str, Any]) -> Path:
    """A clouds.yaml (JSON is YAML)."""
    path.write_text(json.dumps({"clouds": clouds}), encoding="utf-8")
    return path
