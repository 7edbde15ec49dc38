"""A vision-language model answers the questions on a scan: which images it is shown, and the verdicts of it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ood_core.decoding.thumbnail import clean_picture
from ood_core.image_questions import image_questions
from pipelines.config.image_judges import ImageJudgeConfig, NoImageJudge
from pipelines.config.pools import ScorePool
from pipelines.config.scan import Read
from pipelines.errors import CallerError
from pipelines.judges.image_judge import image_answer_store, judged, open_image_judge
from pipelines.judges.open_judge import check_fits
from pipelines.runtime.pools import fit_scorers
from pipelines.runtime.progress import Say
from pipelines.scan_directory.columns import LOCATOR
from pipelines.scan_directory.layout import IMAGE_ANSWERS
from pipelines.scan_directory.record import ScanRecord
from pipelines.storage import Directory
from pipelines.verdicts.answers import Answer
from pipelines.verdicts.ask import choose
from pipelines.verdicts.pictures import pictures_of
from pipelines.verdicts.places import Place, ScanImages
from pipelines.verdicts.questions import nearest_labels

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster

Asked = tuple[Place, Mapping[str, Any], bytes, Sequence[str]]
"""An image that a model is asked about: where it lies, its row, the picture, and its nearest labels."""


def check_image_judge(config: ImageJudgeConfig, methods: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises CallerError for a judge that cannot be had, and where there is no consensus, by which images are chosen.

    `options`: of remote file systems.
    """
    if "consensus" not in methods:
        raise CallerError("--image-judge needs --method consensus, whose anchors say which images to ask about")
    open_image_judge(config, options)


def model_answers(
    record: ScanRecord, config: ImageJudgeConfig, found: "Cluster", say: Say, places: Sequence[Place] | None = None
) -> list[Answer]:
    """What a model says of the images whose answer moves most. `places`: of others instead.

    An image that cannot be read again, and a question without an answer, are passed over and counted. Raises
    CallerError if the model cannot be asked.
    """
    options = record.directory.options
    judge = open_image_judge(config, options, say)
    if judge is None or isinstance(config, NoImageJudge):
        return []
    check_fits(config, found.cpus, found.gpus)
    if places is None:
        chosen = choose(record, config.max_questions, fit_scorers(ScorePool(), "cpu", found))
        places = [question.place for question in chosen]
    asked = _shown(record, places, config.nearest, found, say)
    default = Directory(f"{record.directory.url.rstrip('/')}/{IMAGE_ANSWERS}", options)
    store = image_answer_store(config, default)
    answers = judged(judge, store, [image_questions((picture, labels) for _, _, picture, labels in asked)])
    model, now = judge.judge.model, datetime.now(UTC)
    said = [
        _answer(place, row, told, model, now)
        for (place, row, _, _), told in zip(asked, answers.to_pylist(), strict=True)
    ]
    failed = answers.filter(answers["error"].is_valid())
    if len(failed):
        say(f"image judge: {len(failed)} of {len(asked)} questions have no answer: {failed['error'][0].as_py()}")
    return [answer for answer in said if answer]


def _shown(record: ScanRecord, places: Sequence[Place], nearest: int, found: "Cluster", say: Say) -> list[Asked]:
    """What the model is asked of these images: of those that can be read again."""
    images = ScanImages(record)
    rows = [row or {} for row in images.rows(places, ["key", "id_label", *LOCATOR])]
    pictures = pictures_of(images, places, rows, _clean)
    shown = [
        (place, row, picture) for place, row, picture in zip(places, rows, pictures, strict=True) if picture is not None
    ]
    if missing := len(places) - len(shown):
        say(f"image judge: {missing} of {len(places)} images cannot be read again, and are not asked about")
    labels = nearest_labels(
        images, [place for place, _, _ in shown], [row for _, row, _ in shown], nearest, found, say
    )  # fmt: skip
    return [(*image, near) for image, near in zip(shown, labels, strict=True)]


def _clean(content: bytes, read: Read) -> bytes:
    return clean_picture(content, max_pixels=read.max_image_pixels, max_scans=read.max_jpeg_scans)


def _answer(place: Place, row: Mapping[str, Any], told: Mapping[str, Any], model: str, at: datetime) -> Answer | None:
    """The model's answer on an image; None if there is none."""
    if told["answer"] is None:
        return None
    sure = 1.0 if told["answer"] == "yes" else 0.0
    belongs = sure if told["probability_yes"] is None else told["probability_yes"]
    return Answer(f"{model} on {row['key']!r}", *place, row["key"] or "", belongs, model, at, told["description"])
