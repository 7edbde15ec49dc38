"""METHODS: every method by its name. A new method is one line here. Free of torch."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from ood_core.methods.method import ImageMethod, Method

LINES = {
    "mcm": "ood_core.methods.mcm:MCM",
    "max-cos": "ood_core.methods.max_cos:MaxCos",
    "gl-mcm": "ood_core.methods.gl_mcm:GLMCM",
    "neglabel": "ood_core.methods.neglabel:NegLabel",
    "negrefine": "ood_core.methods.negrefine:NegRefine",
    "debiased": "ood_core.methods.debiased:Debiased",
    "adaneg": "ood_core.methods.adaneg:AdaNeg",
    "interneg": "ood_core.methods.interneg:InterNeg",
    "tanl": "ood_core.methods.tanl:TANL",
    "reference": "ood_core.methods.reference:Reference",
    "verdicts": "ood_core.methods.verdicts:Verdicts",
    "consensus": "ood_core.methods.consensus:Consensus",
}


class MethodTable(Mapping[str, type[Method]]):
    """The class of each method's parameters by the method's name, imported when it is looked up.

    `lines`: names to "module:Class". A lookup raises KeyError for an unknown name, and TypeError for a line that names
    no method.
    """

    def __init__(self, lines: Mapping[str, str]) -> None:
        self.lines = dict(lines)

    def __getitem__(self, name: str) -> type[Method]:
        module, _, attribute = self.lines[name].partition(":")
        try:
            found = getattr(import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            raise TypeError(f"METHODS[{name!r}] is {self.lines[name]!r}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Method)):
            raise TypeError(f"METHODS[{name!r}] is {self.lines[name]!r}, which is no subclass of Method")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.lines

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)


METHODS: Mapping[str, type[Method]] = MethodTable(LINES)


def check_base(name: str) -> None:
    """Raises ValueError for what is no method that scores images by themselves, whose scores another can go by."""
    if name not in METHODS or not issubclass(METHODS[name], ImageMethod):
        raise ValueError(f"base must be a method that scores images by themselves, not {name!r}")
