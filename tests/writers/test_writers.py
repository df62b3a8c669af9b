"""A writer's files: persisted, written again with one link more, persisted, and reverted.

What is in them in the end is what the writer wrote last; in between, the program that reads them
boots them. ifcfg files have no reader in Debian: they are read by ours alone.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import Backend, PublicInterface
from rcnetd.hostconfig.renderers.model import Target, Tree
from rcnetd.hostconfig.renderers.registry import renderer
from tests.consumers.conftest import Lab, lab
from tests.consumers.persist import HostFiles
from tests.consumers.programs import CONSUMERS, Consumer
from tests.consumers.promises import broken
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET, contents
from tests.writers.programs import WRITERS, Writer

__all__ = ["lab"]  # a fixture
OTHER_GATEWAY = IPv4Address("10.180.31.253")


def reader(writer: Writer) -> Consumer | None:
    """The program that reads these files."""
    for consumer in CONSUMERS:
        if consumer.renderer == writer.renderer and writer.release in consumer.releases:
            return consumer
    return None


def winner(writer: Writer, files: Tree) -> IPv4Address | None:
    """The gateway of the best default route in these files, as rcnetd reads them."""
    chosen = renderer(Backend(writer.renderer.replace("_", "-")))
    return min(chosen.read_defaults(files), key=lambda default: default.metric).gateway


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: f"{one.name}-{one.release}")
def test_written_again_with_one_link_more(
    lab: Lab, tmp_path: Path, writer: Writer, policy: PublicInterface
) -> None:
    """The route is in the files each time, and nothing of ours is left in the end."""
    written = []
    for links in (2, 3):
        (tmp_path / str(links)).mkdir()
        written.append(writer.write(tmp_path / str(links), links))
    first, second = written
    target = Target(SERVICENET, GATEWAY, (PUBLIC,), policy)
    (tmp_path / "host").mkdir()
    host = HostFiles(tmp_path / "host", writer.renderer, first)

    host.persist(target)
    host.write(second)
    later = replace(target, gateway=OTHER_GATEWAY)
    persisted = host.persist(later)
    assert OTHER_GATEWAY == winner(writer, persisted)
    consumer = reader(writer)
    if consumer is not None:
        control = lab.boot(consumer, writer.release, consumer.tree(second), later)
        found = lab.boot(consumer, writer.release, consumer.tree(persisted), later)
        problems = broken(later, control, found)
        assert not problems, "\n".join(problems)
    assert contents(second) == contents(host.revert())
