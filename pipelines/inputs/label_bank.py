"""Label banks and word files at any URL."""

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from ood_core.labels import LabelBank
from ood_core.labels.bank import INFO_FILE, LABELS_FILE
from ood_core.methods import NEEDS_NEGATIVES
from ood_core.vocabulary import CSP
from pipelines.config.model import Model
from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.range_file import open_range
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.storage import Directory, file_system

if TYPE_CHECKING:
    pass


def load_bank(directory: Directory, called: str = "--labels") -> LabelBank:
    """Raises CallerError, naming what the command line calls it, if there is no valid bank."""
    try:
        info = directory.read(INFO_FILE) if directory.exists(INFO_FILE) else None
        return LabelBank.from_files(directory.read(LABELS_FILE), info)
    except FileNotFoundError as error:
        raise CallerError(
            f"{called} {directory.url!r} is not a label bank: it has no {LABELS_FILE}; "
            "make one with `oodscan labels build`"
        ) from error
    except ValueError as error:
        raise CallerError(f"{called} {directory.url!r} is not a valid label bank: {error}") from error


def read_words(option: str, url: str, options: dict) -> bytes:
    """A file's content. Raises CallerError, naming the option, if it cannot be read."""
    files, path = file_system(url, options)
    try:
        return bytes(files.cat_file(path))  # pyright: ignore[reportArgumentType]
    except Exception as error:  # every file system has errors of its own
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else first_line(error)
        raise CallerError(f"{option} {url!r} cannot be read: {reason}") from error


def open_words(option: str, url: str, options: Mapping[str, Any]) -> BinaryIO:
    """A file to read line by line, going on where a download broke. Raises CallerError, naming the option."""
    files, path = file_system(url, options)
    try:
        entry = files.info(path)
    except Exception as error:  # every file system has errors of its own
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else first_line(error)
        raise CallerError(f"{option} {url!r} cannot be read: {reason}") from error
    if entry["type"] != "file":
        raise CallerError(f"{option} {url!r} cannot be read: it is not a file")
    if entry.get("size") is None:  # a server that does not say beforehand
        return io.BytesIO(read_words(option, url, dict(options)))
    return open_range(files, path, entry["size"])


def model_of(model: Model, bank: LabelBank) -> Model:
    """The model that is asked for, or else the one that the bank was made with; nameless if neither is known."""
    if model.name is None and bank.info.model:
        return model.model_copy(update={"name": bank.info.model, "pretrained": bank.info.pretrained})
    return model


def check_negatives(methods: Iterable[str], bank: LabelBank, labels: str) -> None:
    """Raises CallerError if a method needs negative labels that the bank has not."""
    for name in methods:
        if name in NEEDS_NEGATIVES and not bank.negative_count:
            raise CallerError(f"--method {name} needs negative labels, and --labels {labels!r} has none")


def check_bank_fits(bank: LabelBank, labels: str, spec: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if the bank's embeddings are not this model's."""
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
    """The prompts of the bank's negative nouns, which texts made of its labels are encoded under; CSP's if unknown."""
    return tuple(bank.info.prompts.get("noun") or CSP.noun)
