"""A machine of the next release with what builds and tests rcnetd: its own packages, no others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.boot.trees import NEXT, alone, cached_tree

TREE = Path(__file__).parent.parent.parent
PLACE = "srv/rcnetd"  # the copy of this tree
PACKAGES = (
    "build-essential fakeroot debhelper dh-python pybuild-plugin-pyproject python3-all"
    " python3-docutils python3-setuptools rpm"
    " python3-pytest python3-pytest-mock python3-pytest-cov python3-pytest-xdist"
    " python3-hypothesis python3-jsonschema python3-trustme python3-h11 python3-cryptography"
    " python3-openstacksdk python3-keystoneauth1 python3-rich python3-pyroute2 python3-requests"
    " python3-systemd python3-yaml ansible-core iproute2 iputils-ping man-db strace curl git procps"
    " util-linux mount ca-certificates fish zsh bash-completion"
)
# Everything that it mounts goes with its mount namespace.
START = """\
place=$1 tree=$2 top=$3 output=$4
shift 4
mount -t tmpfs tmpfs "$place"
mkdir "$place/root" "$place/changes" "$place/work"
root=$place/root
mount -t overlay overlay "$root" -o "lowerdir=$tree,upperdir=$place/changes,workdir=$place/work"
mkdir -p "$root/srv/rcnetd" "$root/srv/output"
git -C "$top" ls-files -z | tar --create --directory "$top" --null --files-from - |
    tar --extract --directory "$root/srv/rcnetd"
echo "127.0.0.1 localhost" >"$root/etc/hosts"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$output" "$root/srv/output"
exec chroot "$root" sh -c "cd /srv/rcnetd && $*"
"""
ENVIRON = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def machine() -> Path:
    """The root tree of the machine; must not be changed."""
    with alone():
        return cached_tree(f"{NEXT}-build", NEXT, PACKAGES)


def run(command: str, place: Path, log: Path) -> bool:
    """Run a command line in a copy of this tree on the machine; return whether it succeeded.

    What it leaves in /srv/output is in *place*; what it prints, in *log*.
    """
    (place / "mounts").mkdir(exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", START, "sh",
             str(place / "mounts"), str(machine()), str(TREE), str(place), command],
            check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**ENVIRON, **{name: os.environ[name] for name in ("RCNETD_REQUIRE",)
                               if name in os.environ}},
        )  # fmt: skip
    return done.returncode == 0
