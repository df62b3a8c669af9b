"""The README is short, and what it names exists. It is the source of nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rcnetd.config.load import load
from rcnetd.core.settings import Settings
from rcnetd.ctl import main as cli
from rcnetd.daemon import main as daemon
from rcnetd.emulator.faults import FAULTS
from tests.boot import matrix
from tests.generate import traffic
from tests.netns import worlds

TREE = Path(__file__).parents[2]
TEXT = (TREE / "README.md").read_text(encoding="utf-8")
MAX_LINES, MAX_COLUMNS = 250, 120
PAGES = (
    "README.md",
    ".github/CONTRIBUTING.md",
    "packaging/RELEASING.md",
    "rcnetd/ARCHITECTURE.md",
    *(f"tests/{part}README.md" for part in ("", "boot/", "bench/", "consumers/", "vm/")),
)


def test_it_is_short() -> None:
    """A page that is read to its end."""
    lines = TEXT.splitlines()

    assert len(lines) <= MAX_LINES
    assert [] == [line for line in lines if len(line) > MAX_COLUMNS]


@pytest.mark.parametrize("page", PAGES)
def test_every_path_exists(page: str) -> None:
    """Scripts, modules, and the targets of links."""
    path = TREE / page
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?:^ {4}|`)((?:packaging|tests|rcnetd|systemd)/[\w./-]+)", text, re.M)
    linked = re.findall(r"\]\(([^)#:]+)\)|^\[\w+\]: (\S+)", text, re.M)

    assert [] == [name for name in named if "NAME" not in name and not (TREE / name).exists()]
    assert [] == [a or b for a, b in linked if not (path.parent / (a or b)).exists()]


def test_every_module_of_the_architecture_exists() -> None:
    """The page names them as paths below rcnetd/."""
    text = (TREE / "rcnetd/ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?!tests/)[a-z_]+/[\w/]+\.py)", text)

    assert named
    assert [] == [name for name in named if not (TREE / "rcnetd" / name).exists()]


def test_every_man_page_exists() -> None:
    """As section and name."""
    pages = {f"{name}.{section}" for name, section in re.findall(r"(rcnet[\w.-]+)\((\d)\)", TEXT)}

    assert pages == {path.stem for path in (TREE / "packaging/man").glob("*.rst")}


def test_every_command_is_named_and_has_its_options() -> None:
    """All commands of rcnetctl, and no option that a command does not have."""
    for command in cli.COMMANDS:
        assert re.search(rf"`(rcnetctl )?{command}\b", TEXT)
    for command, rest in re.findall(r"rcnetctl (\w+)((?: --?[a-z]+(?: [\w\\|]+)?)*)", TEXT):
        assert command in cli.COMMANDS
        for option in re.findall(r"--[a-z]+", rest):
            assert option in cli.command_parser(command).format_help()
    assert "`rcnetd --check`" in TEXT
    assert "--check" in daemon.parser().format_help()
    fault, *others = re.findall(r"packaging/demo --fault ([\w-]+)", TEXT)
    assert fault in FAULTS
    assert others == []


def test_the_settings_are_the_defaults(tmp_path: Path) -> None:
    """The block, read as a settings file."""
    path = tmp_path / "rcnetd.yaml"
    path.write_text(TEXT.partition("<!-- settings -->\n```yaml\n")[2].partition("```")[0])

    assert path.read_text()
    assert Settings() == load([path], environ={})


def test_the_output_is_of_a_complete_boot() -> None:
    """Captured from a run that succeeded."""
    output = TEXT.partition("```text\n")[2].partition("```")[0]

    assert "systemd   READY=1" in output
    assert "done: READY=1 was sent, the kernel uses the route" in output


def test_the_picture_is_up_to_date() -> None:
    """`python -m tests.generate.traffic --write` updates it."""
    text = traffic.PICTURE.read_text(encoding="utf-8")

    assert traffic.svg() == text
    assert ET.fromstring(text).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in text
    assert traffic.PICTURE.relative_to(TREE).as_posix() in TEXT


def test_the_table_of_boots_is_of_all_boots() -> None:
    """A complete `tests/run boot` has written it, and every boot succeeded."""
    assert matrix.table(dict.fromkeys(matrix.PLANNED, True)) == matrix.IN_README.text


def test_the_table_of_worlds_is_of_all_worlds() -> None:
    """A complete `tests/run netns` has written it."""
    assert worlds.table(worlds.PLANNED) == worlds.IN_README.text
