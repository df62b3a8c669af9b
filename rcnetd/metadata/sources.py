"""Reads what the platform keeps for this server: xenstore, the config drive, cloud-init's data.

Each source is bounded in time and size, and the lack of one is a line, never a failure. Reading
xenstore and mounting the config drive need root.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rcnetd.basic import process
from rcnetd.basic.files import read_bounded
from rcnetd.metadata.parse import (
    FEATURE,
    STATUS,
    Found,
    from_cloud_init,
    from_config_drive,
    from_xenstore,
    is_enough,
)

# Only a source that hangs takes so long; a boot of a busy host can be slow, too.
MAX_SECONDS = 60.0  # for all sources together: rcnetd waits for us
SECONDS_EACH = 20.0  # for one command
SETTLE_SECONDS = 15  # for udev to come to the end of what the kernel has found
MAX_SIZE = 256 * 1024  # bytes of a file or an answer
KEYS = ("provider_data/region", "provider_data/roles", FEATURE, STATUS)
LABELS = ("config-2", "CONFIG-2")  # OpenStack's for iso9660, and for vfat
FILESYSTEMS = ("iso9660", "vfat", "udf")
LATEST = "openstack/latest"
CLOUD_INIT = "run/cloud-init/instance-data.json"
Sources = list[tuple[str, Found]]


class Platform:
    """The sources below *root* (`/`, or a tree for tests). *notes* are for the log."""

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        seconds_each: float = SECONDS_EACH,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._root, self._seconds_each = root, seconds_each
        self._deadline = time.monotonic() + max_seconds
        self.notes: list[str] = []

    def read(self) -> Sources:
        """What each source says, the better first; the rest is left out once there is enough."""
        found: Sources = []
        for name, read in (
            ("xenstore", self._xenstore),
            ("config drive", self._config_drive),
            ("cloud-init", self._cloud_init),
        ):
            facts = read()
            if facts is not None:
                found.append((name, facts))
                if is_enough(facts):
                    break
        return found

    def _xenstore(self) -> Found | None:
        if not any((self._root / path).exists() for path in ("dev/xen/xenbus", "proc/xen/xenbus")):
            self._note("xenstore", "this is no Xen server")
            return None
        listed = self._run("xenstore", "xenstore-list", "vm-data/networking")
        macs = [line for line in (listed or "").split() if line.isalnum()][:8]
        if listed is None and self.notes:
            return None  # not there, not allowed, or hanging: so are the others
        values = {}
        for key in (*KEYS, *(f"networking/{mac}" for mac in macs)):
            text = self._run("", "xenstore-read", f"vm-data/{key}")
            if text is not None:
                values[key] = text
        return from_xenstore(values)

    def _config_drive(self) -> Found | None:
        with self._mounted() as place:
            if place is None:
                self._note("config drive", "there is none")
                return None
            return from_config_drive(
                self._text(place / LATEST / "vendor_data.json"),
                self._text(place / LATEST / "network_data.json"),
            )

    def _cloud_init(self) -> Found | None:
        text = self._text(self._root / CLOUD_INIT)
        if text is None:
            self._note("cloud-init", f"no '/{CLOUD_INIT}'")
            return None
        return from_cloud_init(text)

    @contextlib.contextmanager
    def _mounted(self) -> Iterator[Path | None]:
        """Where the config drive is mounted; it is mounted meanwhile if it is not."""
        for line in (self._text(self._root / "proc/self/mounts") or "").splitlines():
            fields = line.split()
            place = self._root / fields[1].replace("\\040", " ").lstrip("/")
            if fields[2] in FILESYSTEMS and (place / LATEST).is_dir():
                yield place
                return
        device = self._device()
        if device is None:
            yield None
            return
        place = Path(tempfile.mkdtemp(prefix="rcnetd-"))
        options = "ro,nosuid,nodev,noexec"
        try:
            mounted = self._run("config drive", "mount", "-o", options, device, str(place))
            yield None if mounted is None else place
        finally:
            self._run("", "umount", "--lazy", str(place))
            with contextlib.suppress(OSError):
                place.rmdir()

    def _device(self) -> str | None:
        """The config drive's device, once udev has loaded what drives it (a CD needs a module)."""
        device = self._find_device()
        if device is None:
            self._run("", "udevadm", "settle", f"--timeout={SETTLE_SECONDS}")
            device = self._find_device()
        return device

    def _find_device(self) -> str | None:
        # Not /dev/disk/by-label: this early, udev may not have come to it.
        for label in LABELS:
            said = self._run("", "blkid", "-c", "/dev/null", "-o", "device", "-t", f"LABEL={label}")
            if said:
                return said.split()[0]
        return None

    def _run(self, source: str, *command: str) -> str | None:
        """What *command* prints; None if it fails, which is noted for *source* (if any)."""
        left = min(self._seconds_each, self._deadline - time.monotonic())
        if left <= 0:
            self._note(source, "no time left")
            return None
        done = process.run(command, timeout=left, limit=MAX_SIZE)
        if not done.ok:
            self._note(source, done.reason)
            return None
        return done.stdout

    def _text(self, path: Path) -> str | None:
        try:
            return read_bounded(path, MAX_SIZE).decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                self._note(os.fspath(path), str(error))
            return None

    def _note(self, source: str, text: str) -> None:
        if source:
            self.notes.append(f"{source}: {text}")
