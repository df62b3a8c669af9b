"""TABLE.md beside this: what became of each boot, by a complete run of `tests/run consumers`.

Complete is a run with `RCNETD_CONSUMERS=all`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rcnetd.core.settings import PublicInterface
from tests.consumers.programs import CONSUMERS
from tests.consumers.table import OK, SKIPPED, expected
from tests.support.made_part import MadePart
from tests.support.trees import cases

TABLE = Path(__file__).with_name("TABLE.md")
IN_TABLE = MadePart(TABLE, "<!-- made by tests/run consumers -->\n", "<!-- end -->\n")
NAMES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13"}
REVERTED = "revert"
POLICIES = tuple(policy.value for policy in PublicInterface)


class Boot(NamedTuple):
    """A boot of a tree: *what* is the policy that was persisted, or `REVERTED`."""

    consumer: str
    release: str
    case: str
    what: str


PLANNED = tuple(
    Boot(consumer.name, release, case, what)
    for consumer in CONSUMERS
    for release in consumer.releases
    for case in cases(consumer.renderer)
    for what in (*POLICIES, REVERTED)
)
IDS = {"-".join(boot): boot for boot in PLANNED}


def table(results: Mapping[Boot, bool]) -> str:
    """The results as tables of Markdown, one for each kind of files; reasons are below."""
    reasons: dict[str, int] = {}
    blocks = []
    for renderer in dict.fromkeys(consumer.renderer for consumer in CONSUMERS):
        columns = [
            (consumer.name, release)
            for consumer in CONSUMERS
            if consumer.renderer == renderer
            for release in consumer.releases
        ]
        heads = [f"{name}, {NAMES[release]}" for name, release in columns]
        lines = [f"## {renderer}", "", f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
        for case in cases(renderer):
            cells = [_cell(results, column, case, reasons) for column in columns]
            lines.append(f"| {case} | {' | '.join(cells)} |")
        blocks.append("\n".join((*lines, "")))
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join((*blocks, "\n".join(("## Reasons", "", *notes, ""))))


def _cell(
    results: Mapping[Boot, bool], column: tuple[str, str], case: str, reasons: dict[str, int]
) -> str:
    """One word if both policies and `revert` come to the same, else one for each that differs."""
    words = {}
    for what in (*POLICIES, REVERTED):
        word, why = expected(*column, case, "" if what == REVERTED else what)
        if why:
            word += f" [{reasons.setdefault(why, len(reasons) + 1)}]"
        is_so = results.get(Boot(*column, case, what), word.startswith(SKIPPED))
        words[what] = word if is_so else "**failed**"
    if len(set(words.values())) == 1:
        return words[REVERTED]
    return "; ".join(f"{what}: {word}" for what, word in _different(words))


def _different(words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    policies = {words[policy] for policy in POLICIES}
    if len(policies) == 1 and words[REVERTED] == OK:
        yield "persist", policies.pop()
        return
    yield from ((what, word) for what, word in words.items() if word != OK)


def write(results: Mapping[Boot, bool]) -> None:
    """Put the results into TABLE.md if the run was complete."""
    if set(PLANNED) <= results.keys():
        IN_TABLE.text = table(results)
