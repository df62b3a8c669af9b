"""The units among those of the distributions, and what their sandbox allows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rcnetd.fetcher.confinement import _landlock_version as landlock_version
from tests.boot.conftest import Image, MakeGuest, disk
from tests.boot.guest import ENTER, MANAGERS, chroot, configure, control_groups, write
from tests.boot.test_boot import DAEMON, DEPLOYED, check_ready
from tests.boot.trees import RELEASES

UNITS = sorted(path.name for path in (Path(__file__).parents[2] / "systemd").glob("*.[sp]*[eh]"))
MAX_EXPOSURE = 1.6
# It writes files of whatever owner below /etc, and asks the network managers over the bus.
EXPOSURE_MOST_OF = {"rcnetd-persist.service": 1.7}

# What somebody who has taken over the daemon would try. Each line of the answer: what, and whether
# it could be done.
PROBE = """\
#!/bin/sh
try() {
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "$what yes"; else echo "$what no"; fi
}
{
    try write-etc touch /etc/probe
    try write-usr touch /usr/bin/probe
    try write-boot touch /var/lib/dpkg/probe
    try read-shadow cat /etc/shadow
    try start-unit systemctl start other.service
    try run-unit systemd-run --quiet /bin/true
    try bus-unit busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 \\
        org.freedesktop.systemd1.Manager StartUnit ss other.service replace
    try mount mount -t tmpfs none /mnt
    try new-namespace unshare --user true
    try change-route ip route add 192.0.2.0/24 dev lo metric $$
} >"$1"
"""
OTHER = "[Service]\nExecStart=/bin/sleep infinity\n"


@pytest.fixture
def root(
    request: pytest.FixtureRequest, images: Image, deb: Path, workplace: Path
) -> Iterator[Path]:
    """The tree of a release with rcnetd installed, to change at will."""
    with disk(workplace, images(request.param, deb)) as overlay:
        yield overlay.root


def verify(root: Path) -> str:
    """What `systemd-analyze verify` says of a boot with everything that configures networks."""
    for manager in MANAGERS:
        configure(root, manager, alone=False)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "cloud-init.target").symlink_to("/lib/systemd/system/cloud-init.target")
    paths = ("lib/netplan/generate", "usr/libexec/netplan/generate")
    chroot(root, next(f"/{place}" for place in paths if (root / place).exists()))
    nspawn = (  # a container, because 247 looks for its control group
        "systemd-nspawn", "--quiet", "--directory", str(root), "--private-network",
        "--register=no", "--keep-unit", "--pipe",
    )  # fmt: skip
    command = ("systemd-analyze", "verify", "--man=no", "multi-user.target", *UNITS)
    with control_groups(root.parent / "cgroup") as groups:
        done = subprocess.run(
            ["sh", "-c", ENTER, "sh", *map(str, groups), "--", *nspawn, *command],
            check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("root", RELEASES, indirect=True)
def test_no_ordering_cycle_and_no_warning(root: Path) -> None:
    """With cloud-init, NetworkManager, networkd, ifupdown and netplan enabled all together."""
    said = verify(root)

    assert "cycle" not in said
    # Debian 11's libseccomp does not know these names, nor its kernel the calls.
    lines = [line for line in said.splitlines() if "landlock_" not in line]
    assert not any("rcnetd" in line for line in lines), said


@pytest.mark.parametrize("root", RELEASES, indirect=True)
def test_a_cycle_would_be_seen(root: Path) -> None:
    """The test above can fail."""
    drop_in = "/etc/systemd/system/rcnetd-wait-online.service.d/late.conf"
    write(root, drop_in, "[Unit]\nAfter=multi-user.target cloud-init.target\n")

    assert "cycle" in verify(root)


# 247 cannot look at units offline.
@pytest.mark.parametrize("root", [name for name in RELEASES if name != "bullseye"], indirect=True)
@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.endswith(".service")])
def test_exposure(root: Path, unit: str) -> None:
    """`systemd-analyze security`, from 252 on."""
    said = chroot(root, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    print(f"\n{unit}: {found[1]}")
    assert float(found[1]) <= EXPOSURE_MOST_OF.get(unit, MAX_EXPOSURE)


@pytest.mark.parametrize("release", RELEASES)
def test_what_the_daemons_rights_allow(make_guest: MakeGuest, release: str) -> None:
    """The route, and nothing else: no file of the host's, no unit over the bus."""
    guest = make_guest(release, "ifupdown")
    write(guest.root, "/usr/local/bin/probe", PROBE, 0o755)
    write(guest.root, "/etc/systemd/system/other.service", OTHER)
    for unit in ("rcnetd", "rcnetd-deployed"):
        write(guest.root, f"/etc/systemd/system/{unit}.service.d/probe.conf", f"""\
[Service]
Type=oneshot
RuntimeDirectory=rcnetd
RuntimeDirectoryPreserve=yes
ExecStart=
ExecStart=/usr/local/bin/probe /run/rcnetd/{unit}
""")  # fmt: skip
    with guest.boot():
        answers = {}
        guest.run("/usr/local/bin/probe", "/run/root")
        guest.run("rm", "-f", "/etc/probe", "/usr/bin/probe", "/var/lib/dpkg/probe")
        guest.run("systemctl", "stop", "other.service")
        for path in ("/run/root", "/run/rcnetd/rcnetd", "/run/rcnetd/rcnetd-deployed"):
            guest.until(partial(guest.is_in_file, "change-route", path))
            lines = [line.split() for line in guest.run("cat", path).splitlines()]
            answers[path] = {what for what, could in lines if could == "yes"}
        assert {"write-etc", "start-unit", "run-unit", "bus-unit", "change-route"} <= answers[
            "/run/root"
        ], "the probe itself"
        assert {"change-route"} == answers["/run/rcnetd/rcnetd"]
        assert set() == answers["/run/rcnetd/rcnetd-deployed"]


@pytest.mark.parametrize("release", RELEASES)
def test_the_fetcher_is_confined_in_its_unit(make_guest: MakeGuest, release: str) -> None:
    """The unit's own sandbox leaves all that this kernel has of it, and the status says so."""
    guest = make_guest(release, "ifupdown")
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        daemon = guest.show(DAEMON, "MainPID")
        guest.run("systemctl", "reload", DAEMON)  # a new fetcher asks again

        def facts(pid: str) -> dict[str, str]:
            text = guest.run("sh", "-c", f"cat /proc/{pid}/status /proc/{pid}/limits", check=False)
            return {key: value.strip() for key, value in re.findall("(?m)^(.*?)(?::|  )(.*)", text)}

        def confined() -> dict[str, str]:
            children = guest.run("cat", f"/proc/{daemon}/task/{daemon}/children").split()
            found = facts(children[-1]) if children else {}
            filters = int(facts(daemon)["Seccomp_filters"])
            return found if int(found.get("Seccomp_filters", 0)) > filters else {}

        guest.until(confined)
        found = confined()
        assert ("1", "0" * 16, "0" * 16) == tuple(
            found[name] for name in ("NoNewPrivs", "CapEff", "CapPrm"))  # fmt: skip
        assert ["0", "0"] == found["Max file size"].split()[:2]
        version = max(0, landlock_version())
        guest.until(lambda: guest.status["fetcher"])
        assert {"landlock": version, "seccomp": True} == guest.status["fetcher"]
        word = f"Landlock {version} and seccomp" if version else "seccomp"
        said = guest.run("rcnetctl", "status")
        print(f"\n{release}: {re.findall('Fetcher.*', said)}")
        assert f"confined by {word}" in said
