"""From files to settings, and to the endpoint that they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcnetd.config.load import configuration, endpoint, load
from rcnetd.core.settings import Metadata, Settings


def test_files_are_merged_key_by_key(tmp_path: Path) -> None:
    """A later file wins where it says something, also inside a group."""
    (tmp_path / "a.yaml").write_text("region: dfw\ngateway: {onlink: true, check: false}\n")
    (tmp_path / "b.yaml").write_text("gateway: {check: true}\n")
    read = load([tmp_path / "a.yaml", tmp_path / "b.yaml"], environ={})

    assert (read.region, read.gateway.onlink, read.gateway.check) == ("dfw", True, True)


@pytest.mark.parametrize("region", ["dfw", "hkg", "iad", "lon", "ord", "syd"])
def test_the_endpoint_is_the_regions(region: str) -> None:
    """Each region has its own; the setting outranks what the platform says."""
    url = f"https://{region}.api.rackconnect.rackspace.com"

    assert url == endpoint(Settings(region=region), Metadata(region="ord"))
    assert url == endpoint(Settings(), Metadata(region=region))
    assert "https://10.0.0.1" == endpoint(Settings("dfw", "https://10.0.0.1"), Metadata())


def test_rackconnect_v3_needs_no_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked there, so no region is missed."""
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    v3 = Metadata(roles=("rackconnect:v3:1",))

    assert "" == configuration([tmp_path / "none.yaml"][:0], v3)[1]
