"""Reading the platform's sources: there, absent, denied, hanging."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcnetd.metadata import sources
from rcnetd.metadata.sources import Platform
from tests.conftest import missing
from tests.support.platforms import CLOUD_INIT, DRIVE_FACTS, VENDOR_DATA, XEN_FACTS, command


def test_xenstore(root: Path, xenstore: Path) -> None:
    """All of it, and then nothing else is asked."""
    platform = Platform(root)

    assert [("xenstore", XEN_FACTS)] == platform.read()
    assert [] == platform.notes


def test_a_value_that_is_not_there(root: Path, xenstore: Path) -> None:
    """First-generation servers have no roles: the rest is read."""
    (xenstore / "values" / "provider_data,roles").unlink()
    found = Platform(root).read()

    assert ("xenstore", {**XEN_FACTS, "roles": []}) == found[0]


@pytest.mark.parametrize(
    ("script", "note"),
    [
        (None, "xenstore: 'xenstore-list' is not installed"),
        ("echo 'xenstore-list: Permission denied' >&2; exit 1", "Permission denied"),
        ("exit 1", "xenstore: 'xenstore-list' failed with exit code 1"),
        ("exec sleep 60", "xenstore: 'xenstore-list' did not end within 0.2 s"),
    ],
)
def test_no_answer_of_xenstore(
    root: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, note: str
) -> None:
    """One line says why; it is asked once, not for each value."""
    if script is not None:
        command(commands, "xenstore-list", f"#!/bin/sh\n{script}\n")
    command(commands, "xenstore-read", "#!/bin/sh\nexec sleep 60\n")
    platform = Platform(root, seconds_each=0.2)
    begin = time.monotonic()

    assert [] == platform.read()
    assert note in platform.notes[0]
    assert time.monotonic() - begin < 5


def test_all_together_are_bounded(
    root: Path, xenstore: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many values hang."""
    command(xenstore, "xenstore-read", "#!/bin/sh\nexec sleep 60\n")
    begin = time.monotonic()

    Platform(root, seconds_each=0.2, max_seconds=0.5).read()
    assert time.monotonic() - begin < 5


def test_no_xen_server(tmp_path: Path, commands: Path) -> None:
    """Each source that is not there is a line."""
    platform = Platform(tmp_path)

    assert [] == platform.read()
    assert ["xenstore", "config drive", "cloud-init"] == [
        note.split(":")[0] for note in platform.notes
    ]


def drive(path: Path) -> None:
    """The content of a config drive."""
    latest = path / "openstack/latest"
    latest.mkdir(parents=True)
    (latest / "vendor_data.json").write_text(json.dumps(VENDOR_DATA))


def test_a_config_drive_that_is_mounted(tmp_path: Path, commands: Path) -> None:
    """It is found by what is on it, also where its name has a blank; cloud-init adds the region."""
    drive(tmp_path / "mnt/config drive")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mounts").write_text(
        "proc /proc proc rw 0 0\n/dev/sr0 /mnt/config\\040drive iso9660 ro 0 0\n"
    )
    (tmp_path / "run/cloud-init").mkdir(parents=True)
    (tmp_path / sources.CLOUD_INIT).write_text(json.dumps(CLOUD_INIT))
    found = Platform(tmp_path).read()

    assert ("config drive", DRIVE_FACTS) == found[0]
    assert "ord" == found[1][1]["region"]


def test_a_config_drive_that_udev_finds_late(tmp_path: Path, commands: Path) -> None:
    """Its driver is a module that udev loads: not there yet is not absent."""
    drive(tmp_path / "content")
    settled = tmp_path / "settled"
    command(commands, "udevadm", f"#!/bin/sh\n: >{settled}\n")
    command(commands, "blkid", f"#!/bin/sh\n[ -e {settled} ] && echo /dev/sr0\n")
    command(commands, "mount", f'#!/bin/sh\n/bin/cp -r {tmp_path}/content/. "$4"\n')
    command(commands, "umount", '#!/bin/sh\nexec /bin/rm -r "$2/openstack"\n')

    assert [("config drive", DRIVE_FACTS)] == Platform(tmp_path).read()


def test_a_file_that_cannot_be_read(tmp_path: Path, commands: Path) -> None:
    """Too large, or a directory: a line."""
    (tmp_path / sources.CLOUD_INIT).mkdir(parents=True)
    platform = Platform(tmp_path)

    assert [] == platform.read()
    assert any("not a regular file" in note for note in platform.notes)


@contextlib.contextmanager
def attached(image: Path) -> Iterator[None]:
    """A block device with this image."""
    done = subprocess.run(
        ["losetup", "--find", "--show", "--read-only", image],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        missing("netns", f"no loop device: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)


@pytest.mark.netns
def test_a_config_drive_that_is_not_mounted(tmp_path: Path) -> None:
    """A real device with the label, mounted meanwhile; no mount and no directory stay."""
    if os.geteuid() != 0:
        missing("netns", "mounting needs root")
    if shutil.which("mkfs.ext4") is None:
        missing("netns", "mkfs.ext4 is not installed")
    drive(tmp_path / "content")
    image = tmp_path / "image"
    # This machine's kernel need not know iso9660: blkid and mount(8) care for the label alone.
    subprocess.run(
        ["mkfs.ext4", "-q", "-L", "config-2", "-d", tmp_path / "content", image, "4M"], check=True
    )
    program = (
        "import json, sys, pathlib; from rcnetd.metadata.sources import Platform\n"
        f"p = Platform(pathlib.Path({str(tmp_path)!r}))\n"
        "print(json.dumps(p.read())); print(open('/proc/self/mounts').read())"
    )
    with attached(image):
        said = subprocess.run(
            ["unshare", "--mount", sys.executable, "-c", program],
            check=True, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
        ).stdout  # fmt: skip

    first, _, mounts = said.partition("\n")
    assert [["config drive", DRIVE_FACTS]] == json.loads(first)
    assert "rcnetd-" not in mounts
    assert not list(tmp_path.glob("rcnetd-*"))
