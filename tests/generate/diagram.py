"""Draws the state diagram from the table.

`python -m tests.generate.diagram --write` puts it there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rcnetd.core.states import EXITS, READY_STATES, TRANSITIONS, Condition, State

PAGE = Path(__file__).parents[2] / "rcnetd" / "ARCHITECTURE.md"
BEGIN, END = "<!-- diagram: made by tests/generate/diagram.py -->\n", "<!-- end of diagram -->\n"
# What most waiting states have besides; the picture shows the way, a sentence says these.
EVERYWHERE = {
    Condition.SERVICENET_MISSING: "back to waiting for ServiceNet",
    Condition.UNMANAGED: "no more guarding",
    Condition.UNPROCESSABLE: "exit 76",
    Condition.FAILED_BEFORE_ROUTE: "exit 69",
    Condition.DEPLOY_TIMED_OUT: "exit 75",
}


def mermaid() -> str:
    """The table as a Mermaid state diagram, without what most states have, and that in words."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction TB"]
    lines += [f'    state "{state.value.replace(":", ",")}" as {state.name}' for state in State]
    lines.append(f"    [*] --> {State.WAITING_FOR_SERVICENET.name}")
    for state, transitions in TRANSITIONS.items():
        for condition, target in transitions:
            first = (State.WAITING_FOR_FEATURES, Condition.UNMANAGED)
            if condition in EVERYWHERE and (state, condition) != first:
                continue
            code = f" / exit {EXITS[condition][0]}" if target is State.STOPPED else ""
            lines.append(f"    {state.name} --> {target.name}: {condition.value}{code}")
    lines += [
        "    classDef ready fill:#dff0d8,stroke:#3c763d,color:#1b3a1c",
        f"    class {','.join(state.name for state in State if state in READY_STATES)} ready",
        "```",
    ]
    lines += ["", "Where a state waits, this may happen, too:", ""]
    lines += [f"- {one.value}: {what}" for one, what in EVERYWHERE.items()]
    return "\n".join(lines) + "\n"


def in_page(text: str) -> str:
    """What stands between the markers of *text*."""
    return text.partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        PAGE.write_text(f"{before}{BEGIN}{mermaid()}{END}{after}", encoding="utf-8")
    else:
        sys.stdout.write(mermaid())
