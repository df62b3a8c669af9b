"""Commands with `--root DIR`: whatever the tree contains, nothing leads out, nothing hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.ctl.image import ImageReader
from rcnetd.ctl.main import main
from tests.support.unshared import run_unshared

SECRET = "region: hkg\npersist: netplan\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No directories but the usual ones."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "RCNETD_METADATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with settings, a library and state; beside it the same names with other content."""
    for top, version in ((tmp_path, "9.9"), (tmp_path / "root", "0.7.2")):
        for name in (
            "etc/rcnetd/conf.d/a.yaml",
            f"usr/lib/python3/dist-packages/pyroute2-{version}.dist-info/METADATA",
            "var/lib/rcnetd/gateway.json",
            "var/lib/rcnetd-persist/lock",
            "run/rcnetd/lock",
            "run/rcnetd/status.json",
        ):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).touch()
    (tmp_path / "etc/rcnetd/conf.d/a.yaml").write_text(SECRET)
    (tmp_path / "etc/rcnetd/rcnetd.yaml").write_text(SECRET)
    return tmp_path / "root"


def special(path: Path, kind: str) -> None:
    """Put a FIFO or a device in the place of a file."""
    path.unlink()
    try:
        os.mknod(path, 0o010644 if kind == "fifo" else 0o020666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    "name",
    [
        "etc",
        "etc/rcnetd",
        "etc/rcnetd/conf.d",
        "etc/rcnetd/rcnetd.yaml",
        "usr/lib/python3",
        "usr/lib/python3/dist-packages",
    ],
)
@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_link_shows_nothing_from_outside(root: Path, name: str, is_absolute: bool) -> None:
    """Neither another host's settings nor its libraries."""
    path = root / name
    if path.exists():
        path.rename(root / "moved")
    target = root.parent / name
    path.symlink_to(target if is_absolute else f"{'../' * 30}{str(target).lstrip('/')}")

    found = ImageReader(root, is_booted=False).image(())

    assert "9.9" != found.libraries.get("pyroute2")
    assert found.settings is not None
    assert (None, "auto") == (found.settings.region, found.settings.persist.value)


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_settings_must_be_files(root: Path, kind: str) -> None:
    """Others are refused in one line."""
    special(root / "etc/rcnetd/conf.d/a.yaml", kind)
    with pytest.raises(ConfigError, match=r"root/etc/rcnetd/conf.d/a.yaml' is not a regular file"):
        load(environ={}, root=root)


def test_hidden_drop_ins_and_masks_are_as_on_a_host(root: Path) -> None:
    """The image is read as the daemon will read it."""
    (root / "etc/rcnetd/conf.d/.b.yaml").write_text("region: lon\n")
    (root / "usr/lib/rcnetd/conf.d").mkdir(parents=True)
    (root / "usr/lib/rcnetd/conf.d/m.yaml").write_text("nonsense: true\n")
    (root / "etc/rcnetd/conf.d/m.yaml").symlink_to("/dev/null")
    (root / "etc/rcnetd/conf.d/broken.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"broken.yaml': No such file"):
        load(environ={}, root=root)
    (root / "etc/rcnetd/conf.d/broken.yaml").unlink()
    assert "lon" == load(environ={}, root=root).region


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_lock_that_is_no_file_holds_nobody_up(
    root: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`clean` opened it and waited for a writer for ever."""
    special(root / "run/rcnetd/lock", kind)
    assert 0 == main(["clean", "--root", str(root)])

    special(root / "var/lib/rcnetd-persist/lock", kind)
    assert 1 == main(["revert", "--root", str(root)])
    assert "rcnetd-persist/lock' is not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_library_that_is_no_file(root: Path, kind: str) -> None:
    """Its name tells the version; what it contains is not looked at."""
    special(root / "usr/lib/python3/dist-packages/pyroute2-0.7.2.dist-info/METADATA", kind)
    assert "0.7.2" == ImageReader(root, is_booted=False).image(()).libraries["pyroute2"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pyroute2-0.7.2.dist-info", "0.7.2"),
        ("pyroute2-0.5.14-py3.9.egg-info", "0.5.14"),
        ("PyRoute2-0.7.2.egg-info", "0.7.2"),
        ("pyroute2.core-0.7.2.dist-info", None),
        ("pyroute2-extra-0.7.2", None),
    ],
)
def test_a_library_is_known_by_its_name(root: Path, name: str, version: str | None) -> None:
    """As setuptools and pip write it."""
    directory = root / "usr/lib/python3/dist-packages"
    (directory / "pyroute2-0.7.2.dist-info").rename(directory / name)
    assert version == ImageReader(root, is_booted=False).image(()).libraries["pyroute2"]


MOUNT = """
import subprocess, sys
from pathlib import Path
from rcnetd.ctl.main import main
root, name, *command = sys.argv[1:]
subprocess.run(["mount", "--bind", Path(root).parent / name, Path(root, name)], check=True)
sys.stderr = sys.stdout
print(main([*command, "--root", root]))
"""


@pytest.mark.netns
@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("run", "clean", "0\n"),  # builds mount their own; nothing there gets into an image
        ("run/rcnetd/lock", "clean", "0\n"),
        ("var", "clean", "a file system is mounted there"),
        ("var/lib/rcnetd", "clean", "a file system is mounted there"),
        ("var/lib/rcnetd-persist", "revert", "a file system is mounted there"),
        ("etc/rcnetd", "preflight", "a file system is mounted there"),
        ("etc/rcnetd/conf.d/a.yaml", "preflight", "a file system is mounted there"),
    ],
)
def test_a_mounted_directory_is_not_the_tree_s(
    root: Path, name: str, command: str, said: str
) -> None:
    """`clean` removed the files of the machine that builds the image, whose /run was mounted."""
    before = sorted(set(root.parent.rglob("*")) - set(root.rglob("*")))
    assert said in run_unshared(MOUNT, str(root), name, command)
    assert before == sorted(set(root.parent.rglob("*")) - set(root.rglob("*")))


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["etc/rcnetd/conf.d", "usr/lib/python3/dist-packages", "var/lib/rcnetd"]
)
def test_a_directory_with_very_many_entries(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported in one line, and does not fill the memory."""
    for number in range(100_000):
        (root / name / f"{number}.yaml").touch()
    assert 1 == main(["preflight", "--root", str(root)])
    assert f"{name}' has more than 10000 entries" in capsys.readouterr().err
    assert 0 == main(["clean", "--root", str(root)])
