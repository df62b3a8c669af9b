"""Our `dataclass` and the standard library's: of every class of the package they make the same."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rcnetd.values import dataclass, field, fields, replace

PACKAGE = Path(__file__).parent.parent / "rcnetd"
IMPORT = re.compile(r"^from rcnetd\.values import", re.MULTILINE)
SOURCES = {
    f"rcnetd.{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}".removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if IMPORT.search(path.read_text(encoding="utf-8"))
}


@cache
def twin_of(name: str) -> ModuleType:
    """The module once more, with the standard library's dataclasses, and so those it imports."""
    text = IMPORT.sub("from dataclasses import", SOURCES[name].read_text(encoding="utf-8"))
    for other in set(re.findall(r"^from (rcnetd\.\S+) import", text, re.MULTILINE)) & set(SOURCES):
        twin_of(other)
        text = re.sub(
            rf"^from {other} import", f"from twin.{other} import", text, flags=re.MULTILINE
        )
    module = ModuleType(f"twin.{name}")
    module.__dict__.update(__package__=name.rpartition(".")[0], __file__=str(SOURCES[name]))
    sys.modules[module.__name__] = module
    exec(compile(text, SOURCES[name], "exec"), module.__dict__)
    return module


def pairs() -> Iterator[tuple[type[Any], type[Any]]]:
    """Each class as we make it, and as the standard library does."""
    for name in SOURCES:
        ours, theirs = import_module(name), twin_of(name)
        for word, made in vars(theirs).items():
            if dataclasses.is_dataclass(made) and made.__module__ == theirs.__name__:
                assert isinstance(made, type)
                yield getattr(ours, word), made


PAIRS = list(pairs())


def kind_of_error(call: Callable[[], object]) -> type[Exception] | None:
    """What it raises; None: nothing."""
    try:
        call()
    except (TypeError, AttributeError) as error:
        return type(error)
    return None


def test_all_classes_are_compared() -> None:
    """There are many, frozen and not, with and without bases and defaults."""
    assert len(PAIRS) > 80
    assert any(len(ours.__mro__) > 2 for ours, _ in PAIRS)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda made: str(made.__qualname__))
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


@pytest.mark.parametrize("module", ["daemon", "fetcher", "connecting", "cli"])
def test_the_standard_library_s_is_not_loaded(module: str) -> None:
    """It is what the time was for."""
    words = f"import sys, rcnetd.{module}; print({{'dataclasses', 'inspect'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], check=True, stdout=subprocess.PIPE)
    assert b"set()\n" == done.stdout
