"""What every renderer promises, checked on made-up trees.

`RCNETD_EXAMPLES` is how many of them; a unit run takes few.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import HealthCheck, settings

from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.policy import taken_back
from rcnetd.hostconfig.renderers.marked_edits import BEGIN, END, HEADER, OFF, applied
from rcnetd.hostconfig.renderers.model import Changes, DefaultRoute, Target, Tree

examples = settings(
    max_examples=int(os.environ.get("RCNETD_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def survivors(before: bytes, after: bytes) -> list[bytes]:
    """The lines of *before* that were put out; fails if *after* lost or gained any other."""
    kept, put_out, ours = [], [], False
    for line in after.split(b"\n"):
        if line.strip() in (BEGIN.encode(), END.encode()):
            ours = line.strip() == BEGIN.encode()
            continue
        if not ours:
            kept.append(line.removeprefix(OFF.encode()))
            if line.startswith(OFF.encode()):
                put_out.append(kept[-1])
    assert not ours
    assert b"\n".join(kept) == before
    return put_out


def check(
    before: Tree,
    target: Target,
    patterns: Sequence[str],
    render: Callable[[Tree, Target], Changes],
    read_defaults: Callable[[Tree], list[DefaultRoute]],
) -> list[bytes]:
    """Rendered twice is once; other lines survive; one default wins, ours; the way back leads to
    the same bytes, from the files alone and by the record. Returns what went."""
    made = render(before, target)
    after = applied(before, made)
    assert render(after, target) == {}
    assert applied(after, taken_back(after)) == before
    with tempfile.TemporaryDirectory() as directory:
        _written_and_put_back(Path(directory), before, made, patterns)

    put_out = []
    for path, file in after.items():
        if path in before:
            put_out += survivors(before[path].data, file.data)
        else:
            assert file.data.startswith(HEADER.encode())
    assert set(before) <= set(after)

    defaults = list(dict.fromkeys(read_defaults(after)))  # a netplan wants ours twice
    best = min(default.metric for default in defaults)
    (winner,) = [default for default in defaults if default.metric == best]
    assert (target.gateway, METRIC) == (winner.gateway, winner.metric)
    if target.policy is PublicInterface.NO_DEFAULT:
        assert {winner.link} == {default.link for default in defaults}
    return put_out


def _content(tree: Tree) -> dict[str, tuple[bytes, int]]:
    """The files without their owners, who are whoever runs the tests."""
    return {path: (file.data, file.mode) for path, file in tree.items()}


def _written_and_put_back(
    place: Path, before: Tree, made: Changes, patterns: Sequence[str]
) -> None:
    root = place / "root"
    for path, file in before.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(file.mode)
    host = HostConfig(root, place / "state")
    there = list(root.rglob("*"))
    assert _content(applied(before, made)) == _content(applied(host.read(patterns), made))
    host.write(host.read(patterns), made, lambda: {"routes": [], "links": []})
    assert _content(applied(before, made)) == _content(host.read(patterns))
    host.revert()
    assert _content(before) == _content(host.read(patterns))
    assert there == list(root.rglob("*"))
