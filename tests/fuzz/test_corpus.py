"""What the fuzzers start from, and whatever they have found: each input is read as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, seeds

CORPUS = Path(__file__).with_name("corpus")


def test_the_corpus_is_used() -> None:
    """There is none for what is no target."""
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus(target: str) -> None:
    """Seeds and former findings; the golden trees have tests of their own."""
    given = {str(path): path.read_bytes() for path in (CORPUS / target).glob("*")}
    assert given or any(seeds(target))
    for name, data in given.items():
        try:
            TARGETS[target](data)
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
