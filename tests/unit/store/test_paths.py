"""Where the daemon's files are."""

from __future__ import annotations

from pathlib import Path

from rcnetd.store.paths import Places


def test_the_usual_places() -> None:
    """Without systemd's word, the documented paths."""
    places = Places.from_environ({})

    assert Path("/run/rcnetd/status.json") == places.status
    assert Path("/run/rcnetd/route.json") == places.route
    assert Path("/run/rcnetd/removed.json") == places.removed
    assert Path("/run/rcnetd/requests") == places.requests
    assert Path("/run/rcnetd/timeline.jsonl") == places.timeline
    assert Path("/run/rcnetd/lock") == places.lock
    assert Path("/var/lib/rcnetd") == places.state
    assert Path("/run/rcnetd-instance/instance.json") == places.instance
    assert Path("/run/rcnetd-persist/persist.json") == places.persisted
    assert Path("/var/lib/rcnetd-persist") == places.undo


def test_systemds_directories_come_first() -> None:
    """RUNTIME_DIRECTORY and STATE_DIRECTORY, the first of several."""
    places = Places.from_environ(
        {"RUNTIME_DIRECTORY": "/a:/b", "STATE_DIRECTORY": "/c", "RCNETD_INSTANCE": "/d"}
    )

    assert (Path("/a"), Path("/c"), Path("/d")) == (places.run, places.state, places.instance)


def test_the_places_of_an_image() -> None:
    """Below its directory, wherever they are."""
    places = Places.from_environ({})
    assert places is places.below(Path("/"))
    assert Path("/image/var/lib/rcnetd-persist") == places.below(Path("/image")).undo
