"""Write the reference pages of the documentation from the code: every command's options, every field of the YAML.

python -m infra.docs.reference [--output docs/reference]
"""

import argparse
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from ood_core.methods import METHODS
from pipelines.commands.app import app
from pipelines.config.base import Configuration
from pipelines.config.labels import LabelsBuild
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan

OUTPUT = Path(__file__).parents[2] / "docs" / "reference"
GENERATED = "<!-- Written by `python -m infra.docs.reference`; do not edit. -->\n"
CONFIGURED: Mapping[str, type[Configuration]] = {
    "oodscan scan CONFIG.yaml": Scan,
    "oodscan rescore CONFIG.yaml": Rescore,
    "oodscan labels build --config CONFIG.yaml": LabelsBuild,
}
LIMITS = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}


def pages() -> dict[str, str]:
    """The text of each generated page, by its file name."""
    return {"commands.md": commands_page(), "configuration.md": configuration_page()}


def commands_page() -> str:
    """Every command with its arguments and options, in the order of `oodscan --help`."""
    root: Any = typer.main.get_command(app)
    general = [(code(*one.opts, *one.secondary_opts), sentence(one.help)) for one in root.params]
    parts = [
        f"# Commands\n\n{GENERATED}\n{paragraphs(root.help)}\n\n{table(('option', ''), general) if general else ''}"
    ]
    for path, command in leaf_commands():
        arguments = "".join(f" {one.metavar or one.name.upper()}" for one in command.params if not is_option(one))
        types = get_type_hints(command.callback)
        rows = [(code(*spelled(one, types[one.name])), sentence(one.help)) for one in command.params]
        body = table(("argument or option", ""), rows) if rows else ""
        parts.append(f"## {path}\n\n{paragraphs(command.help)}\n\n```\n{path} [OPTIONS]{arguments}\n```\n\n{body}")
    return "\n".join(parts)


def leaf_commands() -> Iterator[tuple[str, Any]]:
    """The commands that do something, each with the words that call it: `oodscan labels build`."""

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path, command
        else:
            for name, one in inner.items():
                yield from walk(f"{path} {name}", one)

    yield from walk("oodscan", typer.main.get_command(app))


def is_option(parameter: Any) -> bool:
    return parameter.opts[0].startswith("-")


def spelled(parameter: Any, type_: Any) -> list[str]:
    """The ways to write an option or an argument, with a placeholder for its value: N a whole number, X any number."""
    if not is_option(parameter):
        return [parameter.metavar or parameter.name.upper()]
    kind = next((name for number, name in ((int, "N"), (float, "X")) if number in (type_, *get_args(type_))), "TEXT")
    value = "" if parameter.is_flag else f" {parameter.metavar or kind}"
    return [f"{option}{value}" for option in (*parameter.opts, *parameter.secondary_opts)]


def configuration_page() -> str:
    """Every field of the YAML of a scan, a rescoring and a label bank, and every method's parameters."""
    parts = [f"# Configuration\n\n{GENERATED}\n{INTRODUCTION}"]
    for heading, section in CONFIGURED.items():
        schema, options = section.model_json_schema(), option_helps(heading)
        parts.append(f"## {heading}\n\n{described(schema)}{fields_table(schema, '', options)}")
        for name, choice, definition in sections_of(schema):
            inner = schema["$defs"][definition]
            parts.append(f"### {name}{choice}\n\n{described(inner)}{fields_table(inner, name, options)}")
    parts.append(f"## Parameters of methods\n\n{parameters_text()}")
    return "\n".join(parts)


INTRODUCTION = """`oodscan scan`, `oodscan rescore` and `oodscan labels build` take their options from a YAML file too.
An option on the command line goes before the file's. A field that is not known is an error.
"""


def sections_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Fields that are sections of their own: the field, which of its kinds (": vllm"), the definition's name."""
    for name, field in schema["properties"].items():
        if "$ref" in field:
            yield name, "", field["$ref"].rpartition("/")[2]
        for choice, reference in field.get("discriminator", {}).get("mapping", {}).items():
            yield name, f": {choice}", reference.rpartition("/")[2]


def option_helps(heading: str) -> dict[str, str]:
    """The help of each option of the command that the heading begins with, by the option's name."""
    command = next(command for path, command in leaf_commands() if heading.startswith(path))
    return {one.opts[0]: sentence(one.help) for one in command.params if is_option(one)}


def description(section: str, field: str, schema: Mapping[str, Any], options: Mapping[str, str]) -> str:
    """What a field is: its own description, or the help of the option that gives it on the command line."""
    if "$ref" in schema or "discriminator" in schema:
        return ""
    name = field.replace("_", "-")
    spellings = [f"--{section}-{name}", f"--{name}-{section}", f"--{name}", f"--{name.removesuffix('s')}"]
    if section and field in ("name", "uri"):
        spellings = [f"--{section}"]
    return sentence(schema.get("description")) or next((options[one] for one in spellings if one in options), "")


def fields_table(schema: Mapping[str, Any], section: str, options: Mapping[str, str]) -> str:
    """A table of the fields of a JSON schema: name, type, default, description."""
    required = set(schema.get("required", ()))
    rows = [
        (
            code(name),
            type_text(field),
            "required" if name in required else default_text(field),
            description(section, name, field, options),
        )
        for name, field in schema["properties"].items()
    ]
    return table(("field", "type", "default", ""), rows)


def type_text(field: Mapping[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "$ref" in field or "discriminator" in field:
        return "section, see below"
    if "anyOf" in field:
        return " or ".join(type_text(one) for one in field["anyOf"] if one.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(code(str(value)) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {type_text(field['items'])}" if "items" in field else "list"
    limits = ", ".join(f"{sign}{field[name]}" for name, sign in LIMITS.items() if name in field)
    words = {"object": "mapping", "boolean": "true or false", "string": "text"}
    name = words.get(field.get("type", "any"), field.get("type", "any"))
    return f"{name} {limits}".strip()


def default_text(field: Mapping[str, Any]) -> str:
    """A field's default as YAML has it, "" if it depends on other things; a section's stand in its own table."""
    if "discriminator" in field:
        return code(f"name: {field['default']['name']}")
    unsaid = {} if field.get("type") == "object" else None
    if "$ref" in field or (default := field.get("default", unsaid)) is None:
        return ""
    return code(json.dumps(default))


def parameters_text() -> str:
    """The parameters of every method with their defaults."""
    parts = ["Given as `--param NAME.FIELD=VALUE`, or in the YAML as `param: {NAME.FIELD: VALUE}`.\n"]
    for name, parameters in METHODS.items():
        rows = [
            (code(f"{name}.{one.name}"), code(json.dumps(one.default)) if one.default is not MISSING else "required")
            for one in fields(parameters)
        ]
        body = table(("parameter", "default"), rows) if rows else ""
        parts.append(f"### {name}\n\n{paragraphs(inspect.getdoc(parameters))}\n\n{body}")
    return "\n".join(parts)


def described(schema: Mapping[str, Any]) -> str:
    return f"{paragraphs(schema.get('description'))}\n\n" if schema.get("description") else ""


def paragraphs(text: str | None) -> str:
    """A docstring as Markdown, one line a paragraph, without its references to sections of METHODS.md."""
    cleaned = re.sub(r"\s*\((?:METHODS\.md )?§[^)]*\)", "", inspect.cleandoc(text or ""))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleaned.split("\n\n"))


def sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; a `|` within a cell does not end it."""
    lines = [header, ("---",) * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (output / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
