"""Turns the frozen values of `holdfast.config.model` into plain JSON values and back.

Pure and on the standard library, so that a configuration can stand in a journal and be read by a small
process. The form is stable: field names are keys, tuples are lists, enumerations are their values.
Unknown keys, missing keys and wrong types are errors; fields that have a default may be missing, so that
an older record stays readable.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from holdfast.config.model import ClusterConfig, ModuleConfig

Jsonable: TypeAlias = "str | int | bool | list[Jsonable] | dict[str, Jsonable] | None"
T = TypeVar("T")


def to_jsonable(value: object) -> Jsonable:
    """The plain form of a value of the model. Raises TypeError for a type that the model does not use."""
    if isinstance(value, Enum):
        return to_jsonable(value.value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [to_jsonable(item) for item in value]
    if is_dataclass(value):
        return {item.name: to_jsonable(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"no plain form for {type(value).__name__}")


def module_from_jsonable(plain: object) -> ModuleConfig:
    """The module configuration of a plain form; ValueError says at which key it is wrong."""
    return from_jsonable(ModuleConfig, plain)


def cluster_from_jsonable(plain: object) -> ClusterConfig:
    """The cluster configuration of a plain form; ValueError says at which key it is wrong."""
    return from_jsonable(ClusterConfig, plain)


def from_jsonable(kind: type[T], plain: object) -> T:
    """The value of a dataclass of the model from its plain form; ValueError says at which key it is wrong."""
    result = _build(kind, plain, kind.__name__)
    assert isinstance(result, kind)
    return result


@cache
def _hints(kind: type) -> dict[str, object]:
    return dict(get_type_hints(kind))


def _build(hint: object, plain: object, where: str) -> object:
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _build_optional(get_args(hint), plain, where)
    if origin is tuple:
        if not isinstance(plain, list):
            raise ValueError(f"{where}: a list is expected, not {type(plain).__name__}")
        (item, _) = get_args(hint)
        return tuple(_build(item, value, f"{where}[{index}]") for index, value in enumerate(plain))
    assert isinstance(hint, type)
    if is_dataclass(hint):
        return _build_dataclass(hint, plain, where)
    if issubclass(hint, Enum):
        return hint(plain)
    if type(plain) is not hint:
        raise ValueError(f"{where}: {hint.__name__} is expected, not {type(plain).__name__}")
    return plain


def _build_optional(choices: tuple[object, ...], plain: object, where: str) -> object:
    """The model's only unions are `X | None`."""
    if plain is None and NoneType in choices:
        return None
    (present,) = (choice for choice in choices if choice is not NoneType)
    return _build(present, plain, where)


def _build_dataclass(kind: type, plain: object, where: str) -> object:
    if not isinstance(plain, dict):
        raise ValueError(f"{where}: an object is expected, not {type(plain).__name__}")
    known = {item.name: item for item in fields(kind)}
    if unknown := plain.keys() - known.keys():
        raise ValueError(f"{where}: unknown keys {sorted(map(str, unknown))}")
    required = {name for name, item in known.items() if item.default is MISSING}
    if missing := required - plain.keys():
        raise ValueError(f"{where}: missing keys {sorted(missing)}")
    hints = _hints(kind)
    values = {name: _build(hints[name], value, f"{where}.{name}") for name, value in plain.items()}
    built: object = kind(**values)
    return built
