"""What the README promises is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from rcnetd.config.load import load
from rcnetd.core.settings import Settings
from rcnetd.ctl.main import COMMANDS
from rcnetd.emulator import scenario
from tests.boot import matrix

TREE = Path(__file__).parents[2]
TEXT = (TREE / "README.md").read_text(encoding="utf-8")


def block(begin: str, end: str) -> str:
    """The part of the README between two texts."""
    return TEXT[TEXT.index(begin) + len(begin) :].partition(end)[0]


def test_the_settings_are_the_defaults(tmp_path: Path) -> None:
    """The whole of the block, read as a settings file."""
    path = tmp_path / "rcnetd.yaml"
    path.write_text("region:" + block("```yaml\nregion:", "```"))

    assert Settings() == load([path], environ={})


def test_the_timeline_works() -> None:
    """The example of the emulator."""
    text = block("$ cat timeline.yaml\n", "    $ rcnetctl")

    assert "DEPLOYED" == scenario.parse(text).servers[0].state(20).status


def test_the_output_is_of_a_whole_boot() -> None:
    """Captured from a run that ended well."""
    assert "systemd   READY=1" in block("```text\n", "```")
    assert "done: READY came, the kernel uses the route" in block("```text\n", "```")


def test_every_command_is_there() -> None:
    """In the table of commands."""
    table = block("## rcnetctl", "## The request budget")

    assert all(re.search(rf"`(rcnetctl )?{command}\b", table) for command in COMMANDS)


def test_every_file_that_is_named_exists() -> None:
    """Scripts and modules."""
    for name in re.findall(r"`((?:packaging|tests|rcnetd)/[\w./]+)", TEXT):
        assert (TREE / name).exists(), name


def test_the_table_of_boots_is_of_all_boots() -> None:
    """A whole `tests/run boot` has written it, and every boot went well."""
    assert matrix.table(dict.fromkeys(matrix.PLANNED, True)) == matrix.in_readme(TEXT)
