"""packaging/recipes: each bakes a tree that passes preflight, and whose boot is READY."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rcnetd.emulator.certificates import Authority
from rcnetd.lab.topology import Topology
from tests.boot.conftest import TREE, Image, disk
from tests.boot.debs import extract
from tests.boot.guest import Guest, chroot, configure, know_the_lab, write
from tests.boot.test_boot import DEPLOYED, NEWEST, check_ready
from tests.boot.trees import tree

pytestmark = pytest.mark.shipping

RECIPES = TREE / "packaging/recipes"
SETTINGS = "region: dfw\n"
WRONG = "regoin: dfw\n"
# Ansible's local connection, with the tree as the machine that it configures.
CONNECTION = """
import shlex, shutil
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = "name: tree\\nauthor: rcnetd\\nshort_description: a tree\\noptions: {}"

class Connection(Local):
    transport = "tree"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        root = self._play_context.remote_addr
        inside = f"chroot {root} env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c "
        inside = f"unshare --mount --pid --fork --mount-proc={root}/proc {inside}"
        return super().exec_command(inside + shlex.quote(cmd), in_data, sudoable)

    def put_file(self, in_path, out_path):
        shutil.copyfile(in_path, self._play_context.remote_addr + out_path)
"""


def packer(root: Path, deb: Path, place: Path, settings: str) -> None:
    """packaging/recipes/packer/provision, in a chroot."""
    for path in (deb, RECIPES / "packer/provision"):
        shutil.copy(path, root / "tmp")
    write(root, "/tmp/rcnetd.yaml", settings)
    chroot(root, "sh", "/tmp/provision", f"/tmp/{deb.name}", "/tmp/rcnetd.yaml")


def ansible(root: Path, deb: Path, place: Path, settings: str) -> None:
    """The role: checked, run, and run again."""
    before = (root / "etc/machine-id").read_bytes()
    said = play(root, deb, place, settings, "--check")
    assert not (root / "usr/sbin/rcnetd").exists()
    assert before == (root / "etc/machine-id").read_bytes()
    said = play(root, deb, place, settings)
    assert changes(said) > 0
    assert changes(play(root, deb, place, settings)) == 0, "it is not idempotent"
    assert changes(play(root, deb, place, settings, "--check")) == 0


def play(root: Path, deb: Path, place: Path, settings: str, *options: str) -> str:
    """Run a playbook with the role; returns what it printed."""
    extract(root, NEWEST, "python3-apt", "python-apt-common")
    shutil.copy(deb, root / "tmp")
    write(place, "connection_plugins/tree.py", CONNECTION)
    variables = {
        "rcnetd_package": f"/tmp/{deb.name}",
        "rcnetd_settings": yaml.safe_load(settings),
        "rcnetd_bake": True,
    }
    role = {"role": "rcnetd", "vars": variables}
    write(place, "play.yml", yaml.safe_dump([{"hosts": "all", "roles": [role]}]))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "--inventory", f"{root},",
         "--connection", "tree", *options, "play.yml"],
        cwd=place, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "ANSIBLE_ROLES_PATH": str(RECIPES / "ansible/roles"),
            "ANSIBLE_CONNECTION_PLUGINS": str(place / "connection_plugins"),
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def changes(said: str) -> int:
    """How many tasks changed something."""
    (count,) = re.findall(r"changed=(\d+)", said)
    return int(count)


Recipe = Callable[[Path, Path, Path, str], None]


@pytest.mark.parametrize("recipe", [packer, ansible])
def test_a_baked_image_boots(
    workplace: Path, deb: Path, authority: Authority, tmp_path: Path, recipe: Recipe
) -> None:
    """It fails with wrong settings; baked, its first boot gets to READY."""
    with disk(workplace, [tree(NEWEST)]) as overlay:
        root = overlay.root
        know_the_lab(root, authority)
        recipe(root, deb, tmp_path, SETTINGS)
        write(root, "/etc/cloud/cloud-init.disabled", "")
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        configure(root, "netplan")
        with Topology() as topology:
            guest = Guest(root, "netplan", topology, authority)
            try:
                guest.emulate(DEPLOYED)
                with guest.boot():
                    check_ready(guest)
            finally:
                guest.close()


@pytest.mark.parametrize("recipe", [packer, play])
def test_a_wrong_image_fails(workplace: Path, deb: Path, tmp_path: Path, recipe: Recipe) -> None:
    """What preflight fails, the recipe fails."""
    failed = pytest.raises(AssertionError, match=r"FAIL: .*did you mean 'region'")
    with disk(workplace, [tree(NEWEST)]) as overlay, failed:
        recipe(overlay.root, deb, tmp_path, WRONG)


def test_the_user_data_installs(workplace: Path, images: Image, deb: Path) -> None:
    """cloud-init takes it, and its commands are those of the repository's page."""
    text = (RECIPES / "cloud-init/user-data").read_text(encoding="utf-8")
    with disk(workplace, images(NEWEST, deb)) as overlay:
        write(overlay.root, "/tmp/user-data", text)
        said = chroot(overlay.root, "cloud-init", "schema", "--config-file", "/tmp/user-data")
        assert "Valid schema" in said
    ((_, _, script),) = yaml.safe_load(text)["runcmd"]
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=True).returncode == 0
    page = (TREE / "packaging/REPOSITORY.md").read_text(encoding="utf-8")
    lines = [line for line in script.splitlines() if line.startswith(("install -d", "curl"))]
    assert lines
    assert all(line in page for line in lines)
