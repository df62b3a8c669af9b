"""Where the daemon's files are."""

from __future__ import annotations

from pathlib import Path

from rcnetd.store.paths import Paths


def test_the_usual_places() -> None:
    """Without systemd's word, the documented paths."""
    paths = Paths.from_environ({})

    assert Path("/run/rcnetd/status.json") == paths.status
    assert Path("/run/rcnetd/route.json") == paths.route
    assert Path("/run/rcnetd/removed.json") == paths.removed
    assert Path("/run/rcnetd/requests") == paths.requests
    assert Path("/run/rcnetd/timeline.jsonl") == paths.timeline
    assert Path("/run/rcnetd/lock") == paths.lock
    assert Path("/var/lib/rcnetd") == paths.state
    assert Path("/run/rcnetd-metadata/metadata.json") == paths.metadata
    assert Path("/run/rcnetd-persist/persist.json") == paths.persisted
    assert Path("/var/lib/rcnetd-persist") == paths.undo


def test_systemds_directories_come_first() -> None:
    """RUNTIME_DIRECTORY and STATE_DIRECTORY, the first of several."""
    paths = Paths.from_environ(
        {"RUNTIME_DIRECTORY": "/a:/b", "STATE_DIRECTORY": "/c", "RCNETD_METADATA": "/d"}
    )

    assert (Path("/a"), Path("/c"), Path("/d")) == (paths.run, paths.state, paths.metadata)


def test_the_places_of_an_image() -> None:
    """Below its directory, wherever they are."""
    paths = Paths.from_environ({})
    assert paths is paths.below(Path("/"))
    assert Path("/image/var/lib/rcnetd-persist") == paths.below(Path("/image")).undo
