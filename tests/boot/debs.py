"""Single packages of a Debian release, extracted into a tree without being installed there.

ifupdown, ifupdown2 and ifupdown-ng conflict with each other, so that a tree can have one of them
only. The downloads stay in the cache of the trees.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.boot.trees import alone, cache


def extract(root: Path, release: str, *names: str) -> None:
    """Put the files of packages into a tree; links such as /sbin stay links."""
    for name in names:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", package(release, name)], stdout=subprocess.PIPE
        ) as tar:
            subprocess.run(
                ["tar", "--extract", "--keep-directory-symlink", "--directory", root],
                stdin=tar.stdout,
                check=True,
            )
        assert tar.returncode == 0


def package(release: str, name: str) -> Path:
    """Download a package, unless the cache has it."""
    place = cache() / f"debs-{release}"
    with alone():
        place.mkdir(exist_ok=True)
        if not list(place.glob(f"{name}_*.deb")):
            apt(place, "download", name)
        (path,) = place.glob(f"{name}_*.deb")
    return path


def apt(place: Path, *command: str) -> None:
    """Run apt-get with lists of its own."""
    release = place.name.partition("-")[2]
    (place / "lists/partial").mkdir(parents=True, exist_ok=True)
    sources = place / "sources.list"
    options = [
        f"--option=Dir::Etc::sourcelist={sources}",
        "--option=Dir::Etc::sourceparts=/dev/null",
        f"--option=Dir::State::lists={place}/lists",
        "--option=Dir::State::status=/dev/null",  # not the version that this machine has
        f"--option=Dir::Cache={place}",
        "--option=APT::Sandbox::User=root",
        "--option=Acquire::Check-Valid-Until=false",
    ]
    if not sources.exists():
        sources.write_text(f"deb http://deb.debian.org/debian {release} main\n", encoding="ascii")
    if not any((place / "lists").glob("*Packages*")):
        subprocess.run(["apt-get", "--quiet", *options, "update"], check=True)
    subprocess.run(["apt-get", "--quiet", *options, *command], check=True, cwd=place)
