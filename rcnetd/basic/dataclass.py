"""`dataclass`, `field`, `fields` and `replace` as in `dataclasses`, at a twentieth of their cost.

The standard library's loads `inspect` (8 ms) and compiles six functions for each class (0.4 ms, for
60 of them): half of what the daemon took from exec to its first request. Here all classes of a kind
share their methods, and nothing is compiled.

The rule: only what the package uses, and nothing that `dataclasses` does otherwise. Type checkers
are shown the standard library's; the tests compare what both make of classes of every kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["dataclass", "field", "fields", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, replace
else:
    MISSING = object()

    class Field:
        """One field: what it is when it is not given, and who looks at it."""

        def __init__(self, default, default_factory=MISSING, repr=True, compare=True) -> None:
            self.name = ""
            self.default, self.default_factory = default, default_factory
            self.repr, self.compare = repr, compare

    def field(*, default=MISSING, default_factory=MISSING, repr=True, compare=True):
        """As `dataclasses.field`."""
        return Field(default, default_factory, repr, compare)

    def dataclass(cls=None, /, *, frozen=False, eq=True):
        """As `dataclasses.dataclass`."""
        if cls is None:
            return lambda made: dataclass(made, frozen=frozen, eq=eq)
        # Without annotations of its own Python 3.9 shows the base's: the same fields once more.
        found = {one.name: one for one in getattr(cls, "__fields__", ())}
        for name in getattr(cls, "__annotations__", {}):
            found[name] = _own(cls, name) or found.get(name) or Field(MISSING)
            found[name].name = name
        cls.__fields__ = tuple(found.values())
        cls.__names__ = tuple(found)
        cls.__compared__ = tuple(name for name, one in found.items() if one.compare)
        cls.__constants__ = {
            name: one.default for name, one in found.items() if one.default is not MISSING
        }
        cls.__known__ = found.keys()
        cls.__init__ = _init
        cls.__repr__ = _repr
        if eq:
            cls.__eq__ = _eq
            cls.__hash__ = _hash if frozen else None
        if frozen:
            cls.__setattr__ = _refuse_set
            cls.__delattr__ = _refuse_delete
        return cls

    def fields(cls):
        """As `dataclasses.fields`: each with `name`, `default`, `default_factory`, …."""
        return cls.__fields__

    def replace(value, /, **changes):
        """As `dataclasses.replace`."""
        if not changes.keys() <= value.__dict__.keys():
            return type(value)(**{**value.__dict__, **changes})  # says which is none
        made = object.__new__(type(value))
        made.__dict__.update(value.__dict__, **changes)
        return made

    def _own(cls, name):
        """The field that the class itself gives a default; None where it gives none."""
        if name not in cls.__dict__:
            return None
        given = cls.__dict__[name]
        if not isinstance(given, Field):
            return Field(given)
        if given.default is MISSING:
            delattr(cls, name)
        else:
            setattr(cls, name, given.default)
        return given

    def _init(self, *args, **given):
        names = self.__names__
        positional = dict(zip(names, args))
        if len(args) > len(names) or not positional.keys().isdisjoint(given):
            raise TypeError(f"{type(self).__name__}: a field is given twice, or too many are")
        values = {**self.__constants__, **positional, **given}
        if values.keys() != self.__known__:
            _complete(self, values)
        self.__dict__.update(values)

    def _complete(self, values):
        """Make what has no constant default; refuse what is missing or no field."""
        for one in self.__fields__:
            if one.name not in values:
                if one.default_factory is MISSING:
                    raise TypeError(f"{type(self).__name__}: '{one.name}' is not given")
                values[one.name] = one.default_factory()
        if len(values) > len(self.__names__):
            unknown = values.keys() - set(self.__names__)
            raise TypeError(
                f"{type(self).__name__}: no field is named {', '.join(sorted(unknown))}"
            )

    def _repr(self):
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in self.__fields__ if one.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _eq(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _compared(self) == _compared(other)

    def _hash(self):
        return hash(_compared(self))

    def _compared(value):
        return tuple([value.__dict__[name] for name in value.__compared__])

    def _refuse_set(self, name, _value):
        raise AttributeError(f"cannot assign to field '{name}' of {type(self).__name__}")

    def _refuse_delete(self, name):
        raise AttributeError(f"cannot delete field '{name}' of {type(self).__name__}")
