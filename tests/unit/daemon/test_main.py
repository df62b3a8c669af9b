"""`rcnetd`'s start: settings, endpoint, lock; every mistake is one line and an exit code."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import endpoint
from rcnetd.core.settings import Metadata, Settings
from rcnetd.daemon.main import arguments, main


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories of the test's own, as systemd would name them; nothing else is touched."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RCNETD_METADATA", str(tmp_path / "metadata.json"))
    for name in ("JOURNAL_STREAM", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(directory: Path, text: str) -> str:
    """A settings file; its path."""
    path = directory / "rcnetd.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_a_region_the_ways_to_set_it_are_named(
    environ: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody guesses a region."""
    with pytest.raises(ConfigError, match="no region is known"):
        endpoint(Settings(), Metadata())

    (environ / "metadata.json").write_text("{}")
    assert 78 == main(["--config", write(environ, "persist: none\n")])
    lines = capfd.readouterr().err.splitlines()
    assert 1 == len(lines)
    assert all(word in lines[0] for word in ("'region'", "'endpoint'", "config drive"))


def test_metadata_that_is_not_there_yet_is_no_wrong_setting(
    environ: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """75, which systemd retries, and no word that would release whoever waits for the daemon."""
    (environ / "run").mkdir()

    assert 75 == main(["--config", write(environ, "persist: none\n")])
    lines = capfd.readouterr().err.splitlines()
    assert 1 == len(lines)
    assert "no region is known yet" in lines[0]
    assert str(environ / "metadata.json") in lines[0]
    assert [] == list((environ / "run").iterdir())


def test_a_malformed_setting_is_one_line(environ: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """File, line, key and the nearest right key; exit code 78, which systemd does not retry."""
    path = write(environ, "region: dfw\nregoin: dfw\n")
    (environ / "run").mkdir()

    assert 78 == main(["--config", path])
    lines = capfd.readouterr().err.splitlines()
    assert 1 == len(lines)
    assert all(word in lines[0] for word in (path, "line 2", "regoin:", "'region'"))
    status = json.loads((environ / "run" / "status.json").read_text())
    assert 78 == status["exit"]["code"]
    assert lines[0].endswith(status["exit"]["reason"])
    assert "\nrcnetd_exit_status 78\n" in (environ / "run" / "rcnetd.prom").read_text()


def test_by_hand_nothing_is_left_in_the_services_way(environ: Path) -> None:
    """A directory that root has made would be."""
    assert 78 == main(["--config", write(environ, "regoin: dfw\n")])
    assert not (environ / "run").exists()


def test_another_daemons_status_is_left_alone(environ: Path) -> None:
    """It runs; that this one could not begin is no news of it."""
    run = environ / "run"
    run.mkdir()
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert 78 == main(["--config", write(environ, "regoin: dfw\n")])

    assert not (run / "status.json").exists()


def test_a_second_daemon_does_not_start(
    environ: Path, capfd: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    """One daemon per host: the second says so, and touches nothing."""
    daemon = mocker.patch("rcnetd.daemon.loop.Daemon")
    (environ / "run").mkdir()
    with (environ / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # any lock of another process
        assert 1 == main(["--config", write(environ, "endpoint: http://10.0.0.1\n")])

    daemon.assert_not_called()
    text = capfd.readouterr().err
    assert "is already running" in text
    assert "not encrypted: anyone on its way can answer" in text
    assert [environ / "run" / "lock"] == list((environ / "run").iterdir())


def test_a_lock_that_cannot_be_had_is_one_line(
    environ: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file where the directory should be."""
    (environ / "run").write_text("in the way")

    assert 1 == main(["--config", write(environ, "region: dfw\n")])
    assert "Failed to lock" in capfd.readouterr().err


def test_broken_instance_data_is_a_warning(
    environ: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the platform says is never needed when the settings say it all."""
    (environ / "metadata.json").write_text(json.dumps({"region": "mars"}))
    (environ / "run").write_text("in the way")

    assert 1 == main(["--config", write(environ, "region: dfw\n")])
    lines = capfd.readouterr().err.splitlines()
    assert 2 == len(lines)
    assert "metadata.json" in lines[0]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As every program."""
    with pytest.raises(SystemExit) as caught:
        main([option])

    assert 0 == caught.value.code
    assert "rcnetd" in capsys.readouterr().out


def test_the_settings_can_be_checked(environ: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What `systemctl reload` does first: nothing is started, nothing is written."""
    assert 0 == main(["--check", "--config", write(environ, "region: dfw\n")])
    assert 78 == main(["--check", "--config", write(environ, "regoin: dfw\n")])
    assert "'region'" in capfd.readouterr().err
    assert not (environ / "run").exists()


def test_without_arguments_nothing_is_parsed() -> None:
    """As systemd starts us: what argparse would say, without it."""
    assert arguments([]) == arguments(["--debug"])._replace(debug=False, config=())
    assert arguments(["--check"]).check
