"""A boot as a picture: an SVG, light or dark, in the manner of `systemd-analyze plot`. Pure.

It has a row for each state and each operation, and marks for single events below them. Bars that
share a pixel are merged, so that an hour of polls makes no larger file than a minute of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from rcnetd.ctl.analysis import STATES, Analysis, Mark, Request

WIDTH, LEFT, RIGHT = 1100, 310, 90  # pixels
TOP, ROW, BAR, LABEL = 84, 24, 14, 17
CHARACTER = 6.6  # pixels, of the labels' font
MAX_MARKS, MAX_TEXT_LENGTH = 24, 70
AFTERWARDS = 1.08  # the picture ends at this multiple of the time to READY

TONES = {
    "READY": "good",
    "READY_UNMANAGED": "good",
    "NOT_OURS": "good",
    "FAILED": "bad",
    "STOPPED": "bad",
    "CHECKING_GATEWAY": "work",
    "APPLYING_ROUTE": "work",
}
STATUS_TONES = {"DEPLOYING": "wait", "FAILED": "bad", "UNPROCESSABLE": "bad"}
LEGEND = (
    ("wait", "waiting"),
    ("work", "working"),
    ("good", "ready; answered"),
    ("bad", "failed"),
)
STYLE = """\
svg { background: #fff; font: 12px system-ui, sans-serif; }
/* A rim in the background's colour keeps lines from crossing a text. */
text { fill: #222; stroke: #fff; stroke-width: 3px; paint-order: stroke; }
.faint { fill: #666; } .title { font-size: 16px; font-weight: 600; }
.grid { stroke: #ddd; } .line { stroke: #888; }
.wait { fill: #d9a514; } .work { fill: #2f6fc4; } .good { fill: #2e8540; } .bad { fill: #c8352b; }
.mark { stroke-dasharray: 2 3; stroke: #888; }
@media (prefers-color-scheme: dark) {
svg { background: #16191d; } text { fill: #e8e8e8; stroke: #16191d; } .faint { fill: #a0a6ad; }
.grid { stroke: #33383f; } .line { stroke: #8a9099; } .mark { stroke: #8a9099; }
.wait { fill: #e3b341; } .work { fill: #6ca4f0; } .good { fill: #56b36b; } .bad { fill: #ee6a5f; }
}
"""
Bar_ = tuple[float, float, str]  # from, to (seconds), tone


def picture(found: Analysis, *, everything: bool = False) -> str:
    """Return the SVG. It ends soon after READY unless *everything* is asked for."""
    return _Picture(found, everything=everything).svg()


class _Picture:
    def __init__(self, found: Analysis, *, everything: bool) -> None:
        self._found = found
        end = found.end
        if found.ready_at is not None and not everything:
            end = min(end, found.begin + (found.ready_at - found.begin) * AFTERWARDS + 0.05)
        self._end = max(end, found.begin + 0.001)
        self._scale = (WIDTH - LEFT - RIGHT) / (self._end - found.begin)
        self._parts: list[str] = []
        self._y = TOP

    def svg(self) -> str:
        rows = list(self._states()) + list(self._operations())
        bottom = TOP + ROW * len(rows) + 6
        lines, labels, height = self._marks(bottom)
        self._head()
        self._axis(bottom)
        self._parts += lines
        for name, bars, note in rows:
            self._row(name, list(bars), note)
        self._parts += labels
        self._legend(height)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + 34}"'
            f' width="{WIDTH}" height="{height + 34}" role="img">\n'
            f"<title>{escape(self._title())}</title>\n<style>\n{STYLE}</style>\n"
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )

    def _x(self, at: float) -> float:
        return LEFT + (min(max(at, self._found.begin), self._end) - self._found.begin) * self._scale

    # Rows

    def _states(self) -> Iterator[tuple[str, Iterable[Bar_], str]]:
        found = self._found
        spans = [span for span in found.spans if span.begin < self._end]
        for state in dict.fromkeys(span.state for span in spans):
            bars = [
                (span.begin, found.end if span.end is None else span.end, TONES.get(state, "wait"))
                for span in spans
                if span.state == state
            ]
            took = sum(end - begin for begin, end, _ in bars)
            note = "" if TONES.get(state) in ("good", "bad") else _seconds(took)
            yield STATES[state], bars, note

    def _operations(self) -> Iterator[tuple[str, Iterable[Bar_], str]]:
        requests = [request for request in self._found.requests if request.begin < self._end]
        for operation in dict.fromkeys(request.operation for request in requests):
            mine = [request for request in requests if request.operation == operation]
            bars = [
                (request.begin, self._end if request.end is None else request.end, _tone(request))
                for request in mine
            ]
            yield operation, bars, f"{len(mine)} requests"

    def _row(self, name: str, bars: list[Bar_], note: str) -> None:
        middle = self._y + ROW / 2
        self._text(LEFT - 10, middle + 4, name[:MAX_TEXT_LENGTH], anchor="end")
        last = 0.0
        for left, right, tone in self._merged(bars):
            self._parts.append(
                f'<rect class="{tone}" x="{left:.1f}" y="{middle - BAR / 2:.1f}"'
                f' width="{right - left:.1f}" height="{BAR}" rx="1.5"/>'
            )
            last = right
        if note:
            self._text(last + 6, middle + 4, note, "faint")
        self._y += ROW

    def _merged(self, bars: list[Bar_]) -> Iterator[tuple[float, float, str]]:
        """The bars in pixels, at least two wide; touching neighbours of one tone are merged."""
        pending: tuple[float, float, str] | None = None
        for begin, end, tone in sorted(bars):
            left = self._x(begin)
            right = max(self._x(end), left + 2)
            if pending and left <= pending[1] + 0.5 and (tone == pending[2] or right <= pending[1]):
                pending = (pending[0], max(right, pending[1]), pending[2])
                continue
            if pending:
                yield pending
                left = max(left, pending[1])
            pending = (left, max(right, left + 1), tone)
        if pending:
            yield pending

    # Marks

    def _marks(self, bottom: float) -> tuple[list[str], list[str], float]:
        """The marks with their labels, each in the first line below *bottom* with room for it."""
        lines: list[str] = []
        labels: list[str] = []
        ends: list[float] = []
        marks = [mark for mark in self._found.marks if mark.at <= self._end]
        for mark in marks[:MAX_MARKS]:
            x, text = self._x(mark.at), _label(mark)
            width = len(text) * CHARACTER
            # A label that would leave the picture on the right is put to the left of its line.
            is_left = x + 6 + width > WIDTH - 4
            left = x - 6 - width if is_left else x + 6
            line = next((n for n, end in enumerate(ends) if end + 8 <= left), len(ends))
            if line == len(ends):
                ends.append(0.0)
            ends[line] = max(left + width, x)
            y = bottom + 20 + line * LABEL
            tone = {"ready": "good", "error": "bad"}.get(mark.kind, "faint")
            lines.append(f'<line class="mark" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}"/>')
            anchor = "end" if is_left else "start"
            labels.append(_text(x - 6 if is_left else x + 6, y, text, tone, anchor))
        height = bottom + 20 + len(ends) * LABEL
        if len(marks) > MAX_MARKS:
            text = f"and {len(marks) - MAX_MARKS} more events"
            labels.append(_text(LEFT, height, text, "faint"))
            height += LABEL
        return lines, labels, height

    # Title, axis, legend

    def _title(self) -> str:
        found = self._found
        ready = f"ready after {_seconds(found.ready_at - found.begin)}" if found.ready_at else ""
        route = ""
        if found.route_at is not None:
            route = f"route in effect after {_seconds(found.route_at - found.begin)}"
        said = ", ".join(part for part in (route, ready) if part) or "not ready"
        return f"rcnetd {found.version}: {said}"

    def _head(self) -> None:
        found = self._found
        self._text(20, 30, self._title(), "title")
        more = f", started {found.starts} times" if found.starts > 1 else ""
        cut = "; the beginning is missing" if found.is_cut else ""
        text = f"0 is the start of rcnetd, {_seconds(found.begin)} after the kernel's{more}{cut}"
        self._text(20, 50, text, "faint")

    def _axis(self, bottom: float) -> None:
        step = _step(self._end - self._found.begin)
        count = int((self._end - self._found.begin) / step + 1e-9)
        for number in range(count + 1):
            x = self._x(self._found.begin + number * step)
            self._parts.append(
                f'<line class="grid" x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom:.1f}"/>'
            )
            self._text(x, TOP - 8, _tick(number * step, step), "faint", "middle")

    def _legend(self, height: float) -> None:
        x = float(LEFT)
        for tone, text in LEGEND:
            self._parts.append(
                f'<rect class="{tone}" x="{x:.1f}" y="{height + 8:.1f}" width="12" height="12"/>'
            )
            self._text(x + 18, height + 18, text)
            x += 36 + len(text) * CHARACTER

    def _text(self, x: float, y: float, text: str, tone: str = "", anchor: str = "start") -> None:
        self._parts.append(_text(x, y, text, tone, anchor))


def _text(x: float, y: float, text: str, tone: str = "", anchor: str = "start") -> str:
    tone = f' class="{tone}"' if tone else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{tone} x="{x:.1f}" y="{y:.1f}"{where}>{escape(text)}</text>'


def _tone(request: Request) -> str:
    if request.end is None:
        return "wait"
    if request.outcome == "ok":
        return STATUS_TONES.get(request.status, "good")
    return "wait" if request.outcome == "not-assigned" else "bad"


def _label(mark: Mark) -> str:
    text = mark.text if mark.kind != "ready" else "READY"
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[: MAX_TEXT_LENGTH - 1]}…"


def _step(seconds: float) -> float:
    """The distance between two ticks, for about ten of them at round numbers."""
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200,
                 1800, 3600, 7200, 14400, 43200):  # fmt: skip
        if seconds / step <= 11:
            return step
    return 86400.0 * (int(seconds / 86400 / 11) + 1)


def _tick(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.2f} s" if step < 0.1 else f"{seconds:.1f} s"
    if step < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if step < 7200 else f"{seconds / 3600:.0f} h"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3f} s" if seconds < 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
