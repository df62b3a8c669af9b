"""A virtual machine in the server's place of the small cloud: qemu without an accelerator."""

from __future__ import annotations

import contextlib
import json
import re
import select
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from rcnetd.emulator.certificates import Authority
from rcnetd.lab.topology import (
    INTERNET,
    PUBLIC_MAC,
    SERVICENET_MAC,
    Namespace,
    Topology,
)
from tests.boot.server import Server
from tests.support.waiting import until
from tests.vm.disks import Disk
from tests.vm.trunk import Trunk

BOOT = 1800.0  # seconds: 90 alone on the machine, and many where others use it, too
ANSWER = 600.0  # seconds for a command to end
CABLES = ("eth0", "eth1")  # to the public router, and to ServiceNet's switch
RED = re.compile(r"FAILED|DEPEND\b|Timed out|ordering cycle|Kernel panic|Traceback")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Packet(NamedTuple):
    """One of the server's packets, as it came to the internet."""

    at: float
    number: int
    source: IPv4Address


class Receiver:
    """Stands on the internet, and notes by which way the server's packets come."""

    def __init__(self, internet: Namespace) -> None:
        with internet:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((str(INTERNET), 9))
        self._end, self._ended = socket.socketpair()
        self.packets: list[Packet] = []
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while self._ended not in select.select([self._socket, self._ended], [], [])[0]:
            data, (source, _) = self._socket.recvfrom(64)
            self.packets.append(Packet(time.monotonic(), int(data), IPv4Address(source)))

    def close(self) -> None:
        """Stop."""
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._socket.close()


class Channel:
    """A stream of lines over a Unix socket of qemu's."""

    def __init__(self, path: Path, patience: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        until(lambda: self._socket.connect_ex(str(path)) == 0)  # qemu has to listen first
        self._socket.settimeout(patience)
        self._buffer = b""

    def send(self, line: str) -> None:
        """Send one line."""
        self._socket.sendall(line.encode() + b"\n")

    def line(self, patience: float | None = None) -> str:
        """The next line. Raises TimeoutError, EOFError."""
        if patience is not None:
            self._socket.settimeout(patience)
        while b"\n" not in self._buffer:
            received = self._socket.recv(65536)
            if not received:
                raise EOFError
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    def has_come(self, seconds: float) -> bool:
        """Whether something has come, or does within *seconds*."""
        return bool(self._buffer or select.select([self._socket], [], [], seconds)[0])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Machine(Server):
    """One server: its disk, its config drive, its two network cards, and its boots."""

    patience = BOOT
    interval = 1.0  # seconds between two looks: each costs the machine something

    def __init__(
        self, disk: Disk, drive: Path, place: Path, topology: Topology, authority: Authority
    ) -> None:
        super().__init__(topology, authority)
        self.disk, self.drive, self.place = disk, drive, place
        self.memory, self.arguments = 512, "net.ifnames=0"
        self.macs = (PUBLIC_MAC, SERVICENET_MAC)
        self.clock = ""  # what it says at power-on, if that is not the time
        self.trunk: Trunk | None = None
        self.overlay = place / "disk.qcow2"
        self.shown: Callable[[str], None]  # takes the scenario that has been gone through
        self.receiver: Receiver
        self._shell: Channel
        self._monitor: Channel
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk.image), "-F", "raw",
             str(self.overlay)],
            check=True,
        )  # fmt: skip
        self._plug()

    @property
    def console(self) -> str:
        """What the present or last boot has written to its console, without colours."""
        text = (self.place / "console").read_text(encoding="utf-8", errors="replace")
        return ESCAPES.sub("", text)

    @property
    def red(self) -> list[str]:
        """The console's lines that tell of a failure."""
        return [line for line in self.console.splitlines() if RED.search(line)]

    def _plug(self) -> None:
        """The switch ports of a hypervisor: a tap beside each cable of the server's place."""
        server = self.topology.server
        for number, cable in enumerate(CABLES):
            server.ip(
                f"address flush dev {cable}",
                f"link set {cable} address 02:00:00:00:00:{number:02x}",
                f"link add bridge{number} type bridge mcast_snooping 0",
                f"tuntap add tap{number} mode tap",
                *(f"link set {port} master bridge{number}" for port in (cable, f"tap{number}")),
                *(f"link set {name} up" for name in (f"bridge{number}", f"tap{number}")),
            )
        server.set(ipv6__conf__all__disable_ipv6=1)

    @contextlib.contextmanager
    def boot(self) -> Iterator[Machine]:
        """Boot it; unless it has been powered off by then, that is a power cut."""
        with contextlib.ExitStack() as stack:
            self.receiver = Receiver(self.topology.internet)
            stack.callback(self.receiver.close)
            with self.topology.server:
                qemu = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL)
            stack.callback(qemu.wait)
            stack.callback(qemu.kill)
            self._qemu = qemu
            for number in range(len(self.macs) if self.trunk else 0):
                stack.callback((self.place / f"card{number}").unlink, missing_ok=True)
            self._shell = Channel(self.place / "shell", ANSWER)
            stack.callback(self._shell.close)
            self._monitor = Channel(self.place / "monitor", ANSWER)
            stack.callback(self._monitor.close)
            self._monitor.line()
            self.monitor("qmp_capabilities")
            self._until_shell()
            yield self
        for name in ("shell", "monitor"):
            (self.place / name).unlink(missing_ok=True)

    def _command(self) -> list[str]:
        cards = []
        for number, mac in enumerate(self.macs):
            tap = f"tap,id=net{number},ifname=tap{number},script=no,downscript=no"
            # A bond takes no port whose speed it cannot learn.
            card = f"virtio-net-pci,id=card{number},speed=1000,duplex=full,romfile="
            card += f",netdev=net{number},mac={mac}"
            cards += ["-netdev", self.trunk.arguments(number) if self.trunk else tap]
            cards += ["-device", card]
        return [
            "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot",
            # Its clock follows its own instructions, not this machine's load: a busy test host
            # makes no time-out in it come earlier. It is a slow server: 500 million a second.
            # With a second processor the kernel now and then hangs on its way up.
            "-accel", "tcg,thread=single", "-icount", "shift=1", "-smp", "1",
            "-machine", "q35", "-cpu", "max", "-m", str(self.memory),
            *(["-rtc", f"base={self.clock}"] if self.clock else []),
            "-kernel", str(self.disk.kernel), "-initrd", str(self.disk.initrd),
            "-append", f"root=/dev/vda rw console=ttyS0 systemd.show_status=1 {self.arguments}",
            "-drive", f"if=none,id=disk,file={self.overlay},format=qcow2",
            "-device", "virtio-blk-pci,drive=disk,id=vda",
            "-drive", f"if=virtio,file={self.drive},format=raw,readonly=on",
            "-device", "virtio-rng-pci", *cards,
            "-serial", f"file:{self.place / 'console'}",
            "-serial", f"unix:{self.place / 'shell'},server=on,wait=off",
            "-qmp", f"unix:{self.place / 'monitor'},server=on,wait=off",
        ]  # fmt: skip

    def _until_shell(self) -> None:
        try:
            while self._shell.line(BOOT) != "up":
                pass
        except (TimeoutError, EOFError):
            raise AssertionError(f"no boot: {self.console[-3000:]}") from None

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program in the booted machine; returns what it printed."""
        return self.sh(shlex.join(command), check=check)

    def sh(self, text: str, *, check: bool = True, patience: float = ANSWER) -> str:
        """Run a line of shell in the booted machine; returns what it printed."""
        self.start(text)
        return self.finish(check=check, patience=patience)

    def start(self, text: str) -> None:
        """Begin to run a line of shell; `finish` has to follow."""
        self._shell.send(f"{{ {text}\n}} </dev/null 2>/run/lab.err; echo; echo end of it $?")

    def has_finished(self, seconds: float) -> bool:
        """Whether what was started has printed something, or does within *seconds*."""
        return self._shell.has_come(seconds)

    def finish(self, *, check: bool = True, patience: float = ANSWER) -> str:
        """Wait for the end of what was started; returns what it printed."""
        lines: list[str] = []
        while not lines or not lines[-1].startswith("end of it "):
            try:
                lines.append(self._shell.line(patience))
            except (TimeoutError, EOFError):
                raise AssertionError(f"no answer: {lines}\n{self.console[-3000:]}") from None
        code = int(lines.pop().rpartition(" ")[2])
        said = "\n".join(lines)
        if check and code != 0:
            why = self.run("cat", "/run/lab.err")
            raise AssertionError(f"exit code {code}\n{said}{why}")
        return said

    def monitor(self, command: str, **arguments: Any) -> Any:
        """A command of QMP, and what it returns."""
        self._monitor.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self._monitor.line())
            if "event" not in answer:
                assert "error" not in answer, f"{command}: {answer}"
                return answer["return"]

    @property
    def flushes(self) -> int:
        """How often the machine has had its disk make everything durable, since this boot."""
        (disk,) = (one for one in self.monitor("query-blockstats") if one["device"] == "disk")
        return int(disk["stats"]["flush_operations"])

    def freeze(self) -> Path:
        """The disk as a power cut would leave it now; the machine goes on, on another overlay."""
        frozen = self.overlay
        self.overlay = frozen.with_name(f"disk-{self.flushes}-{time.monotonic_ns()}.qcow2")
        self.monitor(
            "blockdev-snapshot-sync",
            device="disk", format="qcow2", **{"snapshot-file": str(self.overlay)},
        )  # fmt: skip
        return frozen

    def power_off(self) -> None:
        """Power it off in an orderly way."""
        self._shell.send("systemctl poweroff")
        self._qemu.wait(BOOT)

    def until(self, claim: Callable[[], object], timeout: float = 0.0) -> float:
        """Wait until *claim* is true, or fail with what the machine has to say."""
        started = time.monotonic()
        while not claim():
            if time.monotonic() - started > (timeout or self.patience):
                raise AssertionError(f"it never came\n{self.journal}\n{self.console[-3000:]}")
            select.select([], [], [], self.interval)
        return time.monotonic() - started
