"""Draws the README's state diagram from the table.

`python -m tests.generate.diagram --write` puts it there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rcnetd.core.states import EXITS, READY_STATES, TRANSITIONS, State

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- diagram: made by tests/generate/diagram.py -->\n", "<!-- end of diagram -->\n"


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction TB"]
    lines += [f'    state "{state.value.replace(":", ",")}" as {state.name}' for state in State]
    lines.append(f"    [*] --> {State.WAITING_FOR_SERVICENET.name}")
    for state, transitions in TRANSITIONS.items():
        for condition, target in transitions:
            code = f" / exit {EXITS[condition][0]}" if target is State.STOPPED else ""
            lines.append(f"    {state.name} --> {target.name}: {condition.value}{code}")
    lines += [
        "    classDef ready fill:#dff0d8,stroke:#3c763d,color:#1b3a1c",
        f"    class {','.join(state.name for state in State if state in READY_STATES)} ready",
        "```",
    ]
    return "\n".join(lines) + "\n"


def in_readme(text: str) -> str:
    """What stands between the markers of *text*."""
    return text.partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(in_readme(text), mermaid()), encoding="utf-8")
    else:
        sys.stdout.write(mermaid())
