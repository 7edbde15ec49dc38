"""A model behind a server answers the questions on a scan of drawings: at its end or later, each question once."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ood_core.image_questions import prompt
from pipelines.config.image_judges import ImageHttp, ImageReplay
from pipelines.errors import CallerError
from pipelines.scans.add_verdicts import add_verdicts
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.pipelines.in_plan_order import score_rows
from tests.pipelines.judges.openai_server import OpenAIServer, Reply, Request, fails, says, serving
from tests.pipelines.scanned_drawings import PRIVATE, drawings_asked, seen_as, truth_about

KEY = "sk-the-secret-of-the-tests"
ASKED = 12
"""Images that the model is asked about."""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OODSCAN_TEST_KEY", KEY)


class Place:
    """A server that knows the drawings, and scans of them that it judges."""

    def __init__(self, server: OpenAIServer, drawings: Path, bank: Path, plain: Path) -> None:
        self.server, self.drawings, self.bank, self.plain = server, drawings, bank, plain
        self.names = seen_as(drawings)
        server.reply = self.truth = truth_about(self.names)

    def judge(self, **changes: Any) -> ImageHttp:
        settled = {"model": "m", "key_env": "OODSCAN_TEST_KEY", "max_questions": ASKED, "concurrency": 4, **changes}
        return ImageHttp(url=self.server.url, **settled)

    def copy(self, place: Path) -> Path:
        """An ended scan that nobody has judged."""
        return Path(shutil.copytree(self.plain, place / "scan"))

    def run(self, output: Path, judge: Any, say: Callable[[str], None] = print, **changes: Any) -> dict[str, Any]:
        """The scan's own command, with a judge."""
        settled = {"embeddings": True, "image_judge": judge, **changes}
        return scan(drawings_asked(self.drawings, self.bank, output, **settled), say=say)

    def asked(self, model: str = "m") -> list[str]:
        """The drawings that a model was asked about, with all repetitions."""
        return [self.names[request.pictures[0]] for request in self.server.requests if request.body["model"] == model]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with serving(lambda _: fails(500)) as running:
        yield running


@pytest.fixture
def place(server: OpenAIServer, drawings: Path, bank_directory: Path, scan_of_drawings: Path) -> Place:
    server.requests.clear()
    return Place(server, drawings, bank_directory, scan_of_drawings)


@pytest.fixture(scope="module")
def alone(
    server: OpenAIServer, drawings: Path, bank_directory: Path, scan_of_drawings: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[Request]]:  # fmt: skip
    """A scan that a model has judged, left alone meanwhile, and what the model was asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OODSCAN_TEST_KEY", KEY)
        place = Place(server, drawings, bank_directory, scan_of_drawings)
        output, before = place.copy(tmp_path_factory.mktemp("alone")), len(server.requests)
        place.run(output, place.judge())
    return output, server.requests[before:]


def all_files(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def made(output: Path) -> dict[str, bytes]:
    """What a scan makes of verdicts, without when they were given."""
    folders = ("scores/", "consensus/", "gallery", "thresholds")
    return {name: content for name, content in all_files(output).items() if name.startswith(folders)}


def said(output: Path) -> dict[tuple[str, str], float]:
    """By image and judge, what the scan directory keeps of them: once each."""
    tables = [pq.read_table(path) for path in sorted((output / "verdicts").glob("part-*"))]
    rows = pa.concat_tables(tables).to_pylist()
    found = {(Path(row["key"]).stem, row["by"]): row["belongs"] for row in rows}
    assert len(found) == len(rows), "nothing is kept twice"
    return found


def test_as_many_images_as_were_asked_for_are_shown_each_once_and_without_metadata(
    place: Place, alone: tuple[Path, list[Request]]
) -> None:
    _, requests = alone
    assert len(requests) == ASKED == len({place.names[request.pictures[0]] for request in requests})
    for request in requests:
        [content] = request.pictures
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert (picture.format, max(picture.size) <= 448) == ("JPEG", True)
            assert not picture.getexif() and not set(picture.info) & {"exif", "icc_profile", "comment", "xmp"}
        assert PRIVATE.encode() not in content
        assert request.key == KEY
        assert all(f'"{label}"' in request.question for label in ("cat", "dog", "horse", "bird", "fish"))


def test_answers_become_verdicts_that_scores_and_summary_tell_of(
    place: Place, alone: tuple[Path, list[Request]]
) -> None:
    output, requests = alone
    by = f"m@{place.server.url.removeprefix('http://')}"
    shown = [place.names[request.pictures[0]] for request in requests]
    assert said(output) == {
        (name, by): pytest.approx(0.9 if name.startswith("animals") else 0.1, abs=1e-6) for name in shown
    }
    summary = place.run(output, place.judge())["learned"]["verdicts"]
    belong = sum(name.startswith("animals") for name in shown)
    assert 0 < belong < ASKED
    assert (summary["verdicts"], summary["by"]) == (ASKED, {by: ASKED})
    assert (summary["belong"], summary["do_not_belong"]) == (belong, ASKED - belong)
    rows, before = score_rows(output), score_rows(place.plain)
    places = {Path(name).stem: place for place, name in enumerate(rows["key"].to_pylist())}
    yes = [places[name] for name in shown if name.startswith("animals")]
    no = [places[name] for name in shown if not name.startswith("animals")]
    verdict = rows["verdict"].to_numpy()
    assert verdict[yes].mean() > 0.1 and verdict[no].mean() < -0.05, "though neighbours may outweigh a single one"
    now, then = (table["score_consensus"].to_numpy() for table in (rows, before))
    assert now[yes].mean() - now[no].mean() > then[yes].mean() - then[no].mean() + 0.2
    assert set(rows["verdict_by"].to_pylist()) <= {by, None}
    assert verify(str(output), {}, tables=True).problems == []


def test_the_same_command_again_asks_nothing_and_changes_no_byte(
    place: Place, alone: tuple[Path, list[Request]]
) -> None:
    output, _ = alone
    place.run(output, place.judge())
    before = all_files(output)
    place.run(output, place.judge())
    assert place.server.requests == []
    assert all_files(output) == before


def test_no_file_of_the_scan_holds_the_key(alone: tuple[Path, list[Request]]) -> None:
    output, requests = alone
    assert {request.key for request in requests} == {KEY}
    for path in output.rglob("*.*"):
        assert KEY.encode() not in path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            assert KEY not in f"{table.schema.metadata} {table.to_pylist()}", path


def cut_short(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def before_asking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pipelines.verdicts.judge.model_answers", cut_short)


def before_keeping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pipelines.scans.judge_images.keep", cut_short)


def after_keeping(patch: pytest.MonkeyPatch) -> None:
    from pipelines.verdicts.kept import keep

    patch.setattr("pipelines.scans.judge_images.keep", lambda *given: (keep(*given), cut_short()))


@pytest.mark.parametrize(("moment", "answers"), [(before_asking, 0), (before_keeping, ASKED), (after_keeping, ASKED)])
def test_a_run_that_is_cut_short_is_made_good_by_the_next_and_nobody_is_asked_twice(
    place: Place,
    alone: tuple[Path, list[Request]],
    tmp_path: Path,
    moment: Callable[[pytest.MonkeyPatch], None],
    answers: int,
) -> None:
    output = place.copy(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        moment(patch)
        with pytest.raises(KeyboardInterrupt):
            place.run(output, place.judge())
    assert (output / "consensus/judged.parquet").exists()
    assert len(place.asked()) == answers
    place.run(output, place.judge())
    left_alone, requests = alone
    assert sorted(place.asked()) == sorted(place.names[request.pictures[0]] for request in requests)
    assert said(output) == said(left_alone)
    assert made(output) == made(left_alone)
    assert verify(str(output), {}, tables=True).problems == []


def test_a_scan_is_judged_before_it_ends_from_the_rows_that_it_does_not_keep(
    place: Place, alone: tuple[Path, list[Request]], tmp_path: Path
) -> None:
    output, lines = tmp_path / "scan", list[str]()
    with pytest.MonkeyPatch.context() as patch:
        before_keeping(patch)
        with pytest.raises(KeyboardInterrupt):
            place.run(output, place.judge(), embeddings=False)
    assert not (output / "_SUCCESS").exists()
    place.run(output, place.judge(), lines.append, embeddings=False)
    assert f"{ASKED} questions, {ASKED} answered already, 0 to m@" in "\n".join(lines)
    assert len(place.asked()) == ASKED
    assert (output / "_SUCCESS").exists() and not (output / "encoded").exists()
    assert said(output) == said(alone[0])
    scores = [score_rows(each)["score_consensus"] for each in (output, alone[0])]
    assert scores[0].equals(scores[1])
    assert verify(str(output), {}, tables=True).problems == []


def test_answers_that_came_before_an_interruption_are_not_paid_for_again(place: Place, tmp_path: Path) -> None:
    output = place.copy(tmp_path)

    def say(line: str) -> None:
        if " answers, " in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.run(output, place.judge(concurrency=3), say)
    first = list(place.asked())
    place.run(output, place.judge())
    assert len(first) >= 3 and len(place.asked()) < 2 * ASKED
    kept = pa.concat_tables([pq.read_table(path) for path in (output / "verdicts/answers").iterdir()])
    assert len(kept) == ASKED == len(set(kept["question"].to_pylist()))
    assert len(said(output)) == ASKED


def test_another_model_is_asked_anew_and_what_the_first_has_said_stays(place: Place, tmp_path: Path) -> None:
    output = place.copy(tmp_path)
    place.run(output, place.judge())
    summary = place.run(output, place.judge(model="m2"))["learned"]["verdicts"]
    assert len(place.asked("m")) == len(place.asked("m2")) == ASKED
    assert not set(place.asked("m")) & set(place.asked("m2")), "of those that nobody has been asked about"
    assert sorted(summary["by"].values()) == [ASKED, ASKED]
    place.run(output, place.judge(model="m2"))
    count = len(place.server.requests)
    place.run(output, place.judge(model="m2", extra_body={"top_k": 1}))
    assert len(place.server.requests) > count, "what is sent along may change the answers"


def test_recorded_answers_give_the_same_verdicts_without_a_server(
    place: Place, alone: tuple[Path, list[Request]], tmp_path: Path
) -> None:
    left_alone, output = alone[0], place.copy(tmp_path)
    place.run(output, ImageReplay(recorded=str(left_alone / "verdicts/answers"), max_questions=ASKED))
    assert place.server.requests == []
    expected = {(name, f"replay:{by}"): belongs for (name, by), belongs in said(left_alone).items()}
    assert said(output) == expected
    scores = [score_rows(each)["score_consensus"] for each in (output, left_alone)]
    assert scores[0].equals(scores[1])


def test_answers_with_errors_are_counted_and_no_verdicts(place: Place, tmp_path: Path) -> None:
    output, lines = place.copy(tmp_path), list[str]()
    foreign = set[str]()

    def reply(request: Request) -> Reply:
        name = place.names[request.pictures[0]]
        if name.startswith("animals"):
            return place.truth(request)
        foreign.add(name)
        return says("Perhaps")

    place.server.reply = reply
    place.run(output, place.judge(), lines.append)
    assert (
        f"image judge: {len(foreign)} of {ASKED} questions have no answer: neither yes nor no, but 'Perhaps'" in lines
    )
    assert 0 < len(foreign) < ASKED
    assert {name for name, _ in said(output)} == set(place.asked()) - foreign


def test_a_model_that_never_answers_is_named_and_asked_about_the_same_images_by_the_next_run(
    place: Place, alone: tuple[Path, list[Request]], tmp_path: Path
) -> None:
    output = place.copy(tmp_path)
    place.server.reply = lambda _: says("Perhaps")
    with pytest.raises(CallerError, match="--image-judge-model 'm': 10 questions in a row without an answer"):
        place.run(output, place.judge())
    assert not list((output / "verdicts").glob("**/*.parquet"))
    place.server.reply = place.truth
    place.run(output, place.judge())
    assert said(output) == said(alone[0])


def test_an_ended_scan_is_judged_later_and_pictures_are_described(place: Place, tmp_path: Path) -> None:
    output = place.copy(tmp_path)
    found = add_verdicts(str(output), [], {}, judge=place.judge(describe=True))
    assert found.new == ASKED
    assert sum(request.question == prompt(None) for request in place.server.requests) == ASKED
    [part] = (output / "verdicts").glob("part-*")
    for row in pq.read_table(part).to_pylist():
        assert row["description"] == f"A drawing: {Path(row['key']).stem.partition('-')[0]}."
    assert verify(str(output), {}, tables=True).problems == []
