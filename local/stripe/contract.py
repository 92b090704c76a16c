"""Holds parameters against the SDK's own types (`stripe.params`), as Stripe would against its API.

`problems(params, values)` is for tests of what we send; `read(params, form)` is what the stand-in does with what it
gets: it checks the same and turns the wire's strings into numbers and booleans.
"""

from __future__ import annotations

import builtins
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, NotRequired, Required

from stripe._request_options import RequestOptions
from typing_extensions import is_typeddict

from local.stripe.errors import Refusal

_CLEARED_IN_FACT = frozenset({"email", "name", "description", "phone"})
"""The API unsets these by an empty string, though the SDK types them as plain strings."""
_OPTIONS = frozenset(RequestOptions.__annotations__)
"""Options of a call that the SDK types together with its parameters; they never go over the wire."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that Stripe would refuse."""

    kind: Literal["unknown", "missing", "invalid", "empty"]
    param: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class _Spec:
    """What a parameter may be: any of these."""

    scalars: frozenset[type] = frozenset()
    choices: tuple[str, ...] = ()
    clears: bool = False
    """The empty string unsets it."""
    fields: Mapping[str, Any] | None = None
    """Names to annotations of a nested object, evaluated on demand."""
    owner: type | None = None
    mapping: _Spec | None = None
    items: _Spec | None = None
    required: frozenset[str] = field(default_factory=frozenset)


def problems(params: type, values: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with `values` as the parameters `params` (a TypedDict of `stripe.params`); empty if nothing."""
    found: list[Problem] = []
    _object(_of_class(params), values, "", found, wire=False)
    return found


def read(params: type, form: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters from a decoded form. Raises Refusal for the first problem, before anything has happened."""
    found: list[Problem] = []
    values = _object(_of_class(params), form, "", found, wire=True)
    if found:
        first = found[0]
        raise Refusal(first.message, code=first.code, param=first.param, executed=False)
    return values


def _object(spec: _Spec, values: Mapping[str, Any], path: str, found: list[Problem], *, wire: bool) -> dict[str, Any]:
    assert spec.fields is not None
    assert spec.owner is not None
    taken: dict[str, Any] = {}
    for name, value in values.items():
        param = f"{path}[{name}]" if path else name
        if name not in spec.fields:
            found.append(Problem("unknown", param, f"Received unknown parameter: {param}", "parameter_unknown"))
        elif value is not None:
            taken[name] = _value(_of_field(spec.owner, name), value, param, found, wire=wire)
    for name in sorted(spec.required - values.keys()):
        param = f"{path}[{name}]" if path else name
        found.append(Problem("missing", param, f"Missing required param: {param}.", "parameter_missing"))
    return taken


def _value(spec: _Spec, value: Any, param: str, found: list[Problem], *, wire: bool) -> Any:
    if value == "":
        if spec.clears or param in _CLEARED_IN_FACT:
            return ""
        message = f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a"
        message += f" parameter; however '{param}' cannot be unset. You should remove '{param}' from your request"
        found.append(Problem("empty", param, f"{message} or supply a non-empty value.", "parameter_invalid_empty"))
        return value
    if isinstance(value, Mapping):
        if spec.items and all(str(key).isdigit() for key in value):
            value = [value[key] for key in sorted(value, key=int)]
        elif spec.fields is not None:
            return _object(spec, value, param, found, wire=wire)
        elif spec.mapping:
            inner = spec.mapping
            return {
                key: each if each == "" else _value(inner, each, f"{param}[{key}]", found, wire=wire)
                for key, each in value.items()
            }
        else:
            found.append(Problem("invalid", param, f"Invalid {_kind(spec)}: an object", "parameter_invalid_string"))
            return value
    if isinstance(value, list | tuple):
        if spec.items is None:
            found.append(Problem("invalid", param, f"Invalid {_kind(spec)}: an array"))
            return value
        return [_value(spec.items, each, f"{param}[{at}]", found, wire=wire) for at, each in enumerate(value)]
    return _scalar(spec, value, param, found, wire=wire)


def _scalar(spec: _Spec, value: Any, param: str, found: list[Problem], *, wire: bool) -> Any:
    if isinstance(value, str) and value in spec.choices:
        return value
    for kind in (bool, int, float, Decimal):
        if kind in spec.scalars:
            taken = _as(kind, value, wire=wire)
            if taken is not None:
                return taken
    if spec.choices:
        *others, last = spec.choices
        either = f"{', '.join(others)}, or {last}" if others else last
        found.append(Problem("invalid", param, f"Invalid {param}: must be one of {either}"))
    elif str in spec.scalars and isinstance(value, str):
        return value
    else:
        kind_name = _kind(spec)
        code = {"integer": "parameter_invalid_integer", "object": "parameter_invalid_string"}.get(kind_name)
        found.append(Problem("invalid", param, f"Invalid {kind_name}: {value}", code))
    return value


def _as(kind: type, value: Any, *, wire: bool) -> Any:
    if not wire:
        return value if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else None
    if kind is bool:
        return {"true": True, "false": False}.get(str(value).lower())
    try:
        return kind(value)
    except (ValueError, InvalidOperation):
        return None


def _kind(spec: _Spec) -> str:
    for kind, name in ((int, "integer"), (bool, "boolean"), (float, "decimal"), (Decimal, "decimal"), (str, "string")):
        if kind in spec.scalars:
            return name
    return "array" if spec.items else "object"


# From annotations to specs


class _Names(dict[str, Any]):
    """A module's names while its annotations are evaluated; what is imported for type checkers only is `Any`."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, None) or getattr(typing, name, None) or Any


@cache
def _of_class(params: type) -> _Spec:
    fields = {name: hint for name, hint in params.__annotations__.items() if name not in _OPTIONS}
    required: frozenset[str] = getattr(params, "__required_keys__", frozenset())
    return _Spec(fields=fields, owner=params, required=required & fields.keys())


@cache
def _of_field(owner: type, name: str) -> _Spec:
    return _of_hint(owner.__annotations__[name], owner)


def _of_hint(hint: Any, owner: type) -> _Spec:
    while isinstance(hint, str | typing.ForwardRef):
        text = hint if isinstance(hint, str) else hint.__forward_arg__
        hint = eval(text, {}, _Names(vars(sys.modules[owner.__module__])))  # annotations of the SDK's own sources
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (NotRequired, Required, typing.NotRequired, typing.Required):
        return _of_hint(arguments[0], owner)
    if origin in (typing.Union, types.UnionType):
        return _any_of([_of_hint(each, owner) for each in arguments])
    if origin is Literal:
        choices = tuple(each for each in arguments if each != "")
        return _Spec(choices=tuple(map(str, choices)), clears="" in arguments)
    if origin is list:
        return _Spec(items=_of_hint(arguments[0], owner))
    if origin is dict:
        return _Spec(mapping=_of_hint(arguments[1], owner))
    if is_typeddict(hint):
        return _of_class(hint)
    if hint in (str, int, bool, float, Decimal):
        return _Spec(scalars=frozenset({hint}))
    if isinstance(hint, type) and hint.__name__ == "UntypedStripeObject":
        return _Spec(mapping=_Spec(scalars=frozenset({str})))
    return _Spec()


def _any_of(specs: list[_Spec]) -> _Spec:
    nested = next((each for each in specs if each.fields is not None), _Spec())
    return _Spec(
        scalars=frozenset().union(*(each.scalars for each in specs)),
        choices=tuple(choice for each in specs for choice in each.choices),
        clears=any(each.clears for each in specs),
        fields=nested.fields,
        owner=nested.owner,
        required=nested.required,
        mapping=next((each.mapping for each in specs if each.mapping), None),
        items=next((each.items for each in specs if each.items), None),
    )
