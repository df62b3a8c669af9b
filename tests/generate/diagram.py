"""Draws the state diagram of rcnetd/ARCHITECTURE.md from the table of states.

`python -m tests.generate.diagram --write` updates it. A transition that many states share is a row
of the table below the picture and not an arrow: fifty arrows are no picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rcnetd.core.states import EXITS, READY_STATES, TRANSITIONS, Condition, State
from tests.support.made_part import MadePart

PAGE = Path(__file__).parents[2] / "rcnetd" / "ARCHITECTURE.md"
ON_PAGE = MadePart(
    PAGE, "<!-- diagram: made by tests/generate/diagram.py -->\n", "<!-- end of diagram -->\n"
)
MANY = 4  # so many states share a transition that is not drawn
FIRST = State.WAITING_FOR_SERVICENET
SOURCES: dict[tuple[Condition, State], list[State]] = {}
for _state, _transitions in TRANSITIONS.items():
    for _transition in _transitions:
        SOURCES.setdefault(_transition, []).append(_state)


def diagram() -> str:
    """Return the picture, and the transitions that it leaves out."""
    return f"{_picture()}\n{_shared()}"


def _is_shared(condition: Condition, target: State) -> bool:
    return len(SOURCES[condition, target]) >= MANY


def _drawn(condition: Condition, target: State) -> list[State]:
    """Return the states from which an arrow is drawn: at least one leads to every state."""
    sources = SOURCES[condition, target]
    if not _is_shared(condition, target):
        return sources
    reached = target is FIRST or any(
        to is target and not _is_shared(why, to) for why, to in SOURCES
    )
    return [] if reached else sources[:1]


def _picture() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    direction TB"]
    lines += [f'    state "{state.value.replace(":", ",")}" as {state.name}' for state in State]
    lines.append(f"    [*] --> {FIRST.name}")
    for state, transitions in TRANSITIONS.items():
        for condition, target in transitions:
            if state in _drawn(condition, target):
                exit_code = f" / exit {EXITS[condition][0]}" if target is State.STOPPED else ""
                lines.append(f"    {state.name} --> {target.name}: {condition.value}{exit_code}")
    lines += [
        "    classDef ready fill:#dff0d8,stroke:#3c763d,color:#1b3a1c",
        f"    class {','.join(state.name for state in State if state in READY_STATES)} ready",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _shared() -> str:
    lines = [
        "Not drawn, because many states share them:",
        "",
        "| if | then | in |",
        "|---|---|---|",
    ]
    for (condition, target), sources in SOURCES.items():
        if _is_shared(condition, target):
            then = f"`{target.name}`"
            if target is State.STOPPED:
                then += f", exit code {EXITS[condition][0]}"
            names = ", ".join(f"`{state.name}`" for state in sources)
            lines.append(f"| {condition.value} | {then} | {names} |")
    return "\n".join(lines) + "\n"


def write() -> None:
    """Put the diagram between the markers of the page."""
    ON_PAGE.text = diagram()


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        sys.stdout.write(diagram())
