"""The host's files: read, written together, and put back; whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import Backend
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.model import CannotPersist, Change, File
from rcnetd.hostconfig.renderers.registry import renderer
from rcnetd.hostconfig.transaction import Changed
from rcnetd.hostconfig.undo import FileRecord, RevertRecord
from tests.conftest import missing

PATTERN = ("/etc/netplan/*.yaml", "/etc/more/deep/*.yaml")
OWN = "/etc/more/deep/own.yaml"
A, B = "/etc/netplan/a.yaml", "/etc/netplan/b.yaml"
MADE = {
    A: Change(b"#rcnetd# a\n"),
    B: Change(None),
    OWN: Change(b"# Written by rcnetd; changes will be overwritten.\nown\n", 0o600),
}


def nothing() -> dict[str, Any]:
    """No route was removed."""
    return {"routes": [], "links": []}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with two files."""
    (tmp_path / "root/etc/netplan").mkdir(parents=True)
    for path, text in ((A, "a\n"), (B, "b\n")):
        (tmp_path / "root" / path[1:]).write_text(text)
        (tmp_path / "root" / path[1:]).chmod(0o640)
    return tmp_path / "root"


@pytest.fixture
def host(root: Path) -> HostConfig:
    """The same, to be worked on."""
    return HostConfig(root, root.parent / "state")


def tree(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """All that is below /etc."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted((root / "etc").rglob("*"))
    }


def test_written_and_put_back(root: Path, host: HostConfig) -> None:
    """Byte by byte, with modes and directories; nothing is remembered then."""
    before = tree(root)
    with host.locked():
        host.write(host.read(PATTERN), MADE, nothing)
    after = tree(root)
    assert {"etc/netplan/a.yaml", "etc/more/deep/own.yaml"} < set(after)
    assert "etc/netplan/b.yaml" not in after
    assert 0o640 == after["etc/netplan/a.yaml"][0] & 0o777
    assert 0o600 == after["etc/more/deep/own.yaml"][0] & 0o777

    assert tuple(sorted(MADE)) == host.revert().files
    assert before == tree(root)
    assert {} == host.record().files
    assert () == host.revert().files


def test_the_edits_of_others_stay(root: Path, host: HostConfig) -> None:
    """Ours are taken out of a file that somebody has edited; one that was replaced is not ours."""
    host.write(host.read(PATTERN), MADE, nothing)
    (root / A[1:]).write_text("#rcnetd# a\nmine\n")
    assert {A, B, OWN} == set(host.record().files)
    assert tuple(sorted(MADE)) == host.revert().files
    assert "a\nmine\n" == (root / A[1:]).read_text()

    host.write(host.read(PATTERN), MADE, nothing)
    (root / A[1:]).write_text("anew\n")
    host.write(host.read(PATTERN), {}, nothing)
    assert {B, OWN} == set(host.record().files)
    assert (OWN, B) == host.revert().files
    assert "anew\n" == (root / A[1:]).read_text()


def test_a_replaced_file_does_not_stop_the_way_back(root: Path, host: HostConfig) -> None:
    """The rest is put back, also where nothing was persisted since."""
    host.write(host.read(PATTERN), MADE, nothing)
    (root / A[1:]).write_text("anew\n")
    assert (OWN, B) == host.revert().files
    assert "anew\n" == (root / A[1:]).read_text()
    assert not (root / OWN[1:]).parent.exists()


def test_half_a_mark_stops_the_way_back(root: Path, host: HostConfig) -> None:
    """What is ours in such a file cannot be told; nothing is put back."""
    host.write(host.read(PATTERN), MADE, nothing)
    (root / A[1:]).write_text("# rcnetd: begin; changes up to the end will be overwritten\n")
    before = tree(root)
    with pytest.raises(CannotPersist, match="remove what is ours there"):
        host.revert()
    assert before == tree(root)


def test_a_link_stays_a_link(root: Path, host: HostConfig) -> None:
    """What it leads to is edited, if that is in /etc."""
    (root / "etc/elsewhere").mkdir()
    (root / A[1:]).rename(root / "etc/elsewhere/a")
    (root / A[1:]).symlink_to("../elsewhere/a")
    host.write(host.read(PATTERN), {A: MADE[A]}, nothing)
    assert (root / A[1:]).is_symlink()
    assert b"#rcnetd# a\n" == (root / "etc/elsewhere/a").read_bytes()

    (root / "usr").mkdir()
    (root / "usr/b").write_text("b\n")
    (root / B[1:]).unlink()
    (root / B[1:]).symlink_to("../../usr/b")
    before = tree(root)
    with pytest.raises(
        CannotPersist, match=r"/etc/netplan/b.yaml' is a link to .*, outside of /etc"
    ):
        host.write(host.read(PATTERN), {B: MADE[B]}, nothing)
    assert before == tree(root)


def test_a_file_of_two_names_is_written_once(root: Path, host: HostConfig) -> None:
    """netplan reads it twice, so both are edited; the edits are the same ones."""
    (root / "etc/netplan/c.yaml").symlink_to("a.yaml")
    same = {A: Change(b"#rcnetd# a\n"), "/etc/netplan/c.yaml": Change(b"#rcnetd# a\n")}
    host.write(host.read(PATTERN), same, nothing)
    assert (root / "etc/netplan/c.yaml").is_symlink()
    assert (root / A[1:]).read_text() == "#rcnetd# a\n"
    host.revert()
    assert (root / A[1:]).read_text() == "a\n"
    other = {**same, "/etc/netplan/c.yaml": Change(b"#rcnetd# b\n")}
    with pytest.raises(CannotPersist, match=r"a\.yaml' has two names"):
        host.write(host.read(PATTERN), other, nothing)
    assert (root / A[1:]).read_text() == "a\n"


def test_reads_what_can_be_read(root: Path, host: HostConfig) -> None:
    """A mask is an empty file, a broken link none; a pipe is refused."""
    (root / "etc/netplan/mask.yaml").symlink_to("/dev/null")
    (root / "etc/netplan/broken.yaml").symlink_to("nowhere")
    (root / "etc/netplan/dir.yaml").mkdir()
    found = host.read(PATTERN)
    assert {A, B, "/etc/netplan/mask.yaml"} == set(found)
    assert b"" == found["/etc/netplan/mask.yaml"].data
    os.mkfifo(root / "etc/netplan/pipe.yaml")
    with pytest.raises(CannotPersist, match="is not a regular file; nothing is written"):
        host.read(PATTERN)


def test_a_file_that_the_backend_ignores_is_not_looked_into(root: Path, host: HostConfig) -> None:
    """It may be larger than any configuration file, or no text."""
    directory = root / "etc/NetworkManager/system-connections"
    directory.mkdir(parents=True)
    for name in ("vpn.der", "eth0~", ".eth0.swp"):
        (directory / name).write_bytes(b"\0" * 300 * 1024)
    (directory / "eth0").write_text("[connection]\n")
    chosen = renderer(Backend.NETWORK_MANAGER)
    assert [f"/{directory.relative_to(root)}/eth0"] == [*host.read(chosen.patterns, chosen.is_read)]
    (directory / "eth0.bak").write_bytes(b"\0" * 300 * 1024)
    with pytest.raises(CannotPersist, match=r"eth0\.bak"):
        host.read(chosen.patterns, chosen.is_read)


def test_what_changes_meanwhile_stays(root: Path, host: HostConfig) -> None:
    """Nothing is written, nothing is remembered."""
    found = host.read(PATTERN)
    (root / B[1:]).write_text("other\n")
    before = tree(root)
    with pytest.raises(Changed):
        host.write(found, MADE, nothing)
    assert before == tree(root)
    assert {} == host.record().files


def test_a_damaged_record_is_said(root: Path, host: HostConfig) -> None:
    """And nothing is written over it."""
    record = root.parent / "state/undo/record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    with pytest.raises(CannotPersist, match=r"record.json' is damaged"):
        host.write(host.read(PATTERN), MADE, nothing)
    assert "{" == record.read_text()


def test_what_was_removed_is_kept_for_the_way_back(root: Path, host: HostConfig) -> None:
    """From the first writing on; later ones do not change it."""
    removed = {"routes": [{"raw": "00"}], "links": [], "boot_id": "x"}
    host.write(host.read(PATTERN), {A: MADE[A]}, lambda: removed)
    host.write(host.read(PATTERN), {B: MADE[B]}, nothing)
    record = host.record()
    assert (({"raw": "00"},), "x") == (record.routes, record.boot_id)


# The image of a stranger: its record, and its links


def image(place: Path, before: File | None) -> HostConfig:
    """An image whose record would put *before* back; outside of it is a file of the same path."""
    for top in (place, place / "image"):
        (top / "etc").mkdir(parents=True)
        (top / "etc/x").write_text("kept\n")
    record = RevertRecord({"/etc/x": FileRecord(before, (b"kept\n",))})
    path = place / "image/var/lib/rcnetd-persist/undo/record.json"
    path.parent.mkdir(parents=True)
    path.write_text(record.text())
    return HostConfig(place / "image", place / "image/var/lib/rcnetd-persist")


@pytest.mark.parametrize("linked", ["etc", "etc/x", "var", "var/lib/rcnetd-persist"])
@pytest.mark.parametrize("target", ["{}/{}", "../../../../..{}/{}"])
def test_an_image_s_links_do_not_lead_out(tmp_path: Path, linked: str, target: str) -> None:
    """As root, `revert --root` wrote a file of mode 4755 outside of the image."""
    host = image(tmp_path, File(b"evil\n"))
    (tmp_path / "var/lib/rcnetd-persist/undo").mkdir(parents=True)
    record = (tmp_path / "image/var/lib/rcnetd-persist/undo/record.json").read_text()
    (tmp_path / "var/lib/rcnetd-persist/undo/record.json").write_text(record)
    (tmp_path / "image" / linked).rename(tmp_path / "moved")
    (tmp_path / "image" / linked).symlink_to(target.format(tmp_path, linked))
    with contextlib.suppress(CannotPersist, OSError), host.locked():
        host.revert()
    assert "kept\n" == (tmp_path / "etc/x").read_text()
    assert record == (tmp_path / "var/lib/rcnetd-persist/undo/record.json").read_text()
    assert ["undo"] == [path.name for path in (tmp_path / "var/lib/rcnetd-persist").iterdir()]


@pytest.mark.parametrize("change", [{"mode": 0o4755}, {"mode": 0o2644}, {"uid": 4711}, {"gid": 42}])
def test_an_image_s_record_gives_no_rights(tmp_path: Path, change: dict[str, Any]) -> None:
    """Neither setuid modes, nor files to users who do not own them."""
    host = image(tmp_path, replace(File(b"evil\n"), **change))
    with pytest.raises(CannotPersist):
        host.revert()
    assert "kept\n" == (tmp_path / "image/etc/x").read_text()


def test_an_image_s_record_must_be_a_file(tmp_path: Path) -> None:
    """A pipe would block for ever."""
    host = image(tmp_path, None)
    record = tmp_path / "image/var/lib/rcnetd-persist/undo/record.json"
    record.unlink()
    os.mkfifo(record)
    with pytest.raises(CannotPersist, match="is damaged"):
        host.revert()


def test_an_image_is_reverted(tmp_path: Path) -> None:
    """What rcnetd itself has recorded there is put back."""
    host = image(tmp_path, File(b"old\n", 0o600, os.geteuid(), os.getegid()))
    with host.locked():
        assert ("/etc/x",) == host.revert().files
    assert "old\n" == (tmp_path / "image/etc/x").read_text()
    assert "kept\n" == (tmp_path / "etc/x").read_text()


@pytest.mark.parametrize("kind", [one for one in Backend if one.value not in ("auto", "none")])
def test_every_kind_has_its_renderer(kind: Backend) -> None:
    """With the names that all have."""
    assert kind is renderer(kind).persist
    assert renderer(kind).patterns


# Killed at every system call

WORKER = """
import sys
from pathlib import Path
from rcnetd.hostconfig.host import HostConfig
from tests.unit.hostconfig.test_host import MADE, PATTERN, nothing
host = HostConfig(Path(sys.argv[1]), Path(sys.argv[2]))
if sys.argv[3] == "revert":
    found = lambda: host.revert()
else:
    read = host.read(PATTERN)
    found = lambda: host.write(read, MADE, nothing)
Path(sys.argv[2]).mkdir(exist_ok=True)
try:
    Path("/begin").stat()
except OSError:
    pass
found()
"""
# What is opened or closed changes nothing that the next of these does not show.
CHANGING = (
    "write,fsync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fchmod,"
    "chmod,fchown"
)
ENVIRON = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def traced(root: Path, what: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the worker under strace."""
    state = root.parent / "state"
    return subprocess.run(
        ["strace", *options, sys.executable, "-c", WORKER, str(root), str(state), what],
        check=False, capture_output=True, text=True, env=ENVIRON,
    )  # fmt: skip


def calls(root: Path, what: str, log: Path) -> tuple[int, int]:
    """Which of the changing calls are ours: after the mark, up to the end."""
    done = traced(root, what, "-o", str(log), "-e", f"trace=stat,newfstatat,{CHANGING}")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    mark = next(number for number, line in enumerate(lines) if '"/begin"' in line)
    names = CHANGING.split(",")
    is_change = [re.split(r"\(", line)[0] in names for line in lines]
    return sum(is_change[:mark]) + 1, sum(is_change)


@pytest.mark.long
@pytest.mark.parametrize("what", ["write", "revert"])
def test_killed_at_any_call_it_is_whole_or_can_be_put_back(
    root: Path, tmp_path: Path, what: str
) -> None:
    """SIGKILL at each system call that changes something, one run each."""
    if shutil.which("strace") is None:
        missing("strace", "strace is not installed")
    state, saved = tmp_path / "state", tmp_path / "saved"

    def fresh() -> None:
        for path in (root, state):
            shutil.rmtree(path, ignore_errors=True)
            if (saved / path.name).exists():
                shutil.copytree(saved / path.name, path)

    before = tree(root)
    if what == "revert":
        HostConfig(root, state).write(HostConfig(root, state).read(PATTERN), MADE, nothing)
    for path in (root, state):
        if path.exists():
            shutil.copytree(path, saved / path.name)
    first, last = calls(root, what, tmp_path / "log")
    assert last - first > 15
    for number in range(first, last + 1):
        fresh()
        traced(root, what, "-qq", "-o", "/dev/null", "-e", f"trace={CHANGING}",
               "-e", f"inject={CHANGING}:signal=KILL:when={number}")  # fmt: skip
        host = HostConfig(root, state)
        host.revert()
        assert before == tree(root), number
