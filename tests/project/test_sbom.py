"""Checksums and the SBOM of built packages."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.unshared import TREE

CONTROL = """\
Package: {name}
Version: 1.2
Architecture: all
Maintainer: x <x@example.com>
Depends: python3:any (>= 3.9), python3-requests, a | b
Description: x
"""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Two small packages."""
    if shutil.which("dpkg-deb") is None:
        missing("lint", "dpkg-deb is not installed")
    for name in ("one", "two"):
        control = tmp_path / name / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        control.write_text(CONTROL.format(name=name))
        command = ["dpkg-deb", "--build", "--root-owner-group", str(tmp_path / name)]
        (tmp_path / "dist").mkdir(exist_ok=True)
        subprocess.run([*command, f"{tmp_path}/dist/{name}.deb"], check=True, capture_output=True)
    return tmp_path / "dist"


def test_what_was_built_can_be_checked(dist: Path) -> None:
    """Every package has its hash and its dependencies; a second run writes the same."""
    subprocess.run([TREE / "packaging/sbom", dist], check=True)
    first = {path.name: path.read_bytes() for path in dist.iterdir()}
    subprocess.run([TREE / "packaging/sbom", dist], check=True)

    assert first == {path.name: path.read_bytes() for path in dist.iterdir()}
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], check=True, cwd=dist)
    found = json.loads(first["rcnetd.cdx.json"])
    assert ["one", "two"] == [one["name"] for one in found["components"]]
    needs = [entry["value"] for entry in found["components"][0]["properties"]]
    assert ["a", "python3-requests", "python3:any"] == needs
    (dist / "one.deb").write_bytes(b"another")
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], check=False, cwd=dist)
    assert done.returncode == 1


@pytest.mark.parametrize("build", ["build-deb", "build-rpm"])
def test_the_build_describes_what_it_has_built(build: str) -> None:
    """As its last step but naming the packages."""
    steps = (TREE / "packaging" / build).read_text().splitlines()

    assert "packaging/sbom" == steps[-2]


def test_nothing_to_describe(tmp_path: Path) -> None:
    """It is one line."""
    done = subprocess.run(
        [TREE / "packaging/sbom", tmp_path], check=False, capture_output=True, text=True
    )
    assert (1, f"'{tmp_path}' contains no packages; run packaging/build-deb first\n") == (
        done.returncode, done.stderr
    )  # fmt: skip
