"""What the packages say and carry: as the program is now."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rcnetd import __version__
from rcnetd.config import validate
from rcnetd.config.load import load
from rcnetd.core.settings import Settings
from rcnetd.core.states import EXITS
from rcnetd.ctl import main as cli
from rcnetd.daemon import main as daemon
from rcnetd.store.paths import Paths
from tests.conftest import missing
from tests.generate import completions

TREE = Path(__file__).parents[2]
PACKAGING, UNITS = TREE / "packaging", TREE / "systemd"

HIDDEN = {"--help", "--host", "--list"}  # how Ansible calls a script inventory


def page(name: str) -> str:
    """The source of a man page."""
    return (PACKAGING / "man" / f"{name}.rst").read_text(encoding="utf-8")


def test_one_version() -> None:
    """The program, both packages and the change log agree."""
    spec = (PACKAGING / "rpm" / "rcnetd.spec").read_text(encoding="utf-8")
    deb = (PACKAGING / "debian" / "changelog").read_text(encoding="utf-8")
    versions = {
        *re.findall(r'^version = "(.*)"', (TREE / "pyproject.toml").read_text(), re.MULTILINE),
        *re.findall(r"^Version: +(\S+)", spec, re.MULTILINE),
        *re.findall(r"> - (\S+)-1$", spec, re.MULTILINE)[:1],
        *re.findall(r"^rcnetd \((\S+)\)", deb, re.MULTILINE)[:1],
        *re.findall(r"^## \[(\d\S*)\]", (TREE / "CHANGELOG.md").read_text(), re.MULTILINE)[:1],
    }
    assert {__version__} == versions


@pytest.mark.parametrize("shell", completions.FILES)
def test_completions_are_made_from_the_parser(shell: str) -> None:
    """`python -m tests.generate.completions --write` updates them."""
    text = (completions.HERE / completions.FILES[shell]).read_text(encoding="utf-8")

    assert completions.completion(shell) == text


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "-n")])
def test_shells_take_their_completions(shell: str, check: str) -> None:
    """As far as the shell is here: its own syntax check."""
    if shutil.which(shell) is None:
        missing("shells", f"{shell} is not installed")
    subprocess.run([shell, check, completions.HERE / completions.FILES[shell]], check=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rcnetctl st", ["status"]),
        ("rcnetctl status --wait ", ["deployed", "route"]),
        ("rcnetctl gateway --format ", ["json", "text", "xml"]),
        ("rcnetctl emulate --fault-on gate", ["gateway_ip"]),
    ],
)
def test_bash_completes(line: str, expected: list[str]) -> None:
    """Commands and values, in a real bash."""
    script = """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        function=$(complete -p rcnetctl | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        "$function" rcnetctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    completion = completions.HERE / completions.FILES["bash"]
    done = subprocess.run(
        ["bash", "-c", script, "bash", completion, *line.split(" ")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert expected == sorted(done.stdout.split())


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All long options of a command line, with its subcommands'."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                if name not in ("demo", "emulate", "fleet"):  # the page points to their --help
                    found |= options(subparser)
    return {option for option in found if option.startswith("--")}


def section(name: str, title: str) -> str:
    """Return one section of a man page's source."""
    return page(name).partition(f"\n{title}\n{'=' * len(title)}\n")[2].partition("\n====")[0]


def exit_codes(name: str) -> set[int]:
    """Return the exit codes that a man page explains."""
    return {int(code) for code in re.findall(r"^(\d+)\n    ", section(name, "EXIT STATUS"), re.M)}


def epilog_codes(command: str) -> set[int]:
    """Return the exit codes that a command's help names."""
    text = (cli.command_parser(command).epilog or "").partition("Exit codes:")[2]
    return {int(code) for code in re.findall(r"\b\d+\b", text)}


def test_man_pages_have_every_option() -> None:
    """Those of the daemon, of rcnetctl with its commands, and of the fleet."""
    assert all(option in page("rcnetd.8") for option in options(daemon.parser()))
    assert all(option in page("rcnetctl.8") for option in options(completions.parser()))
    fleet = options(cli.command_parser("fleet"))
    assert all(f"\n{option}" in page("rcnetctl-fleet.8") for option in fleet - HIDDEN)
    emulate = options(cli.command_parser("emulate"))
    assert all(f"\n{option}" in page("rcnetd-emulator.5") for option in emulate - HIDDEN)


def test_man_pages_have_every_exit_code() -> None:
    """The daemon's are of the core's table; a command's are in its help."""
    given_up = {code for code, _ in EXITS.values()}

    assert {0, 1, os.EX_CONFIG} | given_up == exit_codes("rcnetd.8")
    pages = {"fleet": "rcnetctl-fleet.8", "emulate": "rcnetd-emulator.5"}
    for command in cli.COMMANDS:
        codes = epilog_codes(command)
        assert codes
        assert codes <= exit_codes(pages.get(command, "rcnetctl.8"))
    summary = cli.EXIT_CODES.partition("exit codes:")[2].partition("'")[0]
    assert {int(code) for code in re.findall(r"\b\d+\b", summary)} == exit_codes("rcnetctl.8")


def test_rcnetd_yaml_5_has_every_key_and_its_default(tmp_path: Path) -> None:
    """The defaults of the page, read as a settings file, are the defaults of the program."""
    entries = re.findall(r"^([a-z_.0-9]+)\n((?:    .*\n)+)", section("rcnetd.yaml.5", "KEYS"), re.M)
    lines: list[str] = []
    for key, text in entries:
        default = re.search(r"Default:\s+\*(.+?)\*\.", text)
        assert default, key
        group, _, inner = key.rpartition(".")
        if group and f"{group}:" not in lines:
            lines.append(f"{group}:")
        lines.append(f"{'  ' if group else ''}{inner}: {default[1]}")
    path = tmp_path / "rcnetd.yaml"
    path.write_text("\n".join(lines) + "\n")

    assert Settings() == load([path], environ={})
    assert list(validate.READERS) == [key for key, _ in entries]


def test_man_pages_name_every_file() -> None:
    """All that the daemon and rcnetctl write."""
    files = section("rcnetd.8", "FILES") + section("rcnetctl.8", "FILES")
    for path in Paths.from_environ({}).bound_to_this_machine:
        assert str(path) in files


@pytest.mark.parametrize("path", sorted((PACKAGING / "man").glob("*.rst")), ids=lambda p: p.stem)
def test_man_pages_render(path: Path, tmp_path: Path) -> None:
    """Without a warning of docutils' or groff's, and with a line for whatis(1)."""
    for tool in ("rst2man", "man"):
        if shutil.which(tool) is None:
            missing("man", f"{tool} is not installed")
    result = tmp_path / path.stem
    done = subprocess.run(
        ["rst2man", "--strict", path, result], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", result],
        capture_output=True, text=True, check=False,
        env={"MANWIDTH": "80", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    name = path.name.removesuffix(".rst").rpartition(".")[0]
    assert re.search(rf"NAME\n +{re.escape(name)} - [a-z]", done.stdout)


@pytest.mark.parametrize("path", sorted(UNITS.iterdir()), ids=lambda path: path.name)
def test_both_packages_carry_every_file(path: Path) -> None:
    """What is in `systemd/` is installed by both."""
    spec = (PACKAGING / "rpm" / "rcnetd.spec").read_text(encoding="utf-8")
    debian = (PACKAGING / "debian" / "rules").read_text(encoding="utf-8")
    debian += (PACKAGING / "debian" / "rcnetd.install").read_text(encoding="utf-8")
    patterns = (f"systemd/{path.name}", f"systemd/*{path.suffix}")

    for text in (spec, debian):
        assert any(pattern in text for pattern in patterns)


def test_the_preset_enables_what_can_be_enabled() -> None:
    """Every unit with an [Install] section, and both packages know them."""
    preset = (UNITS / "80-rcnetd.preset").read_text(encoding="utf-8")
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.path")):
        installs = "[Install]" in unit.read_text(encoding="utf-8")
        assert installs is (f"enable {unit.name}\n" in preset)


@pytest.mark.parametrize("pythons", [["python3"], ["python3.14", "python3.15"]])
def test_the_deb_has_one_copy_whatever_pythons_there_are(
    tmp_path: Path, pythons: list[str]
) -> None:
    """During a transition Debian has two, and `dh_auto_install` installs for each."""
    if shutil.which("make") is None:
        missing("lint", "no make here")
    shutil.copytree(PACKAGING, tmp_path / "packaging")
    shutil.copytree(UNITS, tmp_path / "systemd")
    shutil.copytree(PACKAGING / "debian", tmp_path / "debian")
    for python in pythons:
        modules = tmp_path / "debian/tmp/usr/lib" / python / "dist-packages/rcnetd"
        for name in ("core", "emulator", "fleet", "lab"):
            (modules / name).mkdir(parents=True)
    (tmp_path / "dh_install").symlink_to("/bin/true")
    subprocess.run(
        ["make", "--file=debian/rules", "override_dh_install"], cwd=tmp_path, check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip

    place = "usr/lib/python3/dist-packages/rcnetd"
    packages = {"rcnetd": ["core"], "rcnetd-emulator": ["emulator", "lab"],
                "rcnetd-fleet": ["fleet"]}  # fmt: skip
    for package, names in packages.items():
        found = (tmp_path / "debian" / package / place).iterdir()
        assert names == sorted(path.name for path in found)
    assert [] == [*(tmp_path / "debian/tmp").rglob("rcnetd")]
