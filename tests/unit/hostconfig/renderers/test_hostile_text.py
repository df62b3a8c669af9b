"""Text never becomes code: names and addresses of every renderer, made up to be harmful."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import Backend, PublicInterface
from rcnetd.hostconfig.renderers.marked_edits import OFF, applied
from rcnetd.hostconfig.renderers.model import CannotPersist, File, Tree
from rcnetd.hostconfig.renderers.registry import renderer
from rcnetd.hostconfig.renderers.rendering import PLAIN_NAME
from tests.support.properties import examples
from tests.support.trees import HERE, cases, read_tree, target_of

BACKENDS = {
    one: one.value.replace("-", "_") for one in Backend if one not in (Backend.AUTO, Backend.NONE)
}
# The kernel takes any name of up to 15 bytes without a slash, a colon or white space.
NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=15
)
SERVER = b"192.0.2.53"
PARTS = (
    "a`id`",
    "$(id)",
    "a;b",
    "x|y",
    "a\nup id",
    "'",
    '"',
    "a&b",
    "#",
    "%n",
    "[Route]",
    "!",
    "{}",
)


def before_of(name: str, case: str) -> Tree:
    """A golden tree, with modes that NetworkManager takes."""
    tree = read_tree(HERE / name / case / "before")
    return {path: File(file.data, 0o600) for path, file in tree.items()}


@examples
@given(st.sampled_from(list(BACKENDS)), st.one_of(NAMES, st.sampled_from(PARTS)), st.booleans())
def test_no_renderer_takes_a_name_that_is_not_a_plain_word(
    backend: Backend,
    name: str,
    public: bool,
) -> None:
    """Neither of ServiceNet's link nor of a public one."""
    if PLAIN_NAME.fullmatch(name):
        return
    target = target_of(BACKENDS[backend], "cloud-init", PublicInterface.DOWN)
    link = replace(target.public[0] if public else target.servicenet, name=name)
    target = replace(target, public=(link,)) if public else replace(target, servicenet=link)
    with pytest.raises(CannotPersist, match="has characters other than"):
        renderer(backend).render(before_of(BACKENDS[backend], "cloud-init"), target)


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_taken_from_the_files_is_plain(
    backend: Backend, part: str, policy: PublicInterface
) -> None:
    """Every name server is made harmful: no line of ours repeats it."""
    for case in cases(BACKENDS[backend]):
        if not any(SERVER in file.data for file in before_of(BACKENDS[backend], case).values()):
            continue
        harmful = f"192.0.2.53{part}".encode()
        tree = {
            path: replace(file, data=file.data.replace(SERVER, harmful))
            for path, file in before_of(BACKENDS[backend], case).items()
        }
        target = target_of(BACKENDS[backend], case, policy)
        try:
            after = applied(tree, renderer(backend).render(tree, target))
        except CannotPersist:
            continue
        for path, file in after.items():
            old = tree[path].data.split(b"\n") if path in tree else []
            for line in file.data.split(b"\n"):
                if line.removeprefix(OFF.encode()) not in old:
                    assert harmful.split(b"\n")[-1] not in line
