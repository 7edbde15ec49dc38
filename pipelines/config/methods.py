"""TODO"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ood_core.methods import LEARNS, METHODS, Order, Parameters
from pipelines.config.load import _reason
from pipelines.errors import CallerError


def method_parameters(
    names: Sequence[str], given: Mapping[str, Any], order: Order | None = None
) -> dict[str, Parameters]:
    """Each method's parameters, defaults where `given` ('neglabel.groups': 50) says nothing. Raises CallerError.

    `order`: that of the methods that learn, where `given` has none.
    """
    for name in names:
        if name not in METHODS:
            raise CallerError(f"--method {name!r} is unknown; the methods are {', '.join(METHODS)}")
    if order and LEARNS.isdisjoint(names):
        raise CallerError(f"--order {order}: none of the methods {', '.join(names)} learns from the images")
    chosen: dict[str, dict[str, Any]] = {name: {"order": order} if order and name in LEARNS else {} for name in names}
    for key, value in given.items():
        name, _, parameter = key.partition(".")
        if name not in chosen:
            raise CallerError(f"--param {key}={value}: no --method {name!r} was asked for; it is {', '.join(names)}")
        known = list(METHODS[name].__dataclass_fields__)
        if parameter not in known:
            raise CallerError(f"--param {key}={value}: {name} has the parameters {', '.join(known)}")
        chosen[name][parameter] = value
    return {name: _built(name, parameters) for name, parameters in chosen.items()}


def _built(name: str, given: Mapping[str, Any]) -> Parameters:
    try:
        return TypeAdapter(METHODS[name]).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        blamed = {str(first["loc"][0]): first["input"]} if first["loc"] else given
        values = ", ".join(f"{name}.{key}={value}" for key, value in blamed.items())
        raise CallerError(f"--param {values}: {_reason(first)}") from error
