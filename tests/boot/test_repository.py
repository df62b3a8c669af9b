"""A signed repository, and what real apt and dnf do with it: packaging/REPOSITORY.md."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.boot.conftest import TREE, disk
from tests.boot.guest import chroot, write
from tests.boot.test_setup import packages
from tests.boot.trees import RELEASES, tree
from tests.conftest import missing

pytestmark = pytest.mark.shipping

PAGE = (TREE / "packaging/REPOSITORY.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"<!-- snippet: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
TOOLS = ("dpkg-scanpackages", "createrepo_c", "gpg", "rpmsign")
OLD, NEW = "0.0.9", "0.1.0"


class Publisher:
    """A checkout with packages of its own in dist/, keys, and the repository that it makes."""

    def __init__(self, place: Path, deb: Path) -> None:
        self.place, self.repository = place, place / "repository"
        self.home = place / "gnupg"
        self.home.mkdir(mode=0o700)
        (place / "dist").mkdir()
        shutil.copytree(TREE / "packaging", place / "packaging")
        self._old = self._repacked(deb)
        self._new = deb

    def _repacked(self, deb: Path) -> Path:
        """The package as a version before."""
        content, old = self.place / "content", self.place / f"rcnetd_{OLD}_all.deb"
        subprocess.run(["dpkg-deb", "--raw-extract", deb, content], check=True)
        control = content / "DEBIAN/control"
        text = control.read_text(encoding="utf-8")
        control.write_text(text.replace(f"Version: {NEW}", f"Version: {OLD}"), encoding="utf-8")
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", content, old],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return old

    def key(self, name: str) -> str:
        """Make a key without a passphrase."""
        self._run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", name, "rsa2048")
        return name

    def publish(self, version: str, *keys: str) -> None:
        """Build the repository with a version's packages."""
        for package in (self.place / "dist").iterdir():
            package.unlink()
        shutil.copy(self._old if version == OLD else self._new, self.place / "dist")
        self._run(self.place / "packaging/build-repository", self.repository, *keys)

    def _run(self, *command: str | Path) -> None:
        environ = {**os.environ, "GNUPGHOME": str(self.home)}
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def close(self) -> None:
        """End gpg's agent."""
        self._run("gpgconf", "--kill", "all")


def typed(root: Path, name: str) -> str:
    """Type what the page says; the repository is a directory of the tree."""
    text = SNIPPETS[name].replace("https://packages.example.org/rcnetd", "file:///repository")
    return chroot(root, "sh", "-ec", text)


@pytest.mark.parametrize("release", RELEASES)
def test_apt(workplace: Path, deb: Path, tmp_path: Path, release: str) -> None:
    """Install, upgrade, hold an older version, change the keys, remove."""
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if lacking:
        missing("boot", f"not installed: {', '.join(lacking)}")
    publisher = Publisher(tmp_path, deb)
    first, second = publisher.key("first@example.org"), publisher.key("second@example.org")
    with disk(workplace, [tree(release)]) as overlay:
        root = overlay.root

        def publish(version: str, *keys: str) -> None:
            publisher.publish(version, *keys)
            shutil.rmtree(root / "repository", ignore_errors=True)
            shutil.copytree(publisher.repository, root / "repository")

        write(root, "/etc/apt/sources.list", "")
        shutil.rmtree(root / "etc/apt/sources.list.d")
        (root / "etc/apt/sources.list.d").mkdir()
        publish(OLD, first)
        typed(root, "apt")
        assert packages(root)["rcnetd"] == OLD

        publish(NEW, first)
        chroot(root, "apt-get", "update")
        chroot(root, "apt-get", "upgrade", "--yes")
        assert packages(root)["rcnetd"] == NEW
        typed(root, "apt-downgrade")
        chroot(root, "apt-get", "upgrade", "--yes")
        assert packages(root)["rcnetd"] == OLD

        # By one key, by both, by the other: refused only if the server did not fetch it meanwhile.
        key = root / "etc/apt/keyrings/rcnetd.asc"
        before = key.read_bytes()
        publish(NEW, second, first)
        chroot(root, "apt-get", "update", "--error-on=any" if release != "bullseye" else "-q")
        shutil.copy(root / "repository/rcnetd.asc", key)
        publish(NEW, second)
        chroot(root, "apt-get", "update")
        key.write_bytes(before)
        with pytest.raises(AssertionError, match=r"NO_PUBKEY|not signed|Missing key"):
            chroot(root, "sh", "-ec", "apt-get update 2>&1 | grep '^[EW]' && exit 1")

        chroot(root, "apt-get", "remove", "--yes", "--allow-change-held-packages", "rcnetd")
        assert not (root / "usr/sbin/rcnetd").exists()
    publisher.close()


def test_what_lies_beside_the_packages(workplace: Path, deb: Path, tmp_path: Path) -> None:
    """Two versions, their checksums signed, and indexes by their hash."""
    publisher = Publisher(tmp_path, deb)
    key = publisher.key("first@example.org")
    publisher.publish(OLD, key)
    publisher.publish(NEW, key)
    repository = publisher.repository
    for program in (["sha256sum", "--check", "SHA256SUMS"],
                    ["gpg", "--verify", "SHA256SUMS.asc", "SHA256SUMS"]):  # fmt: skip
        environ = {**os.environ, "GNUPGHOME": str(publisher.home)}
        subprocess.run(program, cwd=repository, check=True, env=environ, capture_output=True)
    index = repository / "deb/dists/stable/main/binary-all/Packages"
    assert (
        index.parent / "by-hash/SHA256" / hashlib.sha256(index.read_bytes()).hexdigest()
    ).exists()
    publisher.close()


def test_a_changed_file_is_refused(workplace: Path, deb: Path, tmp_path: Path) -> None:
    """apt checks the package by the signed index."""
    release = RELEASES[-1]
    publisher = Publisher(tmp_path, deb)
    publisher.publish(NEW, publisher.key("first@example.org"))
    with disk(workplace, [tree(release)]) as overlay:
        root = overlay.root
        shutil.copytree(publisher.repository, root / "repository")
        with (root / f"repository/deb/pool/{deb.name}").open("r+b") as package:
            package.seek(200)
            package.write(b"other bytes")
        with pytest.raises(AssertionError, match=r"Hash Sum mismatch|hash mismatch"):
            typed(root, "apt")
    publisher.close()
