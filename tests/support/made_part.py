"""A part of a page that a script writes, between two markers."""

from __future__ import annotations

from pathlib import Path


class MadePart:
    """The part of *page* between *begin* and *end*, each a line with its end, which stay."""

    def __init__(self, page: Path, begin: str, end: str) -> None:
        self._page, self._begin, self._end = page, begin, end

    @property
    def text(self) -> str:
        """The part as it is."""
        return self._split()[1]

    @text.setter
    def text(self, text: str) -> None:
        before, _, after = self._split()
        self._page.write_text(f"{before}{self._begin}{text}{self._end}{after}", encoding="utf-8")

    def _split(self) -> tuple[str, str, str]:
        before, _, rest = self._page.read_text(encoding="utf-8").partition(self._begin)
        part, end, after = rest.partition(self._end)
        assert end, f"{self._page} has lost its markers"
        return before, part, after
