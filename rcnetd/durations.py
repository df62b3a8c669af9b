"""Lengths of time for people."""

from __future__ import annotations


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
