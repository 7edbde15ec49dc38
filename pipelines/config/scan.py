"""A scan's configuration: frozen, checked where it enters, from YAML and the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from ood_core.criteria import CRITERIA, Criterion, parameters_of
from ood_core.methods import LEARNS, METHODS, Order, Parameters
from pipelines.config.base import Positive, Section
from pipelines.config.judges import JudgeConfig, WordNet, judge_config, option_of
from pipelines.errors import CallerError, first_line


class Model(Section):
    """Any OpenCLIP model: a name and a pretrained tag or file, `hf-hub:…`, or `local-dir:…`. None: the label bank's."""

    name: str | None = None
    pretrained: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("name")
    @classmethod
    def _absolute(cls, name: str | None) -> str | None:
        """Workers may stand in another directory."""
        if name and name.startswith("local-dir:"):
            return f"local-dir:{Path(name.removeprefix('local-dir:')).absolute()}"
        return name


class Read(Section):
    """What counts as a record. `images_per_shard` cuts folders and lists of images into shards."""

    image_column: str | None = None
    key_column: str | None = None
    images_per_shard: Positive = 1000
    max_image_bytes: Positive = 256 * 2**20
    max_image_pixels: Positive = 100_000_000


class Pool(Section):
    """A pool of workers; None: fitted to the cluster. More workers change the speed, never the scores."""

    workers: Positive | None = None
    cpus: float | None = Field(default=None, gt=0)


class EncodePool(Pool):
    """`block`: images per forward pass, part of what the scores' last bits depend on; `batch_size`: rows per call.

    None: 16 and 64 on a CPU, 256 and 1024 on a GPU.
    """

    gpus: float | None = Field(default=None, ge=0)
    threads: Positive = 1
    block: Positive | None = None
    batch_size: Positive | None = None


class Memory(Section):
    """The memory of methods that learn. `uri`: an earlier scan whose memory this one begins with; with `freeze` it
    learns nothing more. `shards`: over how many actors its rows are split. `max_staleness`: of how many batches a
    worker may go without news in streaming order."""

    uri: str | None = None
    freeze: bool = False
    shards: Positive = 1
    max_staleness: int = Field(default=8, ge=0)

    @field_validator("freeze")
    @classmethod
    def _of_something(cls, freeze: bool, info: ValidationInfo) -> bool:
        if freeze and not info.data.get("uri"):
            raise ValueError("there is no memory to freeze; name an earlier scan's (--memory URI)")
        return freeze

    def settings(self, methods: Mapping[str, Parameters]) -> dict[str, Any]:
        """What the rows depend on, of methods that learn."""
        streams = any(getattr(chosen, "order", None) == "streaming" for chosen in methods.values())
        return {"freeze_memory": self.freeze, **({"max_staleness": self.max_staleness} if streams else {})}


class Scan(Section):
    """Everything `oodscan scan` needs to know. The fields are the options of the command line, in YAML."""

    input: tuple[str, ...] = Field(min_length=1)
    labels: str
    output: str
    method: tuple[str, ...] = ("neglabel", "mcm")
    param: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    read: Read = Read()
    decode: Pool = Pool()
    encode: EncodePool = EncodePool()
    order: Order | None = None
    memory: Memory = Memory()
    embeddings: bool = False
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)

    def methods(self) -> dict[str, Parameters]:
        return method_parameters(self.method, self.param, self.order)

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, beside methods, bank, model and input."""
        return {
            "embeddings": self.embeddings,
            **self.memory.settings(self.methods()),
            **{f"read.{key}": value for key, value in self.read.model_dump().items()},
        }


class ReadEmbeddings(Section):
    """What counts as an embedding. `rows_per_shard` cuts large tables into shards; `normalize` brings every embedding
    to unit length, which else it must have."""

    key_column: str | None = None
    embedding_column: str | None = None
    normalize: bool = False
    rows_per_shard: Positive = 100_000


class ScorePool(Pool):
    """Workers that read and score; None: one a GPU, else one a CPU."""

    gpus: float | None = Field(default=None, ge=0)
    threads: Positive = 1


class Rescore(Section):
    """Everything `oodscan rescore` needs to know. `model` and `text_embeddings`: where the methods that need texts
    beyond the bank's get their embeddings from."""

    embeddings: tuple[str, ...] = Field(min_length=1)
    labels: str
    output: str
    method: tuple[str, ...] = ("neglabel", "mcm")
    param: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    text_embeddings: str | None = None
    read: ReadEmbeddings = ReadEmbeddings()
    order: Order | None = None
    memory: Memory = Memory()
    score: ScorePool = ScorePool()
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)

    def methods(self) -> dict[str, Parameters]:
        return method_parameters(self.method, self.param, self.order)

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, beside methods, bank, model and input."""
        return {
            "command": "rescore",
            **self.memory.settings(self.methods()),
            **{f"read.{key}": value for key, value in self.read.model_dump().items()},
        }


class LabelsBuild(Section):
    """Everything `oodscan labels build` needs to know. `corpus`: `wordnet`, or word-list files, `adjective:FILE` for
    adjectives. What is None has the criterion's default, and may be given only if the criterion has it."""

    id_labels: str
    output: str
    corpus: tuple[str, ...] = Field(default=("wordnet",), min_length=1)
    wordnet_files: tuple[str, ...] | None = None
    criterion: Literal["neglabel", "csp", "density", "interneg"] = "neglabel"
    quantile: float | None = Field(default=None, ge=0, le=1)
    fraction: float | None = Field(default=None, gt=0, le=1)
    adjective_fraction: float | None = Field(default=None, gt=0, le=1)
    phrase_seed: int | None = Field(default=None, ge=0)
    neighbours: Positive | None = None
    negatives: Positive | None = None
    id_images: tuple[str, ...] | None = None
    label_column: str | None = None
    first_pass: tuple[str, ...] | None = None
    images_per_label: Positive | None = None
    read: Read = Read()
    judge: Annotated[JudgeConfig, Field(discriminator="name"), BeforeValidator(judge_config)] = WordNet()
    temperature: float | None = Field(default=None, gt=0)
    permutation_seed: int = Field(default=0, ge=0)
    model: Model = Model(name="ViT-B-16", pretrained="openai")
    encode: EncodePool = EncodePool()

    @field_validator(
        "quantile", "fraction", "adjective_fraction", "phrase_seed", "neighbours", "negatives", "id_images",
        "label_column", "first_pass", "images_per_label",
    )  # fmt: skip
    @classmethod
    def _belongs(cls, value: Any, info: ValidationInfo) -> Any:
        criterion = info.data.get("criterion")
        if value is None or criterion is None or str(info.field_name) in criterion_options(criterion):
            return value
        options = ", ".join("--" + name.replace("_", "-") for name in criterion_options(criterion))
        raise ValueError(f"not an option of --criterion {criterion}, which has {options}")

    def criterion_parameters(self) -> Criterion:
        """The criterion with its parameters, defaults where nothing is given."""
        given = {name: getattr(self, name) for name in parameters_of(self.criterion)}
        return CRITERIA[self.criterion](**{name: value for name, value in given.items() if value is not None})


def criterion_options(criterion: str) -> tuple[str, ...]:
    """The fields that a criterion has of its own."""
    images = ("id_images", "label_column", "first_pass") if criterion == "interneg" else ()
    return (*images, *parameters_of(criterion))


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


def load(section: type[Section], file: Path | None, overrides: Mapping[str, Any]) -> Any:
    """A section from a YAML file with the command line's values laid over it. Raises CallerError."""
    values = _read_yaml(file) if file else {}
    merged = _merged(values, overrides)
    try:
        return section.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = [*map(str, first["loc"])]
        judges = len(place) > 2 and place[0] == "judge"  # and then the judge's name and its field
        name = ".".join([place[0], *place[2:]] if judges else place)
        option = option_of(place[2]) if judges else f"--{name.replace('_', '-')}"
        if first["type"] == "missing":
            raise CallerError(
                f"{option} is missing; give it on the command line or as `{name}:` in the YAML"
            ) from error
        raise CallerError(f"{option if judges else name} = {first['input']!r}: {_reason(first)}") from error


def parse_values(option: str, given: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs; a value is read as YAML reads it (numbers, true), or else is text."""
    values: dict[str, Any] = {}
    for name, text in parse_texts(option, given).items():
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            values[name] = text
    return values


def parse_storage_options(given: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs for a file system; a value is text, but for `true` and `false`."""
    if not all(name and equals for name, equals, _ in (assignment.partition("=") for assignment in given)):
        raise CallerError("--storage-options takes NAME=VALUE pairs (what was given may be a secret and is not shown)")
    options = parse_texts("--storage-options", given)
    return {name: {"true": True, "false": False}.get(value, value) for name, value in options.items()}


def parse_texts(option: str, given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` pairs. Raises CallerError for what is not of that form."""
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


def _reason(error: Any) -> str:
    return error["msg"].removeprefix("Value error, ")
