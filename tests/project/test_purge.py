"""Purging the package removes rcnetd's own files, and follows no link out of its directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.unshared import TREE, run_unshared

POSTRM = TREE / "packaging/debian/rcnetd.postrm"
DIRECTORIES = ("var/lib/rcnetd", "var/lib/rcnetd-persist", "run/rcnetd", "run/rcnetd-metadata",
               "run/rcnetd-persist", "etc/rcnetd")  # fmt: skip
PURGE = """
import subprocess, sys
root, script = sys.argv[1:]
for name in ("/etc", "/run", "/var/lib"):
    subprocess.run(["mount", "--bind", root + name, name], check=True)
subprocess.run(["sh", "-c", script, "postrm", "purge"], check=True)
"""


@pytest.mark.netns
@pytest.mark.parametrize("link", ["none", "inside", "instead", "above"])
def test_purging_follows_no_link(tmp_path: Path, link: str) -> None:
    """A link in, or in the place of, a directory that the daemon's user may write goes itself."""
    root, precious = tmp_path / "root", tmp_path / "root/var/lib/other"
    for name in DIRECTORIES:
        (root / name / "sub").mkdir(parents=True)
        (root / name / "sub/file").touch()
    precious.mkdir()
    (precious / "file").touch()
    for name in DIRECTORIES:
        if link == "inside":
            (root / name / "link").symlink_to("/var/lib/other")
        elif link == "instead":
            (root / name).rename(root / f"{name}-moved")
            (root / name).symlink_to("/var/lib/other")
        elif link == "above":
            (root / name / "sub").rename(root / name / "moved")
            (root / name / "sub").symlink_to("../../other")

    run_unshared(PURGE, str(root), POSTRM.read_text())

    assert [] == [name for name in DIRECTORIES if (root / name).is_symlink()]
    assert [] == [name for name in DIRECTORIES if (root / name).exists()]
    assert (precious / "file").exists()
