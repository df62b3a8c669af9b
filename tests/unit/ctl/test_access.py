"""Whether another user could read a file: by the kernel's own rules, below a root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.chroot_files import Chroot
from rcnetd.ctl.access import NOBODY, Obstacle, User, obstacle
from tests.conftest import missing
from tests.support.fuzzing import fuzz

PASSWD = "root:x:0:0::/root:/bin/sh\nbroken\nrcnetd:x:990:991::/:/bin/false\nodd:x:a:b::/:\n"
GROUP = "root:x:0:\nadm:x:4:daemon,rcnetd\nssl:x:5:daemon\n"


def test_a_user_of_the_image() -> None:
    """The image's ids count; nobody stands in for a user that is missing or damaged."""
    assert User(990, frozenset({991, 4})) == User.find("rcnetd", PASSWD, GROUP)
    assert User(NOBODY) == User.find("absent", PASSWD, GROUP) == User.find("odd", PASSWD, GROUP)


def test_links_lead_where_they_do_after_a_chroot(tmp_path: Path) -> None:
    """Absolute ones begin at the root, `..` ends there; the file behind them counts."""
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "etc/real").touch(0o600)
    for name, target in {"a": "/etc/real", "b": "../../../etc/real", "c": "./a"}.items():
        (tmp_path / "etc" / name).symlink_to(target)

        assert Obstacle("/etc/real", 0o600) == obstacle(Chroot(tmp_path), User(), f"/etc/{name}")


def test_what_is_no_obstacle(tmp_path: Path) -> None:
    """A missing file, a link to itself and the mode of the root do not count."""
    tmp_path.chmod(0o700)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "open").touch(0o644)

    for path in ("/", "/none", "/none/at/all", "/loop", "/open"):
        assert obstacle(Chroot(tmp_path), User(), path) is None


MODES = st.sampled_from([0o600, 0o640, 0o644, 0o700, 0o711, 0o750, 0o755, 0o604, 0o004, 0o404])
IDS = st.sampled_from([0, 990, 991, 7])


@fuzz(100)
@given(
    modes=st.tuples(MODES, MODES, MODES),
    owners=st.tuples(IDS, IDS, IDS),
    groups=st.tuples(IDS, IDS, IDS),
)
def test_it_decides_as_the_kernel(
    modes: tuple[int, ...], owners: tuple[int, ...], groups: tuple[int, ...]
) -> None:
    """It agrees with a real process of that user, for any modes and owners on the path."""
    if os.geteuid() != 0:
        missing("netns", "changing to another user needs root")
    program = (
        "import os, sys; os.setgroups([7]); os.setgid(991); os.setuid(990); os.open(sys.argv[1], 0)"
    )
    with tempfile.TemporaryDirectory() as name:  # pytest's own directories are root's alone
        root = Path(name)
        root.chmod(0o755)
        (root / "a/b").mkdir(parents=True)
        (root / "a/b/file").touch()
        for path, mode, uid, gid in zip(("a", "a/b", "a/b/file"), modes, owners, groups):
            os.chown(root / path, uid, gid)
            (root / path).chmod(mode)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program, root / "a/b/file"],
            capture_output=True, check=False,
        )  # fmt: skip
        found = obstacle(Chroot(root), User(990, frozenset({991, 7})), "/a/b/file")

    assert (found is None) is (done.returncode == 0)
