"""`rcnetctl metadata` collects, stores and shows the platform's metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rcnetd.ctl.main import main
from rcnetd.metadata import sources
from rcnetd.metadata.file import read


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the stored metadata."""
    path = tmp_path / "run/metadata.json"
    monkeypatch.setenv("RCNETD_METADATA", str(path))
    return path


def platform(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Replace the platform by one that reads a tree."""
    monkeypatch.setattr(sources.Platform.__init__, "__defaults__", (root,))


def test_it_is_asked_and_kept(
    root: Path, xenstore: Path, kept: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Written whole, readable by all, understood by the daemon; shown with its sources."""
    platform(monkeypatch, root)

    assert 0 == main(["metadata", "--write"])
    assert "dfw" == read(kept)[0].region
    assert 0o644 == kept.stat().st_mode & 0o777
    out, error = capsys.readouterr()
    assert "" == error
    assert "Region        dfw (xenstore)" in out
    assert "Roles         rack_connect, identity:user-admin" in out

    assert 0 == main(["metadata", "--json"])
    assert "dfw" == json.loads(capsys.readouterr().out)["region"]


def test_a_platform_that_says_nothing(
    tmp_path: Path, commands: Path, kept: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """This is not an error; each source that was tried is reported."""
    platform(monkeypatch, tmp_path)

    assert 0 == main(["metadata", "--write"])
    out, error = capsys.readouterr()
    assert "the platform says nothing about this server\n" == out
    assert 3 == len(error.splitlines())
    assert {"version": 1, "sources": {}} == json.loads(kept.read_text())


@pytest.mark.parametrize(
    ("text", "code"), [(None, 3), ("", 1), ("[]", 1), ("{", 1), ("[" * 5000, 1), ("{}", 0)]
)
def test_what_is_kept_may_be_anything(
    kept: Path, capsys: pytest.CaptureFixture[str], text: str | None, code: int
) -> None:
    """One line, never a traceback."""
    if text is not None:
        kept.parent.mkdir()
        kept.write_text(text)

    assert code == main(["metadata"])
    out, error = capsys.readouterr()
    assert 1 == len(out.splitlines()) + len(error.splitlines())


def test_a_place_that_cannot_be_written(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It adds one line and exits with 1."""
    platform(monkeypatch, tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("RCNETD_METADATA", str(tmp_path / "file/metadata.json"))

    assert 1 == main(["metadata", "--write"])
    assert "Failed to write" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("content", [{"region": ["dfw"]}, {"sources": [], "region": "dfw"}])
def test_odd_facts_are_shown_as_they_are(
    kept: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any]
) -> None:
    """The file need not be ours."""
    kept.parent.mkdir()
    kept.write_text(json.dumps(content))

    assert 0 == main(["metadata"])
    assert "Region        dfw (unknown source)" in capsys.readouterr().out
