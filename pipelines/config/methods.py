"""Checks the methods that a command is asked for, and their parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ood_core.methods import METHODS, Method, Order, settled, uses_reference
from pipelines.config.load import reason_of
from pipelines.errors import CallerError

WITHOUT_REFERENCE = ("neglabel", "max-cos")
"""What is asked for if nothing is: against negative labels, and by the labels alone, which needs no bank of them."""


def default_methods(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The methods if none is asked for. `given`: the values of the configuration's other fields, `reference` among
    them."""
    return (*WITHOUT_REFERENCE, "reference", "consensus") if given.get("reference") else WITHOUT_REFERENCE


def method_parameters(
    names: Sequence[str], given: Mapping[str, Any], order: Order | None = None, reference: Sequence[str] = ()
) -> dict[str, Method]:
    """The methods by name, with defaults where `given` ({'neglabel.groups': 50}) names no parameter.

    `order`: of the methods that learn, unless `given` names one; `reference`: where images that are known to belong
    are. Raises CallerError for a method, parameter or value that is unknown, and for a reference that a method lacks or
    that none takes.
    """
    for name in names:
        if name not in METHODS:
            raise CallerError(f"--method {name!r} is unknown; the methods are {', '.join(METHODS)}")
    learning = {name for name in names if "order" in {field.name for field in fields(METHODS[name])}}
    if order and not learning:
        raise CallerError(f"--order {order}: none of the methods {', '.join(names)} learns from the images")
    chosen: dict[str, dict[str, Any]] = {name: {"order": order} if order and name in learning else {} for name in names}
    for key, value in given.items():
        name, _, parameter = key.partition(".")
        if name not in chosen:
            raise CallerError(f"--param {key}={value}: no --method {name!r} was asked for; it is {', '.join(names)}")
        known = [field.name for field in fields(METHODS[name])]
        if parameter not in known:
            raise CallerError(f"--param {key}={value}: {name} has the parameters {', '.join(known)}")
        chosen[name][parameter] = value
    return _with_reference({name: _built(name, parameters) for name, parameters in chosen.items()}, reference)


def _with_reference(methods: Mapping[str, Method], reference: Sequence[str]) -> dict[str, Method]:
    try:
        found = settled(methods, bool(reference))
    except ValueError as error:
        raise CallerError(f"{'--method' if reference else '--reference is missing'}: {error}") from error
    if reference and not uses_reference(found):
        raise CallerError(
            f"--reference {reference[0]!r}: no method takes it; ask for --method reference, or consensus over another"
        )
    return found


def _built(name: str, given: Mapping[str, Any]) -> Method:
    try:
        return TypeAdapter(METHODS[name]).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        blamed = {str(first["loc"][0]): first["input"]} if first["loc"] else given
        values = ", ".join(f"{name}.{key}={value}" for key, value in blamed.items())
        raise CallerError(f"--param {values}: {reason_of(first)}") from error
