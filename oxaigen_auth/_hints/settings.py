"""The metaclass of the settings: errors that suggest what to write.

In the published package a setting is an attribute of the class, in upper case, and is changed by
assignment, which would have no effect here.
"""

from __future__ import annotations

from inspect import Signature, signature
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from oxaigen_auth._hints.variables import suggest, variable


class SettingsType(type):
    """Refuses the assignment of settings on the class, and explains unknown names."""

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> None:
        super().__init__(name, bases, namespace, **options)
        for attribute in namespace:
            if attribute.lower() in _names(cls) and attribute not in _names(cls):
                raise TypeError(
                    f"{name}.{attribute} would change nothing: {_how_to_set(cls, attribute)}."
                )

    def __setattr__(cls, name: str, value: object) -> None:
        if _is_setting(cls, name):
            raise AttributeError(
                f"{cls.__name__}.{name} cannot be assigned, as it would change nothing: "
                f"{_how_to_set(cls, name)}."
            )
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        if _is_setting(cls, name):
            raise AttributeError(f"{cls.__name__}.{name} cannot be deleted.")
        super().__delattr__(name)

    if not TYPE_CHECKING:  # type checkers see the class as attrs makes it

        def __call__(cls, *args: object, **values: object) -> object:
            for name in _undeclared(cls):
                raise TypeError(
                    f"{cls.__name__}.{name} would change nothing: "
                    "decorate the class with @attrs.frozen(kw_only=True)"
                )
            for name in values:
                if name not in _names(cls):
                    raise TypeError(f"{cls.__name__} has no setting {name!r}: {_hint(cls, name)}")
            return super().__call__(*args, **values)

        @property
        def __signature__(cls) -> Signature:  # otherwise that of `__call__`
            made_by_attrs = signature(cls.__init__)
            return made_by_attrs.replace(parameters=[*made_by_attrs.parameters.values()][1:])

        def __getattr__(cls, name: str) -> object:
            text = f"type object {cls.__name__!r} has no attribute {name!r}"
            if name.lower() in _names(cls):
                text += f": read {cls.__name__}.from_env().{name.lower()}"
            raise AttributeError(text, name=name, obj=cls)


def explain_read(settings: object, name: str) -> AttributeError:
    """Return the error for an attribute that settings do not have."""
    text = f"{type(settings).__name__!r} object has no attribute {name!r}"
    if name.lower() in _names(type(settings)):
        text += f": read {name.lower()}"
    return AttributeError(text, name=name, obj=settings)


def refuse_change(settings: object, name: str, _: object) -> None:
    """Raise an error that suggests `attrs.evolve`, instead of the error of attrs."""
    cls = type(settings)
    meant = name.lower() if name.lower() in _names(cls) else "name"
    raise AttributeError(
        f"{name} cannot be assigned, as {cls.__name__} objects do not change: make another "
        f"one with attrs.evolve(settings, {meant}=…).",
        name=name,
        obj=settings,
    )


def _names(cls: type[Any]) -> list[str]:
    """Return the names of the settings; empty until attrs has made the class."""
    made = (
        vars(base)["__attrs_attrs__"] for base in cls.__mro__ if "__attrs_attrs__" in vars(base)
    )
    return [setting.name for setting in next(made, ())]


def _undeclared(cls: type[Any]) -> list[str]:
    """Return the settings that a subclass assigns without being made by attrs."""
    bases = takewhile(lambda base: "__attrs_attrs__" not in vars(base), cls.__mro__)
    return [name for base in bases for name in vars(base) if name in _names(cls)]


def _is_setting(cls: type[Any], name: str) -> bool:
    """Return whether an attribute is a setting or a misspelled one. Methods may be replaced."""
    return name in _names(cls) or not (name.startswith("__") or name in vars(cls))


def _how_to_set(cls: type[Any], name: str) -> str:
    meant = name.lower()
    if meant not in _names(cls):
        return _hint(cls, name)
    return (
        f"set the environment variable {variable(meant)} before the first request, or pass "
        f"settings={cls.__name__}({meant}=…) to a client of your own"
    )


def _hint(cls: type[Any], name: str) -> str:
    names = _names(cls)
    if name.lower() in names:
        return f"write {name.lower()}"
    return suggest(name.lower(), names) or f"the settings are {', '.join(names)}"
