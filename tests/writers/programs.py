"""The writers: cloud-init of each release, and glean. Each writes below a directory of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.model import File, Tree
from tests.boot.trees import RELEASES, alone, cache, tree
from tests.support.trees import read_tree
from tests.writers.payloads import macs, network_data

GLEAN = "glean==1.25.1"
# cloud-init's word for a renderer, ours, and a distribution that uses it.
RENDERERS = {
    "eni": ("ifupdown", "debian"),
    "netplan": ("netplan", "ubuntu"),
    "networkd": ("networkd", "debian"),
    "network-manager": ("network_manager", "rhel"),
    "sysconfig": ("ifcfg", "rhel"),
}
SINCE_BOOKWORM = ("networkd", "network-manager")
INTERFACES = File(b"source /etc/network/interfaces.d/*\n")
# On a layer above the release's tree: whatever it writes besides goes with it.
CONVERT = """\
disk=$1/disk
mkdir "$disk"
mount -t tmpfs tmpfs "$disk"
root=$disk/root
mkdir "$root" "$disk/changes" "$disk/work"
mount -t overlay overlay "$root" -o "lowerdir=$2,upperdir=$disk/changes,workdir=$disk/work"
mount --bind "$1" "$root/mnt"
made=$1/made
shift 2
chroot "$root" cloud-init devel net-convert --network-data /mnt/network_data.json \\
    --kind network_data.json --directory /mnt/made "$@"
# Where it has libnetplan write (25.1 does), that is the system's own directory all the same.
for file in "$root"/etc/netplan/*.yaml; do
    [ ! -e "$file" ] || { mkdir -p "$made/etc/netplan" && cp "$file" "$made/etc/netplan/"; }
done
"""
ENVIRON = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Writer:
    """A program: *write* makes the files of a server with so many links, in an empty directory."""

    name: str
    release: str
    renderer: str
    write: Callable[[Path, int], Tree]


def _cloud_init(release: str, kind: str, place: Path, links: int) -> Tree:
    (place / "network_data.json").write_text(json.dumps(network_data(links)), encoding="ascii")
    names = [f"--mac={name},{mac}" for name, mac in macs(links).items()]
    subprocess.run(
        ["unshare", "--mount", "sh", "-ec", CONVERT, "sh", str(place), str(tree(release)),
         f"--output-kind={kind}", f"--distro={RENDERERS[kind][1]}", *names],
        check=True, env=ENVIRON, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    files = read_tree(place / "made")
    return {"/etc/network/interfaces": INTERFACES, **files} if kind == "eni" else files


def _glean(distribution: str, place: Path, links: int) -> Tree:
    drive = place / "mnt/config/openstack/latest"
    drive.mkdir(parents=True)
    (drive / "network_data.json").write_text(json.dumps(network_data(links)), encoding="ascii")
    (drive / "meta_data.json").write_text("{}", encoding="ascii")
    files: dict[str, File] = {}
    for name, mac in macs(links).items():
        link = place / "sys/class/net" / name
        link.mkdir(parents=True)
        (link / "addr_assign_type").write_text("0", encoding="ascii")
        (link / "address").write_text(mac, encoding="ascii")
        done = subprocess.run(
            [_glean_program(), "--noop", "--skip-dns", "--distro", distribution,
             "--root", str(place), "--interface", name],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        found = re.split(r"^### Write (\S+)\n", done.stdout, flags=re.MULTILINE)[1:]
        files.update((path, File(text.encode())) for path, text in zip(found[::2], found[1::2]))
    return files


def _glean_program() -> Path:
    venv = cache() / GLEAN.replace("==", "-")
    if (venv / "bin/glean").exists():
        return venv / "bin/glean"
    with alone():
        if not (venv / "bin/glean").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin/pip", "install", "--quiet", GLEAN], check=True)
    return venv / "bin/glean"


WRITERS = (
    *(
        Writer(f"cloud-init-{kind}", release, renderer, partial(_cloud_init, release, kind))
        for release in RELEASES
        for kind, (renderer, _) in RENDERERS.items()
        if release != "bullseye" or kind not in SINCE_BOOKWORM
    ),
    *(
        Writer(f"glean-{distribution}", RELEASES[-1], renderer, partial(_glean, distribution))
        for distribution, renderer in (
            ("debian", "ifupdown"), ("networkd", "networkd"), ("rocky", "ifcfg"),
        )
    ),
)  # fmt: skip
