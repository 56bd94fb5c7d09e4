"""Configurations: frozen dataclasses, checked at birth, from which forms, schemas and command lines are made.

A config is a frozen, keyword-only dataclass with slots and a docstring under each field. Bounds stand in the
annotation (`Annotated[float, Bounds(above=0)]`), and `__post_init__` calls `check(self)` before its own rules.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class ConfigError(ValueError):
    """A setting that cannot be; `fields` maps the name of each wrong field to what is wrong with it."""

    code = "bad_config"

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of a number, written into the annotation of a field."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    """The number is strictly greater than this."""
    below: float | None = None
    """The number is strictly less than this."""

    def broken_by(self, value: float) -> str | None:
        """Say which limit the value breaks, or None when it keeps them all."""
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum}"
        if self.above is not None and value <= self.above:
            return f"must be greater than {self.above}"
        if self.below is not None and value >= self.below:
            return f"must be less than {self.below}"
        return None

    def schema(self) -> dict[str, float]:
        """Give the same limits in the words of JSON schema."""
        words = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusiveMinimum": self.above,
            "exclusiveMaximum": self.below,
        }
        return {word: value for word, value in words.items() if value is not None}


def parse(cls: type[T], data: Mapping[str, Any]) -> T:
    """Make a config from plain JSON data; unknown keys, missing keys and wrong types are refused by name."""
    if not isinstance(data, dict):
        raise ConfigError(f"the configuration must be an object, not {_say(data)}")
    hints = _hints(cls)
    wrong = {name: "is not a setting of this kind" for name in data if name not in hints}
    values: dict[str, Any] = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in data:
            try:
                values[field.name] = _convert(data[field.name], hints[field.name])
            except ConfigError as error:
                wrong[field.name] = str(error)
        elif field.default is MISSING and field.default_factory is MISSING:
            wrong[field.name] = "is missing"
    if wrong:
        raise ConfigError("; ".join(f"{name} {reason}" for name, reason in wrong.items()), wrong)
    return cls(**values)


def check(config: object) -> None:
    """Hold every field against the bounds in its annotation; for use in `__post_init__`."""
    wrong = {}
    for name, hint in _hints(type(config)).items():
        value = getattr(config, name)
        for bounds in _bounds(hint):
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                if number is None:
                    continue
                reason = "must be a finite number" if not math.isfinite(number) else bounds.broken_by(number)
                if reason:
                    wrong[name] = f"{reason}, not {number}"
    if wrong:
        raise ConfigError("; ".join(f"{name} {reason}" for name, reason in wrong.items()), wrong)


def schema(cls: type[Any]) -> dict[str, Any]:
    """Describe a config as a JSON schema: titles, field docstrings as descriptions, defaults and bounds.

    A class's own fields come first, those that it inherits after them.
    """
    hints = _hints(cls)
    words = field_docs(cls)
    properties = {}
    required = []
    for field in sorted(fields(cls), key=lambda field: field.name not in cls.__annotations__):
        entry = _schema_of(hints[field.name])
        entry["title"] = field.name.replace("_", " ").capitalize()
        if field.name in words:
            entry["description"] = words[field.name]
        if field.default is not MISSING:
            entry["default"] = _plain(field.default)
        elif field.default_factory is not MISSING:
            entry["default"] = _plain(field.default_factory())
        else:
            required.append(field.name)
        properties[field.name] = entry
    document: dict[str, Any] = {
        "type": "object",
        "title": cls.__name__,
        "properties": properties,
        "additionalProperties": False,
    }
    if cls.__doc__:
        document["description"] = inspect.cleandoc(cls.__doc__)
    if required:
        document["required"] = required
    return document


def to_json(config: object) -> dict[str, Any]:
    """Give a config as plain JSON data, from which `parse` makes the same config again."""
    plain: dict[str, Any] = _plain(config)
    return plain


def field_docs(cls: type[Any]) -> dict[str, str]:
    """Read the docstring under each field from the source of the class and of those it inherits from."""
    words: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if "__dataclass_fields__" not in vars(base):
            continue
        tree = cast("ast.ClassDef", ast.parse(textwrap.dedent(inspect.getsource(base))).body[0])
        for statement, after in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                words[statement.target.id] = " ".join(inspect.cleandoc(after.value.value).split())
    return words


def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _bounds(hint: Any) -> list[Bounds]:
    found = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Bounds)]
    for inner in get_args(hint):
        if inner is not hint and not isinstance(inner, (str, int, float, Bounds)):
            found += _bounds(inner)
    return found


def _convert(value: Any, hint: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case for each kind of type
    origin = get_origin(hint)
    if origin is Annotated:
        return _convert(value, get_args(hint)[0])
    if origin is Literal:
        if not any(value == option and type(value) is type(option) for option in get_args(hint)):
            raise ConfigError(f"must be one of {', '.join(map(str, get_args(hint)))}, not {_say(value)}")
        return value
    if origin in (Union, types.UnionType):
        options = get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(value, next(option for option in options if option is not type(None)))
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"must be a list, not {_say(value)}")
        return tuple(_convert(item, get_args(hint)[0]) for item in value)
    if is_dataclass(hint) and isinstance(hint, type):
        return parse(hint, value)
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"must be a number, not {_say(value)}")
        return float(value)
    if hint is int:
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            raise ConfigError(f"must be a whole number, not {_say(value)}")
        return int(value)
    if not isinstance(value, hint):
        kinds = {str: "text", bool: "true or false"}
        raise ConfigError(f"must be {kinds.get(hint, str(hint))}, not {_say(value)}")
    return value


def _schema_of(hint: Any) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin is Annotated:
        entry = _schema_of(get_args(hint)[0])
        for bounds in hint.__metadata__:
            if isinstance(bounds, Bounds):
                entry |= bounds.schema()
        return entry
    if origin is Literal:
        options = list(get_args(hint))
        return {"type": "string" if all(isinstance(option, str) for option in options) else "number", "enum": options}
    if origin in (Union, types.UnionType):
        entry = _schema_of(next(option for option in get_args(hint) if option is not type(None)))
        return entry | {"type": [entry["type"], "null"]}
    if origin is tuple:
        return {"type": "array", "items": _schema_of(get_args(hint)[0])}
    if is_dataclass(hint) and isinstance(hint, type):
        return schema(hint)
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[hint]}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _say(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
