"""The table of the boot's story."""

from __future__ import annotations

import re

from rcnetd.core.states import (
    EXITS,
    GUARDING_STATES,
    HOLDS,
    READY_STATES,
    TRANSITIONS,
    Condition,
    State,
)
from tests.generate.diagram import ON_PAGE, diagram


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    """No state without a row, none without a way there."""
    assert set(State) == set(TRANSITIONS)
    reached, todo = {State.WAITING_FOR_SERVICENET}, [State.WAITING_FOR_SERVICENET]
    while todo:
        for _, target in TRANSITIONS[todo.pop()]:
            if target not in reached:
                reached.add(target)
                todo.append(target)
    assert set(State) == reached


def test_every_condition_has_a_meaning_and_is_used() -> None:
    """No label without a predicate, no predicate that the table never asks."""
    used = {condition for row in TRANSITIONS.values() for condition, _ in row}
    assert set(Condition) == set(HOLDS) == used


def test_every_end_has_its_exit_code_and_a_plain_reason() -> None:
    """Whatever leads to STOPPED says how to tell systemd and people."""
    ends = {
        condition
        for row in TRANSITIONS.values()
        for condition, target in row
        if target is State.STOPPED
    }
    assert ends == set(EXITS)
    assert {69, 75, 76} == {code for code, _ in EXITS.values()}


def test_ready_is_final() -> None:
    """Once ready, always ready, unless the server becomes RackConnected only then."""
    ready = READY_STATES - {State.NOT_RACKCONNECTED}
    targets = {target for state in ready for _, target in TRANSITIONS[state]}
    assert targets <= READY_STATES
    assert State.READY in GUARDING_STATES


def test_the_diagram_is_up_to_date() -> None:
    """`python -m tests.generate.diagram --write` updates rcnetd/ARCHITECTURE.md."""
    assert ON_PAGE.text == diagram()


def test_the_diagram_has_every_state_and_every_transition() -> None:
    """As an arrow, or as a row of the table below the picture."""
    text = diagram()
    for state, transitions in TRANSITIONS.items():
        assert f"as {state.name}\n" in text
        for condition, target in transitions:
            arrow = f"{state.name} --> {target.name}: {condition.value}"
            row = rf"\| {re.escape(condition.value)} \| `{target.name}`.*`{state.name}`"
            assert arrow in text or re.search(row, text)
