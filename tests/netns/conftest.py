"""The fixtures of `namespaces.py`, for every test here."""

from __future__ import annotations

from tests.netns.daemons import cloud
from tests.netns.namespaces import _privilege, namespace, namespaces, server, topology

__all__ = ["_privilege", "cloud", "namespace", "namespaces", "server", "topology"]
