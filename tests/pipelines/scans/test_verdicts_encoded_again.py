"""Verdicts on a scan of images that has kept no embeddings: images are read, and encoded, once more."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ood_core.vectors import vectors_of
from pipelines.config.image_judges import ImageHttp
from pipelines.errors import CallerError
from pipelines.scans.add_verdicts import add_verdicts
from pipelines.scans.scan import scan
from pipelines.verify.verify import verify
from tests.pipelines.in_plan_order import score_rows
from tests.pipelines.judges.openai_server import serving
from tests.pipelines.scanned_drawings import drawings_asked, seen_as, truth_about

ASKED = 12


@pytest.fixture(scope="module")
def place(drawings: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings, and an ended scan of them that has kept no embeddings."""
    place = tmp_path_factory.mktemp("without-embeddings")
    shutil.copytree(drawings, place / "drawings")
    scan(drawings_asked(place / "drawings", bank_directory, place / "scan"))
    return place


def answers(file: Path, output: Path, names: list[str]) -> str:
    """A file that says of animals that they belong, and of the rest that they do not."""
    rows = {Path(row["key"]).stem: row for row in score_rows(output).select(["shard", "index", "key"]).to_pylist()}
    lines = [
        f"{rows[name]['shard']},{rows[name]['index']},{rows[name]['key']},{'yes' if 'animals' in name else 'no'},ada"
        for name in names
    ]
    file.write_text("\n".join(["shard,index,key,verdict,by", *lines]))
    return str(file)


def kept(output: Path) -> dict[str, np.ndarray]:
    """The embeddings of the images that somebody has judged."""
    [part] = (output / "verdicts").glob("part-*")
    table = pq.read_table(part)
    vectors = vectors_of(table["embedding"]).astype(np.float32)
    return {Path(key).stem: vector for key, vector in zip(table["key"].to_pylist(), vectors, strict=True)}


def test_the_embeddings_are_those_that_another_scan_has_kept(
    place: Path, scan_of_drawings: Path, tmp_path: Path
) -> None:
    judged = ["animals-03", "computer-20", "animals-11", "computer-05"]
    found = {}
    for name, before in (("made again", place / "scan"), ("kept", scan_of_drawings)):
        output = Path(shutil.copytree(before, tmp_path / name))
        assert (output / "embeddings").exists() == (name == "kept")
        assert add_verdicts(str(output), [answers(tmp_path / "said.csv", output, judged)], {}).new == len(judged)
        assert verify(str(output), {}, tables=True).problems == []
        found[name] = kept(output)
    assert set(found["made again"]) == set(found["kept"]) == set(judged)
    for name in judged:
        np.testing.assert_allclose(found["made again"][name], found["kept"][name], atol=1e-3)


def replaced(path: Path) -> None:
    """By something of the same size."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, (1, 1))


def test_images_that_are_gone_or_replaced_are_not_judged_and_the_others_as_ever(
    place: Path, drawings: Path, scan_of_drawings: Path, tmp_path: Path
) -> None:
    names, lines = seen_as(drawings), list[str]()
    with serving(truth_about(names)) as server:
        judge = ImageHttp(url=server.url, model="m", max_questions=ASKED, concurrency=4)

        def asked_of(output: Path) -> dict[str, str]:
            server.requests.clear()
            add_verdicts(str(output), [], {}, judge=judge, say=lines.append)
            return {names[request.pictures[0]]: request.question for request in server.requests}

        expected = asked_of(Path(shutil.copytree(scan_of_drawings, tmp_path / "kept")))
        gone, other, *there = sorted(expected)
        (place / f"drawings/{gone}.png").unlink()
        replaced(place / f"drawings/{other}.png")
        output = Path(shutil.copytree(place / "scan", tmp_path / "scan"))
        assert asked_of(output) == {name: expected[name] for name in there}, "of the same labels"
    assert f"image judge: 2 of {ASKED} images cannot be read again, and are not asked about" in lines
    assert set(kept(output)) == set(there)
    for name, why in ((gone, "cannot be read"), (other, "has changed since it was planned")):
        before = score_rows(output)
        with pytest.raises(CallerError) as error:
            add_verdicts(str(output), [answers(tmp_path / "said.csv", output, [name])], {})
        told = str(error.value)
        assert "has kept no embeddings (--embeddings)" in told and f"{name}.png" in told and "\n" not in told, told
        assert why in told, told
        assert score_rows(output).equals(before)
