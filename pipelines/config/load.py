"""Reads a configuration: a YAML file, with the values of the command line laid over it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.config.base import Configuration
from pipelines.config.image_judges import image_option_of
from pipelines.config.judges import option_of
from pipelines.errors import CallerError, first_line

JUDGES: Mapping[str, Callable[[str], str]] = {"judge": option_of, "image_judge": image_option_of}
"""Sections of which there are several kinds, told apart by a name, and the command line's options of their fields."""


def load(kind: type[Configuration], file: Path | None, overrides: Mapping[str, Any]) -> Any:
    """The configuration from a YAML file, if one is given, with the command line's values laid over it.

    Raises CallerError that names the field or option, the value and what is wrong with it.
    """
    values = _read_yaml(file) if file else {}
    merged = _merged(values, overrides)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = [*map(str, first["loc"])]
        judges = len(place) > 2 and place[0] in JUDGES  # and then the judge's name and its field
        name = ".".join([place[0], *place[2:]] if judges else place)
        option = JUDGES[place[0]](place[2]) if judges else f"--{name.replace('_', '-')}"
        if first["type"] == "missing":
            raise CallerError(
                f"{option} is missing; give it on the command line or as `{name}:` in the YAML"
            ) from error
        raise CallerError(f"{option if judges else name} = {first['input']!r}: {reason_of(first)}") from error


def parse_values(option: str, given: Sequence[str]) -> dict[str, Any]:
    """The values of `NAME=VALUE` arguments by name; each is read as YAML reads it (numbers, true), or else is text."""
    values: dict[str, Any] = {}
    for name, text in parse_texts(option, given).items():
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            values[name] = text
    return values


def parse_storage_options(given: Sequence[str]) -> dict[str, Any]:
    """The options of a remote file system from `NAME=VALUE` arguments; values are text, but for `true` and `false`."""
    if not all(name and equals for name, equals, _ in (assignment.partition("=") for assignment in given)):
        raise CallerError("--storage-options takes NAME=VALUE pairs (what was given may be a secret and is not shown)")
    options = parse_texts("--storage-options", given)
    return {name: {"true": True, "false": False}.get(value, value) for name, value in options.items()}


def parse_texts(option: str, given: Sequence[str]) -> dict[str, str]:
    """The texts of `NAME=VALUE` arguments by name. Raises CallerError for what is not of that form."""
    values: dict[str, str] = {}
    for assignment in given:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise CallerError(f"{option} {assignment!r} is not of the form NAME=VALUE")
        values[name] = value
    return values


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CallerError(f"CONFIG {str(file)!r} cannot be read: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise CallerError(f"CONFIG {str(file)!r} must hold `name: value` lines")
    return values


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def reason_of(error: Any) -> str:
    """What one of pydantic's errors says is wrong, without pydantic's own words around it."""
    return error["msg"].removeprefix("Value error, ")
