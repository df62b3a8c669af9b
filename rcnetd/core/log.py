"""One limiter for every line that would repeat itself. Pure.

A message says something once; its return is no news. Where the text has changed it is another
message. How many there can be is bounded: what makes them differ may be made by somebody else.
"""

from __future__ import annotations

from rcnetd.core.actions import Action, Log

MAX_MESSAGES = 200  # different ones; then no more until `forget`


class OnceLog:
    """Turns messages into `Log` actions, each the first time only."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def once(self, level: str, text: str) -> list[Action]:
        """The action that logs *text*, or none if it was logged before."""
        if text in self._said or len(self._said) >= MAX_MESSAGES:
            return []
        self._said.add(text)
        return [Log(level, text)]

    def over(self, *texts: str) -> None:
        """Note that these are over: if they come again, they are news again."""
        self._said.difference_update(texts)

    def forget(self) -> None:
        """Say everything again: the settings are others."""
        self._said.clear()
