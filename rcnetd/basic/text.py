"""Text for people: lengths of time, and foreign text on one line."""

from __future__ import annotations

import re

SHOWN = 80  # characters of a remote string that are shown
UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(seconds: float) -> str:
    """A length of time for people: `0.4s`, `12s`, `2min 5s`, `1h 3min`."""
    if seconds < 1:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}min {whole % 60}s"
    return f"{whole // 3600}h {whole % 3600 // 60}min"


def read_duration(text: str) -> float:
    """Seconds from `90s`, `5min`, `1h`, `250ms` or a number. Raises `ValueError`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]*)", text.strip())
    if match is None or (match[2] or "s") not in UNITS:
        raise ValueError(f"'{text}' is not a length of time; use 90s, 5min, 1h or seconds")
    return float(match[1]) * UNITS[match[2] or "s"]


def printable(text: str) -> str:
    """*text* as a terminal may show it, on one line.

    Control characters, line ends, bidirectional and invisible marks, and surrogates are blanks.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def plain(text: str, most: int) -> str:
    """*text* as `printable`, with single blanks, cut to *most* characters."""
    if len(text) <= most and text.isprintable() and "  " not in text and text == text.strip():
        return text
    return " ".join(printable(text[: 4 * most]).split())[:most]


def quoted(text: str) -> str:
    """A remote string as it is shown: in single quotes, one line, cut to 80 characters."""
    return f"'{plain(text, SHOWN)}'"
