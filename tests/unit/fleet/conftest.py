"""A cloud on loopback, and the command run against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.openstack import OpenStack, Region, write_clouds

Serve = Callable[..., OpenStack]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serve]:
    """Starts a cloud with these regions; clouds.yaml has it as `lab`, and what else is given."""
    started: list[OpenStack] = []
    listed: dict[str, Any] = {}

    def start(
        name: str = "lab", settings: dict[str, Any] | None = None, **regions: Region | None
    ) -> OpenStack:
        cloud = OpenStack(regions)
        started.append(cloud)
        listed[name] = {**cloud.settings(), **(settings or {})}
        write_clouds(tmp_path / "clouds.yaml", listed)
        return cloud

    for name in ("OS_CLOUD", "OS_REGION_NAME", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    yield start
    for cloud in started:
        cloud.stop()
