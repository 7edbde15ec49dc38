"""The configuration of `oodscan labels build`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ood_core.criteria import CRITERIA, Criterion, parameters_of
from pipelines.config.base import Configuration, Positive
from pipelines.config.judges import JudgeConfig, WordNet, judge_config
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read


class LabelsBuild(Configuration):
    """Everything `oodscan labels build` needs to know.

    `corpus`: `wordnet`, or word-list files, `adjective:FILE` for adjectives. A field of a criterion that is None has
    the criterion's default, and may be given only if the criterion has it. Where no judge is named, WordNet is
    the judge, but nobody is under the criterion `none`, which keeps the whole corpus.
    """

    id_labels: str
    output: str
    corpus: tuple[str, ...] = Field(default=("wordnet",), min_length=1)
    wordnet_files: tuple[str, ...] | None = None
    criterion: Literal["neglabel", "csp", "density", "interneg", "none"] = "neglabel"
    quantile: float | None = Field(default=None, ge=0, le=1)
    fraction: float | None = Field(default=None, gt=0, le=1)
    adjective_fraction: float | None = Field(default=None, gt=0, le=1)
    phrase_seed: int | None = Field(default=None, ge=0)
    neighbours: Positive | None = None
    negatives: Positive | None = None
    id_images: tuple[str, ...] | None = None
    label_column: str | None = None
    unlabelled_images: tuple[str, ...] | None = None
    images_per_label: Positive | None = None
    read: Read = Read()
    judge: Annotated[JudgeConfig, Field(discriminator="name"), BeforeValidator(judge_config)] = WordNet()
    temperature: float | None = Field(default=None, gt=0)
    permutation_seed: int = Field(default=0, ge=0)
    model: Model = Model(name="ViT-B-16", pretrained="openai")
    encode: EncodePool = EncodePool()

    @model_validator(mode="before")
    @classmethod
    def _whole_unless_judged(cls, given: Any) -> Any:
        """With the judge's name put in where the criterion is `none` and no judge is named."""
        if not isinstance(given, Mapping) or given.get("criterion") != "none":
            return given
        judge = given.get("judge", {})
        return {**given, "judge": {"name": "none", **judge}} if isinstance(judge, Mapping) else given

    @field_validator(
        "quantile", "fraction", "adjective_fraction", "phrase_seed", "neighbours", "negatives", "id_images",
        "label_column", "unlabelled_images", "images_per_label",
    )  # fmt: skip
    @classmethod
    def _of_the_criterion(cls, value: Any, info: ValidationInfo) -> Any:
        criterion = info.data.get("criterion")
        if value is None or criterion is None or str(info.field_name) in criterion_options(criterion):
            return value
        names = ("--" + name.replace("_", "-") for name in criterion_options(criterion))
        options = ", ".join(names) or "no options"
        raise ValueError(f"not an option of --criterion {criterion}, which has {options}")

    def criterion_parameters(self) -> Criterion:
        """The criterion with its parameters, defaults where nothing is given."""
        given = {name: getattr(self, name) for name in parameters_of(self.criterion)}
        return CRITERIA[self.criterion](**{name: value for name, value in given.items() if value is not None})


def criterion_options(criterion: str) -> tuple[str, ...]:
    """The names of the fields that only this criterion, or few, may be given."""
    images = ("id_images", "label_column", "unlabelled_images") if criterion == "interneg" else ()
    return (*images, *parameters_of(criterion))
