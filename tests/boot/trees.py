"""Root trees of whole Debian releases, made once and cached outside the repository.

`RCNETD_CACHE` names the cache; default: `$XDG_CACHE_HOME/rcnetd`, `~/.cache/rcnetd`. A tree is made
anew when its list of packages here changes; delete it to have newer packages. `RCNETD_RELEASES`
names other releases than the stable ones: `tests/run next` sets it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# By release: systemd 247, 252, 257; Python 3.9, 3.11, 3.13; pyroute2 0.5.14, 0.7.2, 0.7.7.
STABLE = ("bullseye", "bookworm", "trixie")
NEXT = "sid"  # whatever it has today
RELEASES = tuple(os.environ.get("RCNETD_RELEASES", "").split()) or STABLE
PACKAGES = (
    "systemd systemd-sysv dbus udev iproute2 ifupdown netplan.io network-manager curl rpm"
    " ca-certificates python3-pyroute2 python3-requests python3-systemd python3-yaml libfaketime"
    " cloud-init"
)
# netplan's own unit has networkd's wait for name servers there, which only resolved can answer.
MORE = {NEXT: "systemd-resolved"}
TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter")


def cache() -> Path:
    """The directory of the trees."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(os.environ.get("RCNETD_CACHE") or Path(home) / "rcnetd")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the only run, and the only worker of a run, that makes what they share."""
    with (cache() / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tree(release: str) -> Path:
    """The root tree of a release; must not be changed."""
    packages = " ".join((PACKAGES, *MORE.get(release, "").split()))
    path = _place(release, release, packages)
    if path.exists():
        return path  # as a whole: it got its name last
    with alone():
        return cached_tree(release, release, packages)


def _place(name: str, release: str, packages: str) -> Path:
    wanted = hashlib.sha256(f"{release} {packages}".encode()).hexdigest()[:12]
    return cache() / f"{name}-{wanted}"


def cached_tree(name: str, release: str, packages: str) -> Path:
    """The tree *name* of a release with these packages; the caller holds `alone`."""
    path = _place(name, release, packages)
    if not path.exists():
        for old in cache().glob(f"{name}-{'?' * 12}"):
            shutil.rmtree(old)
        partial = cache() / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}",
             # A mirror may lag behind a release that changes every day.
             "--aptopt=Acquire::Check-Valid-Until \"false\"",
             release, str(partial), "http://deb.debian.org/debian"],
            check=True,
        )  # fmt: skip
        partial.rename(path)
    return path
