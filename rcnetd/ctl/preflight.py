"""`rcnetctl preflight`: is this machine, or the image in a directory, fit for its snapshot?

A line for each check: PASS on stdout, WARNING and FAIL on stderr. Exit codes: 0 nothing FAILs; 1
something does. With `--format json` one object: `results`, a list of `level`, `check`, `text`.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from rcnetd.basic.files import read_bounded
from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.ctl.checks import MANAGERS, MIN_LIBRARIES, TIME_SYNC, UNITS, Image, Level, judge
from rcnetd.ctl.terminal import Terminal
from rcnetd.metadata.file import read
from rcnetd.store.paths import Paths

MAX_SIZE = 4 * 1024 * 1024  # bytes; a bundle of authorities has some 200 KiB
MAX_SECONDS = 20.0
BUNDLES = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
)
UNIT_DIRECTORIES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
BINDING = ("Requires=", "Requisite=", "BindsTo=")
TONES = {Level.PASS: "good", Level.WARNING: "busy", Level.FAIL: "bad"}
T = TypeVar("T")


def run(config: Sequence[Path], root: Path, *, as_json: bool) -> int:
    """Check the system below *root* and say how it is."""
    results = judge(_Gatherer(root).image(config))
    if as_json:
        lines = [{"level": r.level.value, "check": r.check, "text": r.text} for r in results]
        print(json.dumps({"version": 1, "results": lines}, indent=1))
    else:
        out, error = Terminal(sys.stdout), Terminal(sys.stderr)
        for result in results:
            terminal = out if result.level is Level.PASS else error
            word = terminal.paint(TONES[result.level], result.level.value)
            terminal.print(f"{word}: {result.text}")
    return 1 if any(result.level is Level.FAIL for result in results) else 0


class _Gatherer:
    """Looks at the system below *root*: what cannot be looked at is noted, never guessed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_live = root == Path("/")
        self._hidden: dict[str, str] = {}

    def image(self, config: Sequence[Path]) -> Image:
        settings, mistake = None, ""
        try:
            settings = load(config, environ={}, root=self._root)
        except ConfigError as error:
            mistake = str(error)
        return Image(
            python=tuple(sys.version_info[:3]),
            libraries={name: self._version(name) for name in MIN_LIBRARIES},
            units=self._units(),
            settings=settings,
            settings_error=mistake,
            region_of_platform=read(Paths.from_environ(os.environ).metadata)[0].region
            if self._is_live
            else None,
            machine_id=self._try("machine-bound", self._machine_id),
            dbus_machine_id=self._try("machine-bound", self._has_dbus_copy) or False,
            state=self._try("machine-bound", self._state),
            persisted=self._try("persisted", self._is_persisted),
            cloud_init=self._exists("usr/bin/cloud-init", "usr/local/bin/cloud-init"),
            cloud_init_network=self._try("cloud-init", self._cloud_init_network) is not False,
            nova_agent=self._exists("usr/bin/nova-agent", "usr/sbin/nova-agent"),
            dependents=self._try("dependents", self._dependents) or (),
            authorities=self._try("authorities", self._authorities),
            name_service=self._try("name-service", self._name_service) or "",
            ipv6_default=self._try("ipv6", self._ipv6_default) if self._is_live else None,
            hidden=self._hidden,
        )

    def _try(self, check: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except OSError as error:
            self._hidden[check] = f"'{error.filename}': {error.strerror}"
        except ValueError as error:
            self._hidden[check] = str(error)
        return None

    def _exists(self, *names: str) -> bool:
        for name in names:
            with contextlib.suppress(PermissionError):
                if (self._root / name).exists():
                    return True
        return False

    def _text(self, name: str) -> str:
        """The text of a file of the image, "" if there is none. Raises `OSError`, `ValueError`."""
        try:
            return read_bounded(self._root / name, MAX_SIZE).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def _version(self, name: str) -> str | None:
        # An image is checked by its own rcnetctl (chroot), or by one of the same release.
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    def _units(self) -> dict[str, str]:
        names = (*UNITS, *MANAGERS, *TIME_SYNC)
        root = [] if self._is_live else [f"--root={self._root}"]
        found = {}
        for name in names:
            try:
                done = subprocess.run(
                    ["systemctl", *root, "is-enabled", name],
                    check=False, capture_output=True, text=True, timeout=MAX_SECONDS,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                self._hidden["units"] = f"Failed to run 'systemctl': {error}"
                break
            found[name] = done.stdout.strip()
        return found

    def _machine_id(self) -> str:
        text = self._text("etc/machine-id").strip()
        return "" if text == "uninitialized" else text  # machine-id(5): a first boot is to come

    def _has_dbus_copy(self) -> bool:
        path = self._root / "var/lib/dbus/machine-id"
        return path.exists() and not path.is_symlink()

    def _state(self) -> tuple[str, ...]:
        path = self._root / "var/lib/rcnetd"
        if not path.is_dir():
            return ()
        return tuple(sorted(f"/var/lib/rcnetd/{entry.name}" for entry in path.iterdir()))

    def _is_persisted(self) -> bool:
        return (self._root / "var/lib/rcnetd-persist/undo/record.json").exists()

    def _cloud_init_network(self) -> bool:
        """Whether cloud-init configures the network: unless it is told otherwise."""
        import yaml

        if self._exists("etc/cloud/cloud-init.disabled"):
            return False
        configured = True
        for path in sorted((self._root / "etc/cloud/cloud.cfg.d").glob("*.cfg")):
            try:
                content = yaml.safe_load(self._text(str(path.relative_to(self._root))))
            except (yaml.YAMLError, RecursionError):
                continue
            network = content.get("network") if isinstance(content, dict) else None
            if isinstance(network, dict):
                configured = network.get("config") != "disabled"
        return configured

    def _dependents(self) -> tuple[str, ...]:
        """Units that require the daemon itself; our own want it."""
        found = set()
        for path in self._unit_files():
            if path.name.startswith("rcnetd"):
                continue
            try:
                text = read_bounded(path, MAX_SIZE).decode("utf-8", "replace")
            except (OSError, ValueError):
                continue  # masked, or a link into nothing
            lines = (line.strip() for line in text.splitlines())
            if any(line.startswith(BINDING) and "rcnetd.service" in line.split("=", 1)[1].split()
                   for line in lines):  # fmt: skip
                found.add(path.parent.name[:-2] if path.suffix == ".conf" else path.name)
        return tuple(sorted(found))

    def _unit_files(self) -> Iterator[Path]:
        for directory in UNIT_DIRECTORIES:
            top = self._root / directory
            for pattern in ("*.service", "*.target", "*.service.d/*.conf", "*.target.d/*.conf"):
                yield from top.glob(pattern)

    def _authorities(self) -> str | None:
        names = [*BUNDLES]
        default = ssl.get_default_verify_paths().cafile
        if self._is_live and default:
            names.append(default.lstrip("/"))
        for name in names:
            if "BEGIN CERTIFICATE" in self._text(name):
                return f"/{name}"
        return None

    def _name_service(self) -> str:
        """What is wrong with it, "" if nothing is."""
        switch = self._text("etc/nsswitch.conf")
        hosts = [line for line in switch.splitlines() if line.startswith("hosts:")]
        if hosts and not {"dns", "resolve"} & set(hosts[-1].split()):
            return "'hosts:' in /etc/nsswitch.conf names neither dns nor resolve"
        path = self._root / "etc/resolv.conf"
        if path.is_symlink() and not self._is_live:
            return ""  # made at boot
        servers = "nameserver" in self._text("etc/resolv.conf")
        return "" if servers else "no DNS server is configured"

    def _ipv6_default(self) -> str | None:
        for line in self._text("proc/net/ipv6_route").splitlines():
            fields = line.split()
            is_default = len(fields) == 10 and fields[:2] == ["0" * 32, "00"]
            if is_default and fields[9] != "lo":  # there it is the kernel's own "unreachable"
                return fields[9]
        return None
