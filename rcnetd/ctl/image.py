"""Looks at a system for `rcnetctl preflight`: this host, or an image in a directory or a chroot.

Of an image only its own files are looked at, never the machine on which it is built.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from rcnetd.basic.chroot_files import Chroot
from rcnetd.basic.process import run
from rcnetd.config import fragments
from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.core.settings import Settings
from rcnetd.ctl.access import Obstacle, User, obstacle
from rcnetd.ctl.checks import MANAGERS, MIN_LIBRARIES, TIME_SYNC, UNITS, Image
from rcnetd.metadata.file import read
from rcnetd.store.paths import Paths

USER = "rcnetd"  # rcnetd.service's
MAX_SIZE = 4 * 1024 * 1024  # bytes; a bundle of authorities has some 200 KiB
MAX_SECONDS = 20.0
ROOT = Path("/")
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
UNIT_DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
PACKAGES = tuple(
    f"/{top}/python3*/*-packages/*-info" for top in ("usr/lib", "usr/lib64", "usr/local/lib")
)
# The name and version of an installed package: PEP 376, and setuptools' egg-info before.
DISTRIBUTION = re.compile(r"([^-]+)-([^-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info")
# route(8), of net-tools; who runs its lines; the files that may have them; and cloud-init's writer
# of such files, which takes ip(8) where that is installed since 26.
ROUTE = ("/sbin/route", "/usr/sbin/route", "/bin/route", "/usr/bin/route")
IFUP = ("/sbin/ifup", "/usr/sbin/ifup")
INTERFACES = ("/etc/network/interfaces", "/etc/network/interfaces.d/*")
ENI_WRITER = "/usr/lib/python3*/*-packages/cloudinit/net/eni.py"
ROUTE_COMMAND = re.compile(r"^\s*(?:pre-up|up|post-up)\s+(?:/\S*/)?route\s", re.MULTILINE)
BINDING = ("Requires=", "Requisite=", "BindsTo=")
T = TypeVar("T")


def is_booted() -> bool:
    """Whether systemd runs this system (sd_booted(3)), and this process is not in a chroot.

    A build often mounts /run, /proc and /sys of its own machine into the image's tree.
    """
    if not Path("/run/systemd/system").is_dir():
        return False
    try:
        return os.path.samestat(Path("/proc/1/root").stat(), ROOT.stat())
    except FileNotFoundError:
        return False  # no booted system lacks /proc
    except OSError:
        return True  # only root may look, and only root enters a chroot


class ImageReader:
    """Looks at the system below *root*: what cannot be looked at is noted, never guessed.

    *is_booted*: it is the system that runs here, so its kernel is of interest too.
    """

    def __init__(self, root: Path, *, is_booted: bool) -> None:
        self._root, self._tree = root, Chroot(root)
        self._is_booted = is_booted and root == ROOT
        self._hidden: dict[str, str] = {}

    def image(self, config: Sequence[Path]) -> Image:
        """Look at everything."""
        settings, mistake = None, ""
        try:
            settings = load(config, environ={}, root=self._root)
        except ConfigError as error:
            mistake = str(error)
        return Image(
            python=self._try("python", self._python),
            libraries=self._try("libraries", self._libraries) or {},
            units=self._units(),
            settings=settings,
            settings_error=mistake,
            unreadable=self._try("settings-access", lambda: self._unreadable(config, settings))
            or (),
            region_of_platform=read(Paths.from_environ(os.environ).metadata)[0].region
            if self._is_booted
            else None,
            machine_id=self._try("machine-bound", self._machine_id),
            dbus_machine_id=self._try("machine-bound", self._has_dbus_copy) or False,
            state=self._try("machine-bound", self._state),
            persisted=self._try("persisted", self._is_persisted),
            cloud_init=self._exists("/usr/bin/cloud-init", "/usr/local/bin/cloud-init"),
            cloud_init_network=self._try("cloud-init", self._cloud_init_network) is not False,
            nova_agent=self._exists("/usr/bin/nova-agent", "/usr/sbin/nova-agent"),
            lost_routes=self._try("lost-routes", self._lost_routes) or (),
            dependents=self._try("dependents", self._dependents) or (),
            authorities=self._try("authorities", self._authorities),
            name_service=self._try("name-service", self._name_service) or "",
            ipv6_default=self._try("ipv6", self._ipv6_default) if self._is_booted else None,
            hidden=self._hidden,
        )

    def _try(self, check: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except PermissionError as error:
            self._hidden[check] = f"'{error.filename}': {error.strerror}; run it as root"
        except OSError as error:
            self._hidden[check] = f"'{error.filename}': {error.strerror}"
        except ValueError as error:
            self._hidden[check] = str(error)
        return None

    def _exists(self, *names: str) -> bool:
        for name in names:
            with contextlib.suppress(OSError):
                if self._tree.exists(name):
                    return True
        return False

    def _text(self, name: str) -> str:
        """The text of a file of the image, "" if there is none. Raises `OSError`, `ValueError`."""
        try:
            return self._tree.read(name, MAX_SIZE)[0].decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def _python(self) -> tuple[int, ...] | None:
        """The version of the image's python3: its name tells. None if there is none."""
        if self._root == ROOT:
            return tuple(sys.version_info[:3])
        for name in ("/usr/bin/python3", "/usr/local/bin/python3"):
            if not self._tree.exists(name):
                continue
            with self._tree.locate(name) as place:
                match = re.search(r"/python(\d+)\.(\d+)$", place.path)
            if match is None:
                raise ValueError(f"'{name}' is '{place.path}', which names no version")
            return int(match[1]), int(match[2])
        return None

    def _libraries(self) -> dict[str, str | None]:
        if self._root == ROOT:
            return {name: _version(name) for name in MIN_LIBRARIES}
        found = {}
        for path in (name for pattern in PACKAGES for name in self._tree.glob(pattern)):
            match = DISTRIBUTION.fullmatch(path.rpartition("/")[2])
            if match:
                found[re.sub("[-_.]+", "-", match[1]).lower()] = match[2]
        return {name: found.get(name.lower()) for name in MIN_LIBRARIES}

    def _units(self) -> Mapping[str, str]:
        root = [] if self._root == ROOT else [f"--root={self._root}"]
        found = {}
        for name in (*UNITS, *MANAGERS, *TIME_SYNC):
            done = run(["systemctl", *root, "is-enabled", name], timeout=MAX_SECONDS)
            if done.code is None:
                self._hidden["units"] = done.failure
                break
            found[name] = done.stdout.strip()
        return found

    def _unreadable(
        self, config: Sequence[Path], settings: Settings | None
    ) -> tuple[Obstacle, ...]:
        """What keeps rcnetd, which does not run as root, from reading the settings."""
        if config:
            return ()  # not what the daemon reads
        paths = [f"/{name}/rcnetd/conf.d" for name in ("etc", "run", "usr/lib")]
        with contextlib.suppress(ConfigError):  # `load` has reported it
            tree = None if self._root == ROOT else self._tree
            paths += [str(path) for path in fragments.find({}, tree)]
        if settings is not None and settings.ca_file is not None:
            paths.append(str(settings.ca_file))
        user = User.find(USER, self._text("/etc/passwd"), self._text("/etc/group"))
        obstacles = [obstacle(self._tree, user, path) for path in paths]
        return tuple(dict.fromkeys(entry for entry in obstacles if entry is not None))

    def _machine_id(self) -> str:
        text = self._text("/etc/machine-id").strip()
        return "" if text == "uninitialized" else text  # machine-id(5): a first boot is to come

    def _has_dbus_copy(self) -> bool:
        try:
            with self._tree.locate("/var/lib/dbus/machine-id", follow=False) as place:
                return not stat.S_ISLNK(place.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _state(self) -> tuple[str, ...]:
        return tuple(self._tree.glob("/var/lib/rcnetd/*"))

    def _is_persisted(self) -> bool:
        return self._tree.exists("/var/lib/rcnetd-persist/undo/record.json")

    def _cloud_init_network(self) -> bool:
        """Whether cloud-init configures the network: it does unless a file disables that."""
        import yaml

        if self._exists("/etc/cloud/cloud-init.disabled"):
            return False
        configured = True
        for path in self._tree.glob("/etc/cloud/cloud.cfg.d/*.cfg"):
            try:
                content = yaml.safe_load(self._text(path))
            except (yaml.YAMLError, RecursionError):
                continue
            network = content.get("network") if isinstance(content, dict) else None
            if isinstance(network, dict):
                configured = network.get("config") != "disabled"
        return configured

    def _lost_routes(self) -> tuple[str, ...]:
        """Files of ifupdown that call route(8) where there is none, or who writes them.

        Both cloud-init and glean end these lines in `|| true`.
        """
        if self._exists(*ROUTE) or not self._exists(*IFUP):
            return ()
        paths = [path for pattern in INTERFACES for path in self._tree.glob(pattern)]
        found = [path for path in paths if ROUTE_COMMAND.search(self._text(path))]
        if self._cloud_init_network():
            for path in self._tree.glob(ENI_WRITER):
                text = self._text(path)
                if "post-up route add" in text and "post-up ip" not in text:
                    found.append(path)
        return tuple(found)

    def _dependents(self) -> tuple[str, ...]:
        """Units of others that require the daemon itself."""
        found = set()
        for path in self._unit_files():
            top, _, name = path.rpartition("/")
            if name.startswith("rcnetd"):
                continue
            try:
                text = self._text(path)
            except (OSError, ValueError):
                continue  # masked
            lines = (line.strip() for line in text.splitlines())
            if any(line.startswith(BINDING) and "rcnetd.service" in line.split("=", 1)[1].split()
                   for line in lines):  # fmt: skip
                is_drop_in = name.endswith(".conf")
                found.add(top.rpartition("/")[2].removesuffix(".d") if is_drop_in else name)
        return tuple(sorted(found))

    def _unit_files(self) -> Iterator[str]:
        for directory in UNIT_DIRECTORIES:
            for pattern in ("*.service", "*.target", "*.service.d/*.conf", "*.target.d/*.conf"):
                yield from self._tree.glob(f"{directory}/{pattern}")

    def _authorities(self) -> str | None:
        names = [*BUNDLES]
        default = ssl.get_default_verify_paths().cafile
        if self._root == ROOT and default:
            names.append(default)
        return next((name for name in names if "BEGIN CERTIFICATE" in self._text(name)), None)

    def _name_service(self) -> str:
        """What is wrong with it, "" if nothing is."""
        switch = self._text("/etc/nsswitch.conf")
        hosts = [line for line in switch.splitlines() if line.startswith("hosts:")]
        if hosts and not {"dns", "resolve"} & set(hosts[-1].split()):
            return "'hosts:' in /etc/nsswitch.conf names neither dns nor resolve"
        if not self._is_booted:
            with self._tree.locate("/etc/resolv.conf", follow=False) as place:
                if place.exists() and stat.S_ISLNK(place.stat().st_mode):
                    return ""  # its target is created at boot
        servers = "nameserver" in self._text("/etc/resolv.conf")
        return "" if servers else "no DNS server is configured"

    def _ipv6_default(self) -> str | None:
        """The link of the IPv6 default route, None if there is none."""
        for line in self._text("/proc/net/ipv6_route").splitlines():
            fields = line.split()
            is_default = len(fields) == 10 and fields[:2] == ["0" * 32, "00"]
            if is_default and fields[9] != "lo":  # there it is the kernel's own "unreachable"
                return fields[9]
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
