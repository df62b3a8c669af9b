"""`rcnetctl persist` and `revert` beside a real daemon and kernel, on a host of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rcnetd.core.model import Network, Query
from rcnetd.ctl.persist import persist
from rcnetd.ctl.revert import revert
from rcnetd.lab.topology import PUBLIC_ROUTER
from rcnetd.netlink.kernel import Kernel
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from tests.netns.daemons import ONCE, Cloud, Daemon

pytestmark = pytest.mark.netns
SETTINGS = "persist: networkd\n"
UNITS = {
    "10-eth0.network": "[Match]\nName=eth0\n\n[Network]\nAddress=203.0.113.10/24\n"
    "Gateway=203.0.113.1\n# the customer's note",
    "10-eth1.network": "[Match]\nName=eth1\r\n\r\n[Network]\r\nAddress=10.180.1.2/19\r\n",
}


class Server:
    """A server that rcnetd has made READY, and its configuration files."""

    def __init__(self, cloud: Cloud, root: Path) -> None:
        self.cloud, self.root = cloud, root
        self.units = root / "etc/systemd/network"
        self.units.mkdir(parents=True)
        for name, text in UNITS.items():
            (self.units / name).write_bytes(text.encode())
        cloud.emulate(ONCE)
        self.daemon: Daemon = cloud.start(SETTINGS)
        self.config = self.daemon.directory / "rcnetd.yaml"
        self.paths = Paths(
            self.daemon.run,
            self.daemon.directory / "state",
            self.daemon.directory / "metadata.json",
        )
        self.daemon.until_ready()

    def persist(self) -> int:
        """`rcnetctl persist` here."""
        with self.cloud.topology.server:
            return persist(self.paths, [self.config], self.root)

    def revert(self) -> int:
        """`rcnetctl revert` here."""
        with self.cloud.topology.server:
            return revert(self.paths, self.root)

    def files(self) -> dict[str, bytes]:
        """All files below /etc."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted((self.root / "etc").rglob("*"))
            if path.is_file()
        }

    @property
    def outcome(self) -> dict[str, object]:
        """What is noted for `rcnetctl status`."""
        content: dict[str, object] = json.loads(self.paths.persisted.read_text())
        return content


@pytest.fixture
def server(cloud: Cloud, tmp_path: Path) -> Server:
    """READY, nothing persisted yet."""
    return Server(cloud, tmp_path / "root")


def test_written_and_put_back(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The files byte by byte, the routes as they were: the public default back, ours gone."""
    before = server.files()
    assert 0 == server.persist()
    persisted = server.files()
    assert before != persisted
    assert "edited /etc/systemd/network/10-eth0.network" in capsys.readouterr().out
    assert (True, "networkd", None) == tuple(
        server.outcome[key] for key in ("ok", "renderer", "reason")
    )

    assert 0 == server.persist()
    assert persisted == server.files()
    assert "nothing to write: networkd has the route by 10.180.31.254" in capsys.readouterr().out

    assert 1 == server.revert()
    assert "rcnetd is running and would undo it" in capsys.readouterr().err
    server.daemon.stop()
    assert 0 == server.revert()
    assert before == server.files()
    assert [f"default via {PUBLIC_ROUTER} dev eth0"] == [
        line.strip() for line in server.cloud.defaults()
    ]
    assert "put back default via 203.0.113.1 dev eth0" in capsys.readouterr().out
    assert not server.paths.persisted.exists()
    assert 0 == server.revert()
    assert "nothing to put back" in capsys.readouterr().out


@pytest.mark.parametrize(("ago", "left"), [(0, 600), (500, 100), (700, 0)])
def test_a_route_comes_back_with_what_is_left_of_its_lifetime(
    server: Server, monkeypatch: pytest.MonkeyPatch, ago: int, left: int
) -> None:
    """It would have expired meanwhile, had it not been removed."""
    host = server.cloud.topology.server
    with host:
        host.run(
            "ip", *["-6", "route", "add", "default", "dev", "eth0", "proto", "ra", "expires", "600"]
        )
        (default,) = Kernel().read(Query(ipv6=True)).ipv6_defaults
        files, clock = RuntimeFiles(server.paths), time.monotonic
        with monkeypatch.context() as patched:
            patched.setattr("rcnetd.store.runtime.time.monotonic", lambda: clock() - ago)
            files.removed((default,), Network())
        Kernel().remove_route(default)
    server.daemon.stop()
    assert 0 == server.revert()

    with host:
        found = Kernel().read(Query(ipv6=True)).ipv6_defaults
    assert [left] == [left for one in found if left - 10 <= one.expires <= left] or not (
        left or found
    )


def test_an_edit_of_somebody_stays(server: Server) -> None:
    """Ours are taken out of the file; what somebody has added to it is not lost."""
    server.persist()
    path = server.units / "10-eth0.network"
    path.write_bytes(path.read_bytes() + b"\nDNS=192.0.2.53\n")
    server.daemon.stop()
    assert 0 == server.revert()
    assert f"{UNITS['10-eth0.network']}\nDNS=192.0.2.53\n" == path.read_text()
    assert not server.cloud.goes_by_gateway()


def test_what_another_agent_writes_anew_is_edited_again(server: Server) -> None:
    """And put back as that agent wrote it: our edits were gone with the file."""
    server.persist()
    path = server.units / "10-eth0.network"
    anew = UNITS["10-eth0.network"].replace("203.0.113.10/24", "203.0.113.77/24")
    path.write_text(anew)
    assert 0 == server.persist()
    assert anew.encode() != path.read_bytes()
    server.daemon.stop()
    assert 0 == server.revert()
    assert anew == path.read_text()
    assert UNITS["10-eth1.network"].encode() == (server.units / "10-eth1.network").read_bytes()


@pytest.mark.parametrize(
    ("gateway", "code"),
    [("10.180.31.253", 75), ("10.180.1.2", 1), ("198.51.100.1", 1), ("1; reboot", 1)],
)
def test_the_daemon_s_word_is_judged(
    server: Server, capsys: pytest.CaptureFixture[str], gateway: str, code: int
) -> None:
    """It comes from a process with fewer rights: another gateway than the kernel uses is none."""
    before = server.files()
    route = json.loads(server.paths.route.read_text())
    server.paths.route.write_text(json.dumps({**route, "gateway": gateway}))
    assert code == server.persist()
    assert before == server.files()
    assert not server.paths.persisted.exists() or server.outcome["ok"] is False
    assert capsys.readouterr().err.startswith("rcnetctl: ")


def test_nothing_to_do(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """No route yet; not wanted; settings that are wrong."""
    server.paths.route.rename(server.paths.route.with_name("kept"))
    assert 3 == server.persist()
    assert "has set no route since boot" in capsys.readouterr().err
    server.config.write_text("persist: none\n")
    assert 0 == server.persist()
    assert "'persist: none' is set" in capsys.readouterr().out
    server.config.write_text("persist: nothing\n")
    assert 78 == server.persist()
    assert "nothing" in capsys.readouterr().err


def test_the_old_route_stays_while_there_is_no_other(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was removed cannot come back (its link is gone): ours is not taken away."""
    server = Server(cloud, tmp_path / "root")
    server.persist()
    server.daemon.stop()
    cloud.topology.server.ip("link delete eth0")
    assert 0 == server.revert()
    assert cloud.goes_by_gateway()
    assert "stays until the next boot: there is no other" in capsys.readouterr().out


# A disk that is full, one that cannot be written, rights that are missing

COMMAND = """
import sys
import time
from pathlib import Path
from rcnetd.core.model import Network, Query
from rcnetd.ctl.persist import persist
from rcnetd.store.paths import Paths
root = Path(sys.argv[2])
paths = Paths(Path(sys.argv[1]), root / "state", root / "none")
sys.exit(persist(paths, [Path(sys.argv[3])], root))
"""


PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("mounted", "reason", "code"),
    [
        (
            "mount -t tmpfs -o size={size} tmpfs {root} && cp -a {copy}/. {root}",
            "No space left",
            75,
        ),
        ("mount --bind {root} {root} && mount -o remount,ro,bind {root}", "Read-only file", 1),
    ],
    ids=["full", "read-only"],
)
def test_what_cannot_be_written_changes_nothing(
    server: Server, tmp_path: Path, mounted: str, reason: str, code: int
) -> None:
    """One line that says why; no file beside the others, no record; READY stays READY."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(server.root), str(copy)], check=True)
    units = copy / server.units.relative_to(server.root)
    # As many pages as the files take.
    files = (path for path in copy.rglob("*") if path.is_file())
    size = sum(-(-path.stat().st_size // PAGE) for path in files) * PAGE
    begin = mounted.format(root=server.root, copy=copy, size=size)
    script = f'{begin} && {{ "$@"; echo "exit $?"; diff -r {units} {server.units}; }}'
    command = [sys.executable, "-c", COMMAND]
    arguments = [str(server.daemon.run), str(server.root), str(server.config)]
    with server.cloud.topology.server:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *command, *arguments],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    assert (f"exit {code}\n", 0) == (done.stdout, done.returncode), done.stderr
    assert done.stderr.startswith("rcnetctl: Failed to write ")
    assert 1 == len(done.stderr.splitlines())
    assert reason in done.stderr
    assert not (server.root / "state-persist/undo/record.json").exists()
    assert "READY" == server.daemon.status["state"]
    assert server.cloud.goes_by_gateway()


def test_of_an_image_only_the_files(server: Server) -> None:
    """The kernel that runs is another's."""
    before = server.files()
    server.persist()
    routes = server.cloud.defaults()
    with server.cloud.topology.server:
        assert 0 == revert(server.paths, server.root, image=True)
    assert before == server.files()
    assert routes == server.cloud.defaults()
