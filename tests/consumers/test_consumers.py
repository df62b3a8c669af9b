"""Each tree of `golden/`, as the programs that read it bring it up: before, after, and reverted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers.model import CannotPersist
from tests.consumers.conftest import Lab
from tests.consumers.matrix import REVERTED, Boot
from tests.consumers.programs import CONSUMERS, Consumer
from tests.consumers.promises import broken
from tests.consumers.table import REFUSED, marks
from tests.support.trees import cases, target_of


def boots(*policies: PublicInterface) -> list[Any]:
    """Every tree with every consumer of every release that it is written for (by policy)."""
    found = []
    for consumer, release, case in _trees():
        for policy in policies or (None,):
            boot = Boot(consumer.name, release, case, policy.value if policy else REVERTED)
            known = marks(consumer.name, release, case, policy.value if policy else "")
            values = (consumer, release, case, *([policy] if policy else []))
            found.append(pytest.param(*values, marks=known, id="-".join(boot)))
    return found


def _trees() -> Iterator[tuple[Consumer, str, str]]:
    for consumer in CONSUMERS:
        for release in consumer.judged:
            for case in cases(consumer.renderer):
                yield consumer, release, case


@pytest.mark.parametrize(("consumer", "release", "case", "policy"), boots(*PublicInterface))
def test_a_boot_keeps_what_persist_promises(
    lab: Lab, tmp_path: Path, consumer: Consumer, release: str, case: str, policy: PublicInterface
) -> None:
    """Our default alone wins, on our link; nothing else is lost that the policy keeps."""
    target = target_of(consumer.renderer, case, policy)
    control = lab.control(consumer, release, case)
    host = lab.host(consumer, case, tmp_path)
    if (consumer.name, case) in REFUSED:
        with pytest.raises(CannotPersist, match=REFUSED[consumer.name, case]):
            host.persist(target)
        return
    found = lab.boot(consumer, release, host.persist(target), target)
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
        with contextlib.suppress(*[CannotPersist] * ((consumer.name, case) in REFUSED)):
            host.persist(target)
    found = lab.boot(consumer, release, host.revert(), target)
    assert lab.control(consumer, release, case) == found
