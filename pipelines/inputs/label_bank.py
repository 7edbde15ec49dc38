"""Reads label banks and word files at any URL, and checks a bank against the methods and the model."""

import io
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from ood_core.labels import LabelBank
from ood_core.labels.bank import INFO_FILE, LABELS_FILE
from ood_core.methods import METHODS, ImageMethod, Method
from ood_core.vocabulary import CSP
from pipelines.config.model import Model
from pipelines.errors import CallerError
from pipelines.inputs.readers.range_file import open_range
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.storage import Directory, file_system, storage_errors


def load_bank(directory: Directory, called: str = "--labels") -> LabelBank:
    """The label bank in a directory. Raises CallerError, naming the option `called`, if there is no valid one."""
    try:
        with storage_errors(f"{called} {directory.url!r}", but=FileNotFoundError):
            info = directory.read(INFO_FILE) if directory.exists(INFO_FILE) else None
            labels = directory.read(LABELS_FILE)
        return LabelBank.from_files(labels, info)
    except FileNotFoundError as error:
        raise CallerError(
            f"{called} {directory.url!r} is not a label bank: it has no {LABELS_FILE}; "
            "make one with `oodscan labels build`"
        ) from error
    except ValueError as error:
        raise CallerError(f"{called} {directory.url!r} is not a valid label bank: {error}") from error


def read_words(option: str, url: str, options: Mapping[str, Any]) -> bytes:
    """The content of a file. Raises CallerError, naming the option, if it cannot be read."""
    files, path = file_system(url, options)
    with storage_errors(f"{option} {url!r}"):
        return bytes(files.cat_file(path))  # pyright: ignore[reportArgumentType]


def open_words(option: str, url: str, options: Mapping[str, Any]) -> BinaryIO:
    """A file to read line by line, which goes on where a download broke. Raises CallerError, naming the option."""
    files, path = file_system(url, options)
    with storage_errors(f"{option} {url!r}"):
        entry = files.info(path)
    if entry["type"] != "file":
        raise CallerError(f"{option} {url!r} cannot be read: it is not a file")
    if entry.get("size") is None:  # a server that does not say beforehand
        return io.BytesIO(read_words(option, url, options))
    return open_range(files, path, entry["size"])


def model_of(model: Model, bank: LabelBank) -> Model:
    """The model asked for, or else the one that the bank was made with; nameless if neither is known."""
    if model.name is None and bank.info.model:
        return model.model_copy(update={"name": bank.info.model, "pretrained": bank.info.pretrained})
    return model


def check_negatives(methods: Iterable[str], bank: LabelBank, labels: str) -> None:
    """Raises CallerError, naming `labels`, if a method needs negative labels and the bank has none."""
    for name in methods:
        if METHODS[name].needs_negatives and not bank.negative_count:
            raise CallerError(f"--method {name} needs negative labels, and --labels {labels!r} has none")


def check_corpus(methods: Mapping[str, Method], bank: LabelBank, labels: str) -> None:
    """Raises CallerError, naming `labels`, if a method needs the whole corpus and the bank holds a selection of it."""
    for name, chosen in methods.items():
        if isinstance(chosen, ImageMethod) and chosen.needs_corpus and not bank.info.holds_whole_corpus:
            raise CallerError(
                f"--method {name} chooses its negatives from the whole corpus, and --labels {labels!r} holds what "
                f"--criterion {bank.info.criterion.get('name')} has kept of one; build a bank with --criterion none"
            )


def check_bank_fits(bank: LabelBank, labels: str, spec: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError, naming `labels`, if the bank's embeddings were not made by this model."""
    if bank.dim != facts.dim:
        raise CallerError(
            f"--labels {labels!r} holds embeddings of dimension {bank.dim}, --model {spec.name!r} makes {facts.dim}; "
            "build the label bank with the model that scans"
        )
    if bank.info.weights not in (None, facts.weights):
        raise CallerError(
            f"--labels {labels!r} was made with {bank.info.model!r}, whose weights are not those of --model "
            f"{spec.name!r}; build the label bank with the model that scans"
        )


def noun_templates(bank: LabelBank) -> tuple[str, ...]:
    """The prompts for texts made of the bank's labels: those of its negative nouns; CSP's if they are unknown."""
    return tuple(bank.info.prompts.get("noun") or CSP.noun)
