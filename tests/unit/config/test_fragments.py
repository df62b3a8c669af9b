"""Finding and reading the settings' files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.core.settings import Backend, Manage


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"#" * 70_000, "is larger than"),
        (b"[" * 9000, "rcnetd.yaml"),
    ],
)
def test_a_file_that_is_no_settings_file(tmp_path: Path, data: bytes, message: str) -> None:
    """Binary, huge or endlessly nested: refused in one line."""
    path = tmp_path / "rcnetd.yaml"
    path.write_bytes(data)

    with pytest.raises(ConfigError, match=message) as caught:
        load([path], environ={})
    assert "\n" not in str(caught.value)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """`--config` is a promise; a directory is no file."""
    with pytest.raises(ConfigError, match="No such file"):
        load([tmp_path / "missing.yaml"], environ={})
    with pytest.raises(ConfigError, match=r"Failed to read|not a regular file"):
        load([tmp_path], environ={})


def put(root: Path, name: str, text: str) -> None:
    """A file below *root*."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_directories_as_systemd_has_them(tmp_path: Path) -> None:
    """/etc hides /run hides /usr/lib, by file name; drop-ins come after, in order of names."""
    put(tmp_path, "usr/lib/rcnetd/rcnetd.yaml", "region: hkg\nmanage: never\n")
    put(tmp_path, "etc/rcnetd/rcnetd.yaml", "region: dfw\n")
    put(tmp_path, "usr/lib/rcnetd/conf.d/20-b.yaml", "region: lon\n")
    put(tmp_path, "run/rcnetd/conf.d/10-a.yaml", "region: syd\npersist: none\n")
    put(tmp_path, "usr/lib/rcnetd/conf.d/30-c.yaml", "fallback_after: 1\n")
    put(tmp_path, "etc/rcnetd/conf.d/30-c.yaml", "fallback_after: 2\n")
    put(tmp_path, "usr/lib/rcnetd/conf.d/40-d.yaml", "requests_per_minute: 5\n")
    (tmp_path / "etc/rcnetd/conf.d/40-d.yaml").symlink_to("/dev/null")
    put(tmp_path, "etc/rcnetd/conf.d/ignored.txt", "nonsense: true\n")

    read = load(environ={}, root=tmp_path)

    assert (read.region, read.manage, read.persist) == ("lon", Manage.AUTO, Backend.NONE)
    assert (read.fallback_after, read.requests_per_minute) == (2.0, 18)


def test_systemd_names_the_directories(tmp_path: Path) -> None:
    """So that it runs anywhere without root's directories."""
    put(tmp_path, "here/rcnetd.yaml", "region: dfw\n")
    put(tmp_path, "there/conf.d/a.yaml", "manage: always\n")
    environ = {"CONFIGURATION_DIRECTORY": "/here:/x", "RUNTIME_DIRECTORY": "/there"}

    read = load(environ=environ, root=tmp_path)

    assert (read.region, read.manage) == ("dfw", Manage.ALWAYS)
