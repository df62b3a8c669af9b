"""`rcnetctl analyze`: its text, its JSON, and where it writes the picture."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rcnetd.ctl.main import main
from tests.conftest import missing
from tests.support.timelines import BOOT, RESTARTED, lines, repair

TEXT = """\
Route in effect 6.000s, ready 12.000s after rcnetd's start (40.000s after boot).

                                                 began  took
  waiting for ServiceNet                        0.000s  1.000s
  waiting to know who configures the network    1.000s  1.000s
  waiting for the gateway to be assigned        2.000s  3.500s
  switching the default route                   5.500s  0.500s
  route in effect, waiting for the automation   6.000s  6.000s
  ready, guarding the default route            12.000s  0.000s

                       sent  answers
  automation_features     2  1 × Configure Network Stack not enabled, 1 × failed, in 250 / 375 / 500 ms
  gateway_ip              2  1 × not assigned yet (404), 1 × 10.180.31.254, in 250 / 250 / 250 ms
  automation_status       1  1 × DEPLOYED, in 250 / 250 / 250 ms

  5.750s  added x
  5.750s  removed y
"""  # noqa: E501


@pytest.fixture
def timeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the daemon's timeline."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path / "timeline.jsonl"


def test_what_a_person_sees(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Aligned, without colour in a pipe."""
    timeline.write_text("\n".join(lines(BOOT)))

    assert 0 == main(["analyze"])
    assert TEXT == capsys.readouterr().out


def test_restarts_and_what_is_not_over(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first lines say so."""
    timeline.write_text("\n".join(lines(RESTARTED)))
    assert 0 == main(["analyze"])
    assert "after boot); started 2 times.\n" in capsys.readouterr().out

    timeline.write_text("\n".join(lines(BOOT[:15])))
    assert 0 == main(["analyze"])
    assert "(40.000s after boot), not ready yet.\n" in capsys.readouterr().out

    timeline.write_text("\n".join(lines(BOOT[1:3])))
    assert 0 == main(["analyze"])
    out = capsys.readouterr().out
    assert out.startswith("Not ready 0.000s after rcnetd's start (41.000s after boot).\n")
    assert "The beginning is missing" in out


def test_many_changes_are_summed_up(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fight over the route does not fill the screen."""
    changes = [{"at": 50.0 + n, "event": "change", "text": "added x"} for n in range(70)]
    timeline.write_text("\n".join(lines([*BOOT, *changes])))

    assert 0 == main(["analyze"])
    assert "\n  and 60 more changes\n" in capsys.readouterr().out


def test_repairs_are_counted_by_kind(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line of the timeline may stand for several repairs."""
    timeline.write_text("\n".join(lines([*BOOT, repair(60.0, "lost", 1)])))
    assert 0 == main(["analyze"])
    assert "  The route was repaired once (1 lost).\n" in capsys.readouterr().out

    more = [repair(60.0, "lost", 3), repair(61.0, "takeover", 4)]
    timeline.write_text("\n".join(lines([*BOOT, *more])))
    assert 0 == main(["analyze"])
    text = "repaired 4 times (3 lost, 1 taken over by another route)."
    assert text in capsys.readouterr().out


def test_for_programs(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times are seconds, or null."""
    timeline.write_text("\n".join(lines(BOOT)))

    assert 0 == main(["analyze", "--format", "json"])
    content = json.loads(capsys.readouterr().out)
    assert (1, 6.0, 12.0) == (content["version"], content["route"], content["ready"])


def test_the_picture(timeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written to a file, or to standard output."""
    timeline.write_text("\n".join(lines(BOOT)))
    path = tmp_path / "boot.svg"

    assert 0 == main(["analyze", "--plot", str(path)])
    assert "" == capsys.readouterr().out
    for name in ("-", "/dev/stdout"):
        assert 0 == main(["analyze", "--plot", name])
        assert path.read_text() == capsys.readouterr().out
    ElementTree.parse(path)
    assert 0o644 == path.stat().st_mode & 0o777


def test_a_picture_does_not_replace_a_link(timeline: Path, tmp_path: Path) -> None:
    """The link's target is written, whether or not it exists."""
    timeline.write_text("\n".join(lines(BOOT)))
    link, target = tmp_path / "link.svg", tmp_path / "there/boot.svg"
    target.parent.mkdir()
    link.symlink_to("there/boot.svg")

    for _ in range(2):
        assert 0 == main(["analyze", "--plot", str(link)])
        assert link.is_symlink()
        assert target.read_text().startswith("<svg")
        target.write_text("old")


def test_a_picture_does_not_replace_a_device_or_a_pipe(timeline: Path, tmp_path: Path) -> None:
    """`--plot /dev/null` by root must not turn it into a file."""
    timeline.write_text("\n".join(lines(BOOT)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    assert 0 == main(["analyze", "--plot", str(pipe)])
    assert reader.communicate()[0].startswith("<svg")
    assert pipe.is_fifo()

    if os.geteuid() != 0:
        missing("netns", "making a device needs root")
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / "null.svg").symlink_to(device)
    for path in (device, tmp_path / "null.svg"):
        assert 0 == main(["analyze", "--plot", str(path)])
        assert device.is_char_device()


def test_a_device_that_is_full(timeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    timeline.write_text("\n".join(lines(BOOT)))

    assert 1 == main(["analyze", "--plot", "/dev/full"])
    error = "rcnetctl: Failed to write '/dev/full': No space left on device\n"
    assert error == capsys.readouterr().err
    assert Path("/dev/full").is_char_device()


def test_a_picture_that_cannot_be_written(
    timeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line."""
    timeline.write_text("\n".join(lines(BOOT)))

    assert 1 == main(["analyze", "--plot", "/nonexistent/boot.svg"])
    error = capsys.readouterr().err
    assert "rcnetctl: Failed to write '/nonexistent/boot.svg': No such file or directory\n" == error


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 3, "'systemctl start rcnetd'"),
        ("", 1, "contains no events"),
        ("\x00garbage\n{}\n", 1, "contains no events"),
        ("x" * 1100000, 1, "is larger than"),
    ],
)
def test_nothing_to_tell(
    timeline: Path, capsys: pytest.CaptureFixture[str], text: str | None, code: int, words: str
) -> None:
    """One line says why."""
    if text is not None:
        timeline.write_text(text)

    assert code == main(["analyze"])
    out, error = capsys.readouterr()
    assert ("", 1) == (out, error.count("\n"))
    assert words in error
