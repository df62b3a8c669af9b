"""What was measured: figures, their medians and ratios, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

HEAD = ("measure", "who", "n", "median", "p99", "to ours")


@dataclass(frozen=True)
class Figure:
    """One contender's values. *text* stands for values where there can be none."""

    who: str
    values: Sequence[float] = ()
    unit: str = "ms"
    text: str = ""

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """What 99 of a hundred are below of; the worst of fewer."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


@dataclass(frozen=True)
class Measure:
    """A row of the table: ours first, then the references of the same run."""

    title: str
    goal: str
    figures: Sequence[Figure]
    notes: list[str] = field(default_factory=list)

    def ratio(self, figure: Figure) -> float | None:
        """*figure* as a multiple of ours; None where there is no such thing."""
        ours = self.figures[0]
        if figure is ours or not figure.values or not ours.values or figure.unit != ours.unit:
            return None
        return figure.median / ours.median if ours.median else None

    def lines(self) -> list[tuple[str, ...]]:
        """The lines of the table."""
        found: list[tuple[str, ...]] = []
        for figure in self.figures:
            title = self.title if figure is self.figures[0] else ""
            if not figure.values:
                found.append((title, figure.who, "", figure.text, "", ""))
                continue
            p99 = f"{_short(figure.p99)}" if len(figure.values) >= 50 else ""
            ratio = self.ratio(figure)
            times = f"x {ratio:.2f}" if ratio is not None else ""
            median = f"{_short(figure.median)} {figure.unit}"
            found.append((title, figure.who, str(len(figure.values)), median, p99, times))
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "measure": self.title,
            "goal": self.goal,
            "notes": self.notes,
            "figures": [
                {
                    "who": figure.who,
                    "unit": figure.unit,
                    "values": [round(value, 6) for value in figure.values],
                    "median": round(figure.median, 6) if figure.values else None,
                    "p99": round(figure.p99, 6) if figure.values else None,
                    "ratio_to_ours": self.ratio(figure),
                    "text": figure.text,
                }
                for figure in self.figures
            ],
        }


def table(measures: Sequence[Measure]) -> str:
    """All measures, as Markdown that reads well as it is."""
    rows: list[tuple[str, ...]] = [HEAD]
    for measure in measures:
        rows += measure.lines()
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [
        f"{measure.title}: {note}."
        for measure in measures
        for note in [f"the goal is {measure.goal}", *measure.notes]
    ]
    return "\n".join([*lines, "", *notes])


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
