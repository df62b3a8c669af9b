"""Real Keystone and Nova of Debian 12 on loopback: SQLite, no message queue, no hypervisor.

`Nova.started()` makes a tree of packages at its first use (three minutes, 1 GB, kept in
${XDG_CACHE_HOME:-~/.cache}/rcnetd) and starts Keystone and nova-api in it, as root, each in its
own view of the file system. The servers are rows (`rows.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

PACKAGES = "keystone,nova-api,nova-conductor,ca-certificates,sqlite3"
KEYSTONE, COMPUTE, NEUTRON = 15000, 18774, 19696  # ports
URL = f"http://127.0.0.1:{KEYSTONE}/v3"
LONG = 120.0  # seconds; nothing here takes that long unless it is broken
AUTH = f"""\
auth_url = {URL}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = admin
username = admin
password = secret
"""
KEYSTONE_CONF = """\
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:////var/lib/keystone/keystone.db
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys/
[credential]
key_repository = /etc/keystone/credential-keys/
[token]
provider = fernet
"""
NOVA_CONF = f"""\
[DEFAULT]
transport_url = fake:/
use_stderr = true
state_path = /var/lib/nova
my_ip = 127.0.0.1
osapi_compute_workers = 1
enabled_apis = osapi_compute
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = {COMPUTE}
compute_driver = fake.FakeDriver
[api]
auth_strategy = keystone
[api_database]
connection = sqlite:////var/lib/nova/nova_api.db
[database]
connection = sqlite:////var/lib/nova/nova_cell1.db
[oslo_concurrency]
lock_path = /var/lib/nova/tmp
[keystone_authtoken]
{AUTH}
[neutron]
endpoint_override = http://127.0.0.1:{NEUTRON}
{AUTH}
[placement]
{AUTH}
"""
INIT = f"""\
set -e
rm -f /var/lib/keystone/*.db /var/lib/nova/*.db
mkdir -p /var/lib/nova/tmp /etc/keystone/fernet-keys /etc/keystone/credential-keys
keystone-manage db_sync
keystone-manage fernet_setup --keystone-user root --keystone-group root
keystone-manage credential_setup --keystone-user root --keystone-group root
keystone-manage bootstrap --bootstrap-password secret --bootstrap-username admin \\
    --bootstrap-project-name admin --bootstrap-role-name admin --bootstrap-service-name keystone \\
    --bootstrap-region-id ORD --bootstrap-public-url {URL} --bootstrap-internal-url {URL} \\
    --bootstrap-admin-url {URL}
nova-manage api_db sync
nova-manage cell_v2 map_cell0 --database_connection sqlite:////var/lib/nova/nova_cell0.db
nova-manage db sync
nova-manage cell_v2 create_cell --name cell1 --transport-url fake:/ \\
    --database_connection sqlite:////var/lib/nova/nova_cell1.db
for file in /var/lib/keystone/*.db /var/lib/nova/*.db; do
    sqlite3 $file "pragma journal_mode=wal"
done
"""
INSIDE = 'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; exec chroot "$0" "$@"'


class Neutron(BaseHTTPRequestHandler):
    """Answers Nova's questions about ports with "none"."""

    def do_GET(self) -> None:
        """An empty list of whatever is asked for."""
        name = self.path.partition("?")[0].rpartition("/")[2].replace("-", "_")
        body = json.dumps({name: []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class Nova:
    """The running services. *project* owns the servers."""

    def __init__(self, tree: Path) -> None:
        self.tree, self.project = tree, ""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._neutron = ThreadingHTTPServer(("127.0.0.1", NEUTRON), Neutron)

    @classmethod
    def started(cls) -> Nova:
        """Make the tree if it is not there, and start everything."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rcnetd"
        tree = cache / "nova-bookworm"
        if not tree.exists():
            making = cache / f"nova-bookworm.{os.getpid()}"
            subprocess.run(
                ["mmdebstrap", "--variant=minbase", '--aptopt=APT::Install-Recommends "false"',
                 f"--include={PACKAGES}", "bookworm", making],
                check=True, stdout=sys.stderr,
            )  # fmt: skip
            making.rename(tree)
        if not (tree / "complete").exists():
            (tree / "etc/keystone/keystone.conf").write_text(KEYSTONE_CONF)
            (tree / "etc/nova/nova.conf").write_text(NOVA_CONF)
            subprocess.run([*_inside(tree), "sh", "-c", INIT], check=True, stdout=sys.stderr)
            (tree / "complete").touch()
        nova = cls(tree)
        try:
            nova._start()
        except BaseException:
            nova.stop()
            raise
        return nova

    def _start(self) -> None:
        Thread(target=self._neutron.serve_forever, args=(0.1,), daemon=True).start()
        self._run("keystone-wsgi-public", "--host", "127.0.0.1", "--port", str(KEYSTONE))
        self._run("nova-api", "--config-file", "/etc/nova/nova.conf")
        for url in (URL, f"http://127.0.0.1:{COMPUTE}/"):
            _wait_for(url)
        self._register()

    def _run(self, *command: str) -> None:
        with (self.tree / f"{command[0]}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([*_inside(self.tree), *command], stdout=log, stderr=log)
            )

    def _register(self) -> None:
        """Put Nova into Keystone's catalog, once."""
        content, token = self.login()
        self.project = content["token"]["project"]["id"]
        if any(one["type"] == "compute" for one in content["token"]["catalog"]):
            return
        service = call(f"{URL}/services", {"service": {"type": "compute", "name": "nova"}}, token)
        endpoint = {
            "service_id": service["service"]["id"], "interface": "public", "region_id": "ORD",
            "url": f"http://127.0.0.1:{COMPUTE}/v2.1",
        }  # fmt: skip
        call(f"{URL}/endpoints", {"endpoint": endpoint}, token)

    def login(self) -> tuple[dict[str, Any], str]:
        """Log in as the user of clouds.yaml: the answer, and the token."""
        user = {"name": "admin", "password": "secret", "domain": {"id": "default"}}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        request = urllib.request.Request(
            f"{URL}/auth/tokens", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=LONG) as answer:
            return json.loads(answer.read()), answer.headers["X-Subject-Token"]

    def set_metadata(self, server: str, metadata: dict[str, str]) -> None:
        """Change a server's metadata through the API, as RackConnect does."""
        url = f"http://127.0.0.1:{COMPUTE}/v2.1/servers/{server}/metadata"
        call(url, {"metadata": metadata}, self.login()[1])

    def requests(self) -> int:
        """How many requests Nova has answered since its start."""
        log = (self.tree / "nova-api.log").read_text(encoding="utf-8", errors="replace")
        return log.count('HTTP/1.1" status:')

    def settings(self) -> dict[str, Any]:
        """This cloud in clouds.yaml."""
        auth = {
            "auth_url": URL, "username": "admin", "password": "secret", "project_name": "admin",
            "user_domain_id": "default", "project_domain_id": "default",
        }  # fmt: skip
        return {"auth": auth, "identity_api_version": "3"}

    def stop(self) -> None:
        """End what was started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self._neutron.shutdown()
        self._neutron.server_close()


def _inside(tree: Path) -> Sequence[str]:
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", INSIDE, str(tree)]


def _wait_for(url: str) -> None:
    end = time.monotonic() + LONG
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def call(url: str, content: dict[str, Any], token: str) -> dict[str, Any]:
    """POST JSON."""
    headers = {"Content-Type": "application/json", "X-Auth-Token": token}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request, timeout=LONG) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
