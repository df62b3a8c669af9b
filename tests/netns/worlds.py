"""The states of the world in which a server can be, and how each comes about, for `test_worlds.py`.

What status says must not depend on when a world has come: the table in README.md beside this is
written by a complete run of `tests/run netns`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import rcnetd
from rcnetd.lab.topology import API, PUBLIC_ROUTER
from tests.chaos.blows import BLOWS, BRIDGES, POLICIES, carry_out
from tests.netns.daemons import ONCE, Cloud, Daemon
from tests.support.made_part import MadePart
from tests.support.waiting import LONG, until

NAME = "dfw.api.rackconnect.rackspace.com"
RESTARTED = 10.0  # seconds within which a start returns on a server that was READY
READY, WAITS = "READY, in effect", " (the start waits)"
COLUMNS = BEFORE, AT_READY, AT_RESTART, AT_UPGRADE = (
    "before the first start", "comes at READY", "at a restart", "at an upgrade",
)  # fmt: skip
README = Path(__file__).with_name("README.md")
IN_README = MadePart(
    README, "<!-- worlds: made by tests/run netns -->\n", "<!-- end of worlds -->\n"
)


class Host:
    """A server with files of its own, in the small cloud, and rcnetd on it as systemd runs it."""

    def __init__(self, cloud: Cloud, directory: Path, run: str = "size=512k") -> None:
        """*run* are the limits of the file system /run."""
        self.cloud = cloud
        self._code = directory / "code"
        self._hosts, resolv = directory / "hosts", directory / "resolv.conf"
        self._settings = directory / "settings.yaml"
        self._run = directory / "run"
        self._run.mkdir()
        self.name_server(answers=True)
        resolv.write_text("nameserver 127.0.0.1\n")
        package = Path(rcnetd.__file__).parent
        shutil.copytree(package, self._code / "rcnetd", ignore=shutil.ignore_patterns("*.pyc"))
        cloud.emulate(ONCE)
        self._settings.write_text(f"region: dfw\nca_file: {cloud.api.ca_file}\n")
        mounts = (
            f"mount -t tmpfs -o {run} tmpfs {self._run}"
            f" && mount --bind {self._hosts} /etc/hosts"
            f" && mount --bind {resolv} /etc/resolv.conf && echo ready && exec cat"
        )
        self._mounts = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mounts],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        cloud.callback(self._end)
        assert self._mounts.stdout is not None
        assert self._mounts.stdout.readline() == b"ready\n"
        self.run = Path(f"/proc/{self._mounts.pid}/root{self._run}")
        self.daemon: Daemon

    def _end(self) -> None:
        self._mounts.communicate()

    def start(self) -> None:
        """The daemon's first start; like its unit's user it can read what its modes allow."""
        program = (
            *("nsenter", f"--target={self._mounts.pid}", "--mount"),
            *("setpriv", "--bounding-set=-dac_override,-dac_read_search"),
            *(sys.executable, "-m", "rcnetd", "--config", str(self._settings)),
        )
        environ = {
            "PYTHONPATH": str(self._code),
            "RUNTIME_DIRECTORY": str(self._run),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.daemon = Daemon(self.cloud, "", environ, program=program)
        self.cloud.callback(self.daemon.close)
        self.daemon.run = self.run

    def restart(self, *, upgrade: bool) -> None:
        """As systemd does, with another version of the code in place at an upgrade."""
        if upgrade:
            package = self._code / "rcnetd" / "__init__.py"
            text = package.read_text()
            package.write_text(re.sub("(?m)^__version__ = .*", '__version__ = "99"', text))
        self.daemon.hear()
        self.daemon.messages.clear()
        self.daemon.restart(signal.SIGTERM)

    def until_returned(self) -> None:
        """Wait, within the promise, until systemd would report the start as done, or failed."""

        def has_returned() -> bool:
            return self.daemon.process.poll() is not None or "READY=1" in self.daemon.hear()

        with self.daemon.told():
            until(has_returned, RESTARTED)

    def wake(self) -> None:
        """Have a default route come and go: what no message tells is seen within a minute."""
        route = f"default via {PUBLIC_ROUTER} dev eth1 metric 701 onlink"
        carry_out(self.cloud.topology, f"route add {route}", f"route del {route}")

    # What comes

    def ip(self, *commands: str) -> None:
        """Lines of `ip`."""
        carry_out(self.cloud.topology, *commands)

    def name_server(self, *, answers: bool) -> None:
        """Whether the API's name can be resolved."""
        self._hosts.write_text(f"127.0.0.1 localhost\n{f'{API} {NAME}' if answers else ''}\n")

    def silence_name_server(self) -> None:
        """It takes every question and answers none."""
        self.name_server(answers=False)
        with self.cloud.topology.server:
            script = (
                "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                "s.bind(('127.0.0.1', 53)); time.sleep(1000)"
            )
            silent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        self.cloud.callback(silent.wait)
        self.cloud.callback(silent.kill)

    def fill_run(self) -> None:
        """No byte is left under /run."""
        block = bytes(4096)
        with contextlib.suppress(OSError), (self.run / "fill").open("ab", buffering=0) as file:
            while file.write(block) == len(block):
                pass

    def hide_settings(self) -> None:
        """Their file may not be read, as with an umask of 077."""
        self._settings.chmod(0)

    # What is said of it

    def says(self) -> str:
        """What status says; systemd's where there is no file of this daemon's."""
        daemon = self.daemon
        code = daemon.process.poll()
        if code is not None:
            return f"exit {code}"
        status = daemon.status
        if status.get("pid") != daemon.process.pid:
            lines = [line for line in daemon.hear() if line.startswith("STATUS=ready, guarding")]
            troubles = re.search("diverted|not in effect|is gone", lines[-1]) if lines else None
            return f"{READY}, by systemctl only" if lines and not troubles else ""
        route = status["route"]
        how = "; ".join(route["diversions"]) or ("in effect" if route["in_effect"] else "")
        waits = "" if status["ready"] else WAITS
        return f"{status['state']}{f', {how}' if how else ''}{waits}"

    def until_says(self, text: str) -> None:
        """Wait until status says so."""
        try:
            until(lambda: self.says() == text, 2 * LONG)
        except AssertionError:
            said = f"{self.says()!r}, not {text!r}"
            raise AssertionError(f"{said}\n{self.daemon.log.read_text()}") from None


@dataclass(frozen=True)
class World:
    """How it comes (lines of `ip`, or a call), and what status says: in all columns, or *but*."""

    says: str = READY
    commands: tuple[str, ...] = ()
    come: Callable[[Host], None] | None = None
    but: tuple[tuple[str, str], ...] = ()
    why: str = ""

    def arrive(self, host: Host) -> None:
        """It comes, or comes again."""
        host.ip(*self.commands)
        if self.come is not None:
            self.come(host)

    def said(self, column: str) -> str:
        """What status says if it has come there."""
        return dict(self.but).get(column, self.says)


def diverted(by: str) -> str:
    """What status says of a diversion."""
    return f"READY, traffic {by}"


def _servicenet_down(host: Host) -> None:
    host.cloud.topology.servicenet.ip("link set server down")


def _gateway_silent(host: Host) -> None:
    host.cloud.topology.gateway.ip("link set eth1 down")
    host.ip("neigh flush dev eth1")


ASKS = ((BEFORE, f"WAITING_FOR_FEATURES{WAITS}"),)
REFUSED = "exit 78"
WORLDS: dict[str, World] = {
    "nothing special": World(),
    "a public default of metric 0": World(commands=BLOWS["default at metric 0"]),
    "a default of our metric, in front of ours": World(commands=BLOWS["default at our metric"]),
    "a default of our metric, behind ours": World(commands=BLOWS["default behind ours"]),
    "a blackhole default of metric 0": World(commands=BLOWS["blackhole default"]),
    "a public default of metric 500": World(commands=BLOWS["losing default"]),
    "a VPN's two halves of the internet": World(
        diverted("is diverted by a /1 route of table main via 10.98.0.1 dev vpn0"),
        POLICIES["VPN of two halves"],
    ),
    "wg-quick": World(
        diverted("is diverted by a route of table 51820 dev wg0"), POLICIES["wg-quick"]
    ),
    "a rule for ServiceNet's address": World(
        diverted("from ServiceNet's address is diverted by a route of table 100 via 10.180.0.1"
                 " dev eth1"),
        POLICIES["rule for our own address"],
    ),
    "a blackhole rule": World(diverted("is refused (blackhole)"), POLICIES["blackhole rule"]),
    "a prohibiting rule": World(diverted("is refused (prohibit)"), POLICIES["prohibiting rule"]),
    "a default route with a TOS": World(
        diverted("with TOS 0x10 is diverted by a route of table main via 10.180.0.1 dev eth1"),
        POLICIES["default of a TOS"],
    ),
    "ServiceNet behind a bridge": World(commands=BRIDGES["ServiceNet behind a bridge"]),
    "a container on ServiceNet's bridge": World(
        commands=(*BRIDGES["ServiceNet behind a bridge"], *BRIDGES["a container joins the bridge"])
    ),
    "ServiceNet's link is down": World(
        "READY", come=_servicenet_down,
        but=((BEFORE, f"WAITING_FOR_SERVICENET{WAITS}"),),
        why="the first start does not know where to ask, nor by which link the route goes",
    ),
    "the gateway does not answer on the link": World(
        come=_gateway_silent, but=((BEFORE, f"CHECKING_GATEWAY{WAITS}"),),
        why="the first start takes no route to a gateway that nobody has seen; later one has",
    ),
    "the API is dead": World(
        come=lambda host: host.cloud.api.set_fault("hang"), but=ASKS,
        why="the first start has nobody else to ask",
    ),
    "the name server is silent": World(
        come=Host.silence_name_server, but=ASKS,
        why="the first start has no address of the API yet",
    ),
    "/run is full": World(
        f"{READY}, by systemctl only", come=Host.fill_run,
        but=((AT_READY, READY),),
        why="status.json cannot be written; the one of a running daemon is still true",
    ),
    "the settings cannot be read": World(
        REFUSED, come=Host.hide_settings, but=((AT_READY, READY),),
        why="a running daemon has read them; a start without the person's settings would be one"
        " with others. The route stays, the reason is in status and in the journal",
    ),
}  # fmt: skip


def table(results: dict[tuple[str, str], str]) -> str:
    """The table of Markdown: what status said in each world, by when it had come."""
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    notes: list[str] = []
    for name, world in WORLDS.items():
        said = [results[name, column] for column in COLUMNS]
        note = ""
        if len(set(said)) > 1:
            notes.append(f"{len(notes) + 1}. {name[0].upper()}{name[1:]}: {world.why}.")
            note = f" ({len(notes)})"
        cells = ["〃" if n and said[n] == said[n - 1] else said[n] for n in range(len(said))]
        lines.append(f"| {name}{note} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Where the answers differ:", "", *notes]) + "\n"


PLANNED = {(name, column): WORLDS[name].said(column) for name in WORLDS for column in COLUMNS}


def write(results: dict[tuple[str, str], str]) -> None:
    """Put the table into the README if the run was complete."""
    if results.keys() >= PLANNED.keys():
        IN_README.text = table(results)
