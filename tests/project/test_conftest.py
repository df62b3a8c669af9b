"""What is missing on this machine is seen."""

from __future__ import annotations

import pytest

from tests.conftest import missing


def test_a_missing_tool_is_a_visible_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop a test that cannot run is skipped, with the reason."""
    monkeypatch.delenv("RCNETD_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no namespaces"):
        missing("netns", "no namespaces")
    monkeypatch.setenv("RCNETD_REQUIRE", "boot,lint")
    with pytest.raises(pytest.skip.Exception, match="no namespaces"):
        missing("netns", "no namespaces")


@pytest.mark.parametrize("words", ["netns", "boot,netns", "boot netns lint"])
def test_a_missing_tool_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """CI names what it must have."""
    monkeypatch.setenv("RCNETD_REQUIRE", words)
    with pytest.raises(
        pytest.fail.Exception, match="no namespaces, and RCNETD_REQUIRE has 'netns'"
    ):
        missing("netns", "no namespaces")
