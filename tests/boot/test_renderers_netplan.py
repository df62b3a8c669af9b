"""What real netplan makes of the rendered files: each release's program, as at boot."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers import network_manager, networkd
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import DefaultRoute, File, HostLink, Tree
from rcnetd.hostconfig.renderers.netplan import read_defaults_of, render
from rcnetd.hostconfig.renderers.rendering import fits
from rcnetd.hostconfig.verify import NETPLAN
from tests.boot.conftest import disk
from tests.boot.guest import chroot
from tests.boot.trees import RELEASES, tree
from tests.support.trees import HERE, cases, read_tree, target_of

PLACE = "srv"
# Trees that a release's netplan rejects before rcnetd edits them: a damaged file (below 1.2), and
# on Debian 11 what netplan 0.101 does not know.
REJECTED = {
    "bullseye": {
        *("cloud-init", "damaged-neighbour", "network-manager", "no-ipv6-default"),
        *("several-files", "ways"),
    },
    "bookworm": {"damaged-neighbour"},
    "trixie": {"damaged-neighbour"},
}
LEADS_NOWHERE = ("unreachable",)  # has a losing default on the public link, which refuses


class Netplan:
    """A release's netplan."""

    def __init__(self, root: Path, release: str) -> None:
        self._root, self.release = root, release
        self._generate = next(name for name in NETPLAN if (root / name.lstrip("/")).exists())

    def make(self, files: Tree, links: Sequence[HostLink]) -> list[DefaultRoute]:
        """Return the default routes that *links* get of these files. Fails if it rejects them."""
        place = self._root / PLACE
        shutil.rmtree(place)
        for path, file in files.items():
            target = place / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(0o600)
        place.mkdir(exist_ok=True)
        chroot(self._root, self._generate, "--root-dir", f"/{PLACE}")
        made = read_tree(place)
        found = networkd.read_defaults_of(_below(made, "/run/systemd/network/"), links)
        found += network_manager.read_defaults(_below(made, "/run/NetworkManager/"))
        return list(dict.fromkeys(found))

    def make_if_known(self, files: Tree, links: Sequence[HostLink]) -> list[DefaultRoute] | None:
        """As `make`; None if this release lacks `activation-mode`, as Debian 11's does."""
        try:
            return self.make(files, links)
        except AssertionError as error:
            if "unknown key 'activation-mode'" in str(error):
                return None
            raise


def _below(files: Tree, directory: str) -> Tree:
    """As netplan makes them: NetworkManager takes no profile that others can read."""
    return {
        path: File(file.data, 0o600) for path, file in files.items() if path.startswith(directory)
    }


@pytest.fixture(scope="module", params=RELEASES)
def netplan(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Netplan]:
    """The netplan of each release."""
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(disk(workplace, [tree(request.param)])).root
        yield Netplan(root, request.param)


@pytest.mark.parametrize("case", cases("netplan"))
def test_netplan_makes_what_is_rendered(netplan: Netplan, case: str) -> None:
    """The winning default is ours and the only winner, whatever other defaults there were."""
    before = read_tree(HERE / "netplan" / case / "before")
    first = target_of("netplan", case, PublicInterface.NO_DEFAULT)
    links = (first.servicenet, *first.public)
    if case in REJECTED.get(netplan.release, ()):
        with pytest.raises(AssertionError):
            netplan.make(before, links)
        return
    found = netplan.make(before, links)
    # NetworkManager's metrics are others, where none is said.
    known = {default.gateway for default in read_defaults_of(before, links)}
    assert known == {default.gateway for default in found}

    for policy in PublicInterface:
        target = target_of("netplan", case, policy)
        made = netplan.make_if_known(applied(before, render(before, target)), links)
        if made is None:
            continue  # rcnetd writes nothing then
        defaults = [one for one in made if any(fits(one.link, link) for link in links)]
        best = min(default.metric for default in defaults)
        (winner,) = [default for default in defaults if default.metric == best]
        assert (target.gateway, METRIC) == (winner.gateway, winner.metric)
        assert fits(winner.link, target.servicenet)
        if policy is PublicInterface.NO_DEFAULT and case not in LEADS_NOWHERE:
            assert {winner.link} == {default.link for default in defaults}
