"""Fixtures of more than one package's tests."""

from __future__ import annotations

from tests.support.platforms import commands, root, xenstore

__all__ = ["commands", "root", "xenstore"]
