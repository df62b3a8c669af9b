"""Files of somebody else's tree: whatever it contains, nothing leads out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

import pytest

from rcnetd.basic import chroot_files
from rcnetd.basic.chroot_files import Chroot

OUTSIDE, INSIDE = b"outside\n", b"inside\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with `/etc/a/file`; beside it, the same names with other content."""
    for top, data in ((tmp_path, OUTSIDE), (tmp_path / "root", INSIDE)):
        (top / "etc/a").mkdir(parents=True)
        (top / "etc/a/file").write_bytes(data)
    return tmp_path / "root"


def replaced(path: Path, target: str | Path) -> None:
    """Put a link in the place of a directory."""
    path.rename(path.with_name(f"{path.name}.real"))
    path.symlink_to(target)


# What becomes a link, and where it leads; {} is the directory around the tree.
ATTACKS = {
    "absolute link for the file": ("etc/a/file", "{}/etc/a/file"),
    "relative link for the file": ("etc/a/file", "../../../etc/a/file"),
    "absolute link for a directory": ("etc/a", "{}/etc/a"),
    "relative link for a directory": ("etc/a", "../../etc/a"),
    "absolute link for /etc": ("etc", "{}/etc"),
    "relative link for /etc": ("etc", "../etc"),
    "more .. than the path is deep": ("etc/a", "../" * 30 + "{}/etc/a"),
    "link by a link": ("etc", "up/etc"),
    "the kernel's own link": ("etc", "/proc/self/root{}/etc"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_leads_out(root: Path, attack: str) -> None:
    """Neither to read, nor to list, nor to write, nor to remove."""
    name, target = ATTACKS[attack]
    (root / "up").symlink_to("..")
    replaced(root / name, target.format(root.parent))
    files = Chroot(root)
    for act in (
        lambda: files.read("/etc/a/file", 100),
        lambda: files.glob("/etc/a/*"),
        lambda: files.write_atomic("/etc/a/file", b"written\n", mode=0o644),
        lambda: files.unlink("/etc/a/file"),
        lambda: files.make_directory("/etc/a/new", 0o755),
        lambda: files.remove_directory("/etc/a"),
    ):
        with contextlib.suppress(OSError):
            assert "outside" not in str(act())
    around = {path for path in root.parent.rglob("*") if root not in (path, *path.parents)}
    assert {root.parent / name for name in ("etc", "etc/a", "etc/a/file")} == around
    assert OUTSIDE == (root.parent / "etc/a/file").read_bytes()


def test_links_mean_what_they_would_in_a_chroot(root: Path) -> None:
    """An absolute one begins at the root, and `..` ends there."""
    (root / "usr").mkdir()
    (root / "usr/conf").write_bytes(b"conf\n")
    (root / "etc/absolute").symlink_to("/usr/conf")
    (root / "etc/relative").symlink_to("../../../usr/conf")
    (root / "etc/directory").symlink_to("/etc/a/.")
    files = Chroot(root)
    for name in ("absolute", "relative"):
        assert b"conf\n" == files.read(f"/etc/{name}", 100)[0]
    assert ["/etc/directory/file"] == files.glob("/etc/directory/*")
    with files.locate("/etc/directory/file") as place:
        assert ("/etc/a/file", "file") == (place.path, place.name)
    with files.locate("/etc/absolute", follow=False) as place:
        assert "/etc/absolute" == place.path


@pytest.mark.parametrize("path", ["/", "/etc/..", "/..", "."])
def test_a_directory_has_no_place(root: Path, path: str) -> None:
    """The root itself is nothing to write to."""
    with pytest.raises(IsADirectoryError), Chroot(root).locate(path):
        pass


def test_a_circle_ends(root: Path) -> None:
    """Of links, or of a path that is endless."""
    (root / "etc/circle").symlink_to("circle")
    (root / "etc/more").symlink_to("more/" * 100)
    for path in ("/etc/circle", "/etc/more/file", "/etc/a/" + "../a/" * 1000 + "file"):
        with pytest.raises(OSError, match="Too many levels") as failed:
            Chroot(root).read(path, 100)
        assert errno.ELOOP == failed.value.errno


@pytest.mark.parametrize("kind", ["fifo", "device", "socket", "directory", "huge"])
def test_only_files_of_a_sane_size_are_read(root: Path, kind: str) -> None:
    """The rest would block, do something, or never end."""
    path = root / "etc/x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    else:
        mode = 0o020666 if kind == "device" else 0o140666
        try:
            os.mknod(path, mode, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")
    with pytest.raises(ValueError, match=r"is not a regular file|is larger than 100 bytes"):
        Chroot(root).read("/etc/x", 100)


def test_a_full_directory_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its names fill the memory."""
    monkeypatch.setattr(chroot_files, "MAX_ENTRIES", 10)
    for number in range(11):
        (root / f"etc/a/{number}").touch()
    with pytest.raises(ValueError, match="has more than 10 entries"):
        Chroot(root).glob("/etc/a/*")


def test_a_link_put_in_place_meanwhile_is_not_followed(root: Path) -> None:
    """A thread swaps the directory with a link to the outside, as fast as it can."""
    real, link, ended = root / "etc/real", root / "etc/link", threading.Event()
    (root / "etc/a").rename(real)
    link.symlink_to(root.parent / "etc/a")

    def swap() -> None:
        while not ended.is_set():
            for path in (real, link):
                path.rename(root / "etc/a")
                (root / "etc/a").rename(path)

    swapper = threading.Thread(target=swap)
    swapper.start()
    files, seen = Chroot(root), set()
    try:
        for _ in range(3000):
            try:
                seen.add(files.read("/etc/a/file", 100)[0])
            except OSError:
                continue
    finally:
        ended.set()
        swapper.join()
    assert seen <= {INSIDE}


def test_files_are_found_by_pattern(root: Path) -> None:
    """Hidden ones too, and broken links; what is missing is no match."""
    for name in (".hidden", "file.d/x.conf", "other.d/x.conf"):
        (root / "etc/a" / name).parent.mkdir(exist_ok=True)
        (root / "etc/a" / name).touch()
    (root / "etc/a/broken").symlink_to("nowhere")
    files = Chroot(root)
    assert [
        "/etc/a/broken",
        "/etc/a/file",
        "/etc/a/file.d",
        "/etc/a/other.d",
    ] == (files.glob("/etc/a/*"))
    assert ["/etc/a/file.d/x.conf", "/etc/a/other.d/x.conf"] == files.glob("/etc/*/*.d/*.conf")
    assert ["/etc/a/.hidden"] == files.glob("/etc/a/.*")
    assert ["/etc/a/file"] == files.glob("/etc/a/file")
    assert [] == [*files.glob("/etc/a/none"), *files.glob("/none/*"), *files.glob("/etc/a/file/*")]


def test_directories_are_made_and_removed(root: Path) -> None:
    """One by one, with the mode that is wanted whatever the umask."""
    files = Chroot(root)
    assert ["/etc/b", "/etc/b/c"] == files.missing_directories("/etc/b/c/file")
    old = os.umask(0o077)
    try:
        files.make_directory("/etc/b", 0o755)
    finally:
        os.umask(old)
    assert 0o755 == (root / "etc/b").stat().st_mode & 0o777
    assert ["/etc/b/c"] == files.missing_directories("/etc/b/c/file")
    files.remove_directory("/etc/b")
    assert not files.exists("/etc/b")
    assert files.is_directory("/etc/a")
    assert not files.is_directory("/etc/a/file")


def test_written_whole_or_not_at_all(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link is replaced; an error leaves the file as it was, and nothing beside it."""
    (root / "etc/a/link").symlink_to("file")
    files = Chroot(root)
    files.write_atomic("/etc/a/link", b"new\n", mode=0o600)
    assert not (root / "etc/a/link").is_symlink()
    assert (b"new\n", 0o600) == (
        (root / "etc/a/link").read_bytes(), (root / "etc/a/link").stat().st_mode & 0o777
    )  # fmt: skip
    assert INSIDE == (root / "etc/a/file").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic("/etc/a/file", b"new\n", mode=0o600)
    assert INSIDE == (root / "etc/a/file").read_bytes()
    assert {"file", "link"} == {path.name for path in (root / "etc/a").iterdir()}
