"""Our `dataclass` and the standard library's: of the same class they make the same."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rcnetd.basic.dataclass import dataclass, field, fields, replace


def plain(made: Any, field: Any) -> type[Any]:
    """Two fields without defaults."""

    class Made:
        first: int
        second: str

    return made(frozen=True)(Made)  # type: ignore[no-any-return]


def defaults(made: Any, field: Any) -> type[Any]:
    """Defaults of every kind; one field is not shown, one does not count."""

    class Made:
        first: int
        second: str = "two"
        third: list[str] = field(default_factory=list)
        raw: bytes = field(default=b"", repr=False)
        note: str = field(default="", compare=False)

    return made(frozen=True)(Made)  # type: ignore[no-any-return]


def mutable(made: Any, field: Any) -> type[Any]:
    """Not frozen: it can be set, and has no hash."""

    class Made:
        first: int = 1
        second: dict[str, int] = field(default_factory=dict)

    return made(Made)  # type: ignore[no-any-return]


def by_identity(made: Any, field: Any) -> type[Any]:
    """Equal to itself alone."""

    class Made:
        first: int

    return made(frozen=True, eq=False)(Made)  # type: ignore[no-any-return]


def empty(made: Any, field: Any) -> type[Any]:
    """A marker."""

    class Made:
        pass

    return made(frozen=True)(Made)  # type: ignore[no-any-return]


def derived(made: Any, field: Any) -> type[Any]:
    """A base's fields come first; one of them gets another default, in its old place."""

    class Base:
        first: int
        second: str = "two"

    class Made(made(frozen=True)(Base)):  # type: ignore[misc]
        third: float = 3.0
        second: str = "other"

    return made(frozen=True)(Made)  # type: ignore[no-any-return]


PAIRS = [
    pytest.param(
        make(dataclass, field), make(dataclasses.dataclass, dataclasses.field), id=make.__name__
    )
    for make in (plain, defaults, mutable, by_identity, empty, derived)
]


def kind_of_error(call: Callable[[], object]) -> type[Exception] | None:
    """What it raises; None: nothing."""
    try:
        call()
    except (TypeError, AttributeError) as error:
        return type(error)
    return None


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_class_is_as_the_standard_library_makes_it(ours: type[Any], theirs: type[Any]) -> None:
    """Fields, defaults, repr, equality, hash, what cannot be set, what is refused."""
    names = [one.name for one in dataclasses.fields(theirs)]
    assert names == [one.name for one in fields(ours)]
    values = [f"value {number}" for number in range(len(names))]
    one, other = ours(*values), theirs(*values)
    assert repr(other) == repr(one)
    assert vars(other) == vars(one)
    again = dict(zip(names, values))
    assert (other == theirs(**again)) is (one == ours(**again))
    assert (one == other) is (other == one) is False
    for name in names:
        assert (other == replace(other, **{name: ""})) is (one == replace(one, **{name: ""}))

    given = {
        part.name: ""
        for part in dataclasses.fields(theirs)
        if part.default is part.default_factory is dataclasses.MISSING
    }
    assert repr(theirs(**given)) == repr(ours(**given))
    for name in given:
        fewer = {key: "" for key in given if key != name}
        assert kind_of_error(lambda few=fewer: theirs(**few)) is TypeError  # type: ignore[misc]
        assert kind_of_error(lambda few=fewer: ours(**few)) is TypeError  # type: ignore[misc]
    assert kind_of_error(lambda: ours(*values, "")) is TypeError
    assert kind_of_error(lambda: ours(*values, **dict.fromkeys(names[:1], ""))) in (
        (TypeError,) if names else (None,)
    )
    assert kind_of_error(lambda: ours(**given, not_a_field="")) is TypeError

    assert kind_of_error(lambda: hash(other)) is kind_of_error(lambda: hash(one))
    if one == ours(*values) and kind_of_error(lambda: hash(one)) is None:
        assert hash(ours(*values)) == hash(one)
    for name in names:
        refused = kind_of_error(lambda name=name: setattr(other, name, ""))  # type: ignore[misc]
        assert (refused is not None) is (
            kind_of_error(lambda name=name: setattr(one, name, "")) is AttributeError  # type: ignore[misc]
        )


def test_a_frozen_one_stays_as_it_is() -> None:
    """No field is set, none is deleted; what is there already is not shared."""

    @dataclass(frozen=True)
    class Frozen:
        number: int
        shown: list[int] = field(default_factory=list)

    value = Frozen(1)
    with pytest.raises(AttributeError, match="cannot assign to field 'number' of Frozen"):
        value.number = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot delete field 'number' of Frozen"):
        del value.number
    assert value.shown is not Frozen(1).shown
    assert not hasattr(Frozen, "shown")
    assert replace(value, number=2) == Frozen(2)


def test_a_class_without_fields_of_its_own_has_its_base_s() -> None:
    """As an event that has nothing to add."""

    @dataclass(frozen=True)
    class Base:
        number: int = 1

    @dataclass(frozen=True)
    class Same(Base):
        pass

    @dataclass(frozen=True)
    class More(Base):
        text: str = "more"
        number: int = 2

    assert Same() == Same(1) != Base(1)
    assert "number=2, text='more'" in repr(More())


@pytest.mark.parametrize("module", ["daemon.loop", "fetcher.process", "api.connection", "ctl.main"])
def test_the_standard_library_s_is_not_loaded(module: str) -> None:
    """It is what the time was for."""
    words = f"import sys, rcnetd.{module}; print({{'dataclasses', 'inspect'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], check=True, stdout=subprocess.PIPE)
    assert b"set()\n" == done.stdout
