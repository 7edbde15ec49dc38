"""A page as one HTML file that asks nobody for anything."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import count as counted
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.reports.html.cells import shown_rows
from pipelines.reports.html.page import Page
from pipelines.reports.html.pictures import Pictures
from pipelines.reports.html.wording import breakable, count, decimal, readable, share
from pipelines.reports.tables import visible

PACKAGE, TEMPLATES = "pipelines.reports.html", "templates"
TONES = {"good": "good", "warn": "warning", "bad": "bad"}
"""What a tone is called where it is neither seen as a colour nor as a shape."""


def render(page: Page) -> str:
    """The page as one HTML document: style, script and pictures are in it, and no other script runs in it.

    Every text is escaped, and characters that do not print are shown as escapes.
    """
    return document(page.title, "body.html.j2", ("page.css",), ("theme.js", "page.js"), page=page, new_id=_ids())


def document(title: str, body: str, styles: Sequence[str], scripts: Sequence[str], **given: Any) -> str:
    """One HTML document of a template that makes its body of what is `given`, and of style sheets and scripts.

    The template has `picture`, which takes the bytes of a WebP file and returns the class whose elements show it.
    """
    pictures = Pictures()
    filled = _environment().get_template(body).render(picture=pictures.name, **given)
    style, script = ("\n" + "".join(map(_text, names)) for names in (styles, scripts))
    style += pictures.style()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            policy=_policy(style, script),
            style=Markup(style),  # noqa: S704  the kit's own, as are the others
            script=Markup(script),  # noqa: S704
            body=Markup(filled),  # noqa: S704
        )
    )


def _policy(style: str, script: str) -> str:
    """What a browser is told that the page may do: show its pictures, this style and this script; nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hashed(style)}; script-src {_hashed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(PACKAGE, TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "drawn": Markup, "breakable": breakable}
    environment.filters |= {"count": count, "share": share, "decimal": decimal}
    environment.globals |= {"shown_rows": shown_rows, "tones": TONES}
    return environment


def _printed(value: Any) -> Any:
    """What the templates print: text by others made readable. Markup is the kit's own."""
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _ids() -> Callable[[], str]:
    numbers = counted(1)
    return lambda: f"n{next(numbers)}"


def _hashed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return files(PACKAGE).joinpath(TEMPLATES, name).read_text(encoding="utf-8")
