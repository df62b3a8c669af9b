"""Reads the settings' files: fragments, as they were written, with their lines.

Every mistake is a `ConfigError` of one line that names file, line, key and what to do. PyYAML is
loaded only where there is a file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.files import read_bounded
from rcnetd.basic.text import printable

if TYPE_CHECKING:
    from rcnetd.basic.chroot_files import Chroot

MAX_SIZE = 64 * 1024  # bytes of one file
VENDOR = "/usr/lib/rcnetd"


class ConfigError(Exception):
    """The administrator's mistake, in one line: where, what, and what to do. Exit code 78."""


@dataclass(frozen=True)
class Input:
    """One value as it was written. *value* is a `str`, a list of them, or None for null."""

    value: str | list[str] | None
    path: Path
    line: int
    quoted: bool = False


def find(environ: Mapping[str, str], tree: Chroot | None = None) -> list[Path]:
    """The files in the usual directories of this host or of *tree*, in the order of reading.

    `rcnetd.yaml` is taken from the first of /etc, /run and /usr/lib that has it, and then all of
    `conf.d/*.yaml` in the order of their names, a file in /etc hiding one of the same name in /run
    or /usr/lib (an empty file or a link to /dev/null masks). CONFIGURATION_DIRECTORY and
    RUNTIME_DIRECTORY in *environ* stand for /etc/rcnetd and /run/rcnetd.
    """
    directories = [
        environ.get("CONFIGURATION_DIRECTORY") or "/etc/rcnetd",
        environ.get("RUNTIME_DIRECTORY") or "/run/rcnetd",
        VENDOR,
    ]
    tops = [Path("/", entry.split(":")[0]) for entry in directories]
    try:
        mains = [path for path in (top / "rcnetd.yaml" for top in tops) if _target(path, tree)]
        drop_ins: dict[str, Path] = {}
        for top in reversed(tops):
            drop_ins.update((path.name, path) for path in _drop_ins(top / "conf.d", tree))
        found = mains[:1] + [drop_ins[name] for name in sorted(drop_ins)]
        return [path for path in found if _target(path, tree) != Path(os.devnull)]
    except OSError as error:
        raise ConfigError(f"Failed to read '{error.filename}': {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _target(path: Path, tree: Chroot | None) -> Path | None:
    """Where a path leads, None if there is nothing. Raises `OSError`."""
    if tree is None:
        return path.resolve() if path.exists() else None
    try:
        with tree.locate(str(path), follow=False) as link:
            if link.readlink() == os.devnull:  # an image may have no devices
                return Path(os.devnull)
        with tree.locate(str(path)) as place:
            return Path(place.path) if place.exists() else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _drop_ins(directory: Path, tree: Chroot | None) -> list[Path]:
    if tree is None:
        return sorted(directory.glob("*.yaml"))
    names = ("*.yaml", ".*.yaml")  # as above, hidden ones too
    return sorted(Path(path) for name in names for path in tree.glob(f"{directory}/{name}"))


def read(
    path: Path, known: Collection[str], groups: Sequence[str], tree: Chroot | None = None
) -> dict[str, Input]:
    """The values of one file by their dotted keys, which are in *known*; *groups* are mappings.

    The file is this host's, or that of *tree*.
    """
    import yaml

    inside, path = path, path if tree is None else Path(tree.shown(str(path)))
    try:
        data = tree.read(str(inside), MAX_SIZE)[0] if tree else read_bounded(path, MAX_SIZE)
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}': is not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise ConfigError(f"{error}; settings are a small text file") from None
    except OSError as error:
        raise ConfigError(f"Failed to read '{path}': {error.strerror}") from None
    try:
        # Nodes, not values: they know their lines, and "no" and "off" stay the words they are.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"'{path}'{line}: is not YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"'{path}': is nested too deeply; see rcnetd.yaml(5)") from None
    inputs: dict[str, Input] = {}
    if node is not None:
        _collect(node, "", path, inputs, known, groups)
    return inputs


def _collect(
    node: Any,
    prefix: str,
    path: Path,
    inputs: dict[str, Input],
    known: Collection[str],
    groups: Sequence[str],
) -> None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        what = f"{prefix[:-1]}: " if prefix else ""
        raise _error(path, node, f"{what}must be a mapping of keys to values")
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = prefix + str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        if key in seen:
            raise _error(path, key_node, f"{key}: is set twice; remove one")
        seen.add(key)
        if key in groups:
            if not _is_null(value_node):
                _collect(value_node, f"{key}.", path, inputs, known, groups)
        elif key in known:
            inputs[key] = Input(
                _plain(value_node, key, path),
                path,
                value_node.start_mark.line + 1,
                quoted=getattr(value_node, "style", None) in ("'", '"'),
            )
        else:
            names = [*known, *groups]
            raise _error(path, key_node, f"{key}: is not a setting{_nearest(key, names)}")


def _plain(node: Any, key: str, path: Path) -> str | list[str] | None:
    import yaml

    if _is_null(node):
        return None
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(
        isinstance(entry, yaml.ScalarNode) for entry in node.value
    ):
        return [str(entry.value) for entry in node.value]
    raise _error(path, node, f"{key}: must be a value or a list of values")


def _is_null(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _error(path: Path, node: Any, text: str) -> ConfigError:
    return ConfigError(f"'{path}' line {node.start_mark.line + 1}: {one_line(text)}")


def _nearest(word: str, words: Iterable[str]) -> str:
    from difflib import get_close_matches

    words = [name for name in words if not word.startswith(f"{name}.")]
    by_tail = {name.rpartition(".")[2]: name for name in words}
    near = get_close_matches(word, words, 1, 0.6) or [
        by_tail[tail] for tail in get_close_matches(word.rpartition(".")[2], list(by_tail), 1, 0.8)
    ]
    return f"; did you mean '{near[0]}'?" if near else "; rcnetd.yaml(5) lists them"


def one_line(text: str) -> str:
    """*text* on one line of at most 300 characters."""
    return printable(text[:300])
