"""Each tree of `golden/`, as the programs that read it bring it up: before, after, and reverted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers.model import CannotPersist, Target, Tree
from tests.consumers.conftest import Lab
from tests.consumers.persist import HostFiles
from tests.consumers.programs import CONSUMERS, Consumer
from tests.consumers.promises import broken
from tests.consumers.table import marks
from tests.support.trees import cases, target_of


def boots(*policies: PublicInterface) -> list[Any]:
    """Every tree with every consumer of every release that it is written for (by policy)."""
    found = []
    for consumer, release, case in _trees():
        for policy in policies:
            name = f"{consumer.name}-{release}-{case}-{policy.value}"
            known = marks(consumer.name, release, case, policy.value)
            found.append(pytest.param(consumer, release, case, policy, marks=known, id=name))
        if not policies:
            name = f"{consumer.name}-{release}-{case}"
            known = marks(consumer.name, release, case)
            found.append(pytest.param(consumer, release, case, marks=known, id=name))
    return found


def _trees() -> Iterator[tuple[Consumer, str, str]]:
    for consumer in CONSUMERS:
        for release in consumer.releases:
            for case in cases(consumer.renderer):
                yield consumer, release, case


def persist(consumer: Consumer, host: HostFiles, target: Target) -> Tree:
    """Persist; a tree that is not of the consumer's own golden ones may be refused."""
    try:
        return host.persist(target)
    except CannotPersist as error:
        if not consumer.before:
            raise
        pytest.skip(f"refused: {error}")


@pytest.mark.parametrize(("consumer", "release", "case", "policy"), boots(*PublicInterface))
def test_a_boot_keeps_what_persist_promises(
    lab: Lab, tmp_path: Path, consumer: Consumer, release: str, case: str, policy: PublicInterface
) -> None:
    """Our default alone wins, on our link; nothing else is lost that the policy keeps."""
    target = target_of(consumer.renderer, case, policy)
    control = lab.control(consumer, release, case)
    host = lab.host(consumer, case, tmp_path)
    found = lab.boot(consumer, release, persist(consumer, host, target), target)
    problems = broken(target, control, found)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("consumer", "release", "case"), boots())
def test_a_boot_after_revert_is_as_before(
    lab: Lab, tmp_path: Path, consumer: Consumer, release: str, case: str
) -> None:
    """Both policies are persisted, one after the other, and taken back at once."""
    host = lab.host(consumer, case, tmp_path)
    for policy in PublicInterface:
        target = target_of(consumer.renderer, case, policy)
        persist(consumer, host, target)
    found = lab.boot(consumer, release, host.revert(), target)
    assert lab.control(consumer, release, case) == found
