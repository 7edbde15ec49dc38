"""Rescoring, end to end on Ray: the same to the last bit however the tables are cut, resumed, and over bad rows."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.encoders import ClipEncoder
from ood_core.labels import BankInfo, LabelBank
from ood_core.memory.inversion import Inverter
from ood_core.scores import ImageScores, score_dataset
from pipelines.config.model import Model
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.errors import CallerError
from pipelines.runtime.cluster import cluster
from pipelines.scans.rescore import rescore
from pipelines.verify.verify import verify
from tests.conftest import DEMO, Storage, settled_dtype
from tests.pipelines.in_plan_order import parts, score_tables, shard_ids

ONE_WORKER = ScorePool(workers=1)
IMAGES, DIM, SNAPSHOT = 300, 128, "snapshot-6.parquet"
TASK = {"adaneg.memory_length": 4, "interneg.steps": 2, "interneg.invert_below": 0.6, "interneg.extra_negatives": 20}
SAMPLE = {"adaneg.memory_length": 4, "adaneg.proxies": "sample", "adaneg.adaptive_gap": True}
ALL, NO_TEXTS = ("neglabel", "mcm", "debiased", "adaneg", "interneg"), ("adaneg", "neglabel")


@pytest.fixture(scope="module", autouse=True)
def session():
    with cluster():
        yield


def config(inputs: list[Path | str], bank: Path | str, output: Path | str, **changes: Any) -> Rescore:
    settled = {"score": ONE_WORKER, "method": ("neglabel", "mcm"), **changes}
    return Rescore(embeddings=tuple(map(str, inputs)), labels=str(bank), output=str(output), **settled)


def rescored(chosen: Rescore, options: dict[str, str] | None = None) -> dict[str, Any]:
    return rescore(chosen, options or {})


def lists(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values.tolist(), kind or pa.list_(pa.float32(), values.shape[1]))


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def images(bank_directory: Path) -> pa.Table:
    """Embeddings near the bank's labels, some nearer than others."""
    random = np.random.default_rng(0)
    bank = LabelBank.load(bank_directory)
    noise = random.normal(size=(IMAGES, bank.dim)) / np.sqrt(bank.dim)
    values = unit(bank.embeddings[random.integers(len(bank.texts), size=IMAGES)] + 1.2 * noise)
    return pa.table({"key": [f"image {row:03d}" for row in range(IMAGES)], "embedding": lists(values)})


def write_files(folder: Path, table: pa.Table, files: int, shuffled: bool) -> Path:
    folder.mkdir()
    order = np.random.default_rng(files).permutation(len(table)) if shuffled else np.arange(len(table))
    for number, rows in enumerate(np.array_split(order, files)):
        pq.write_table(table.take(rows), folder / f"{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def reference(images: pa.Table, bank_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted rescoring of three files in six shards, by methods that learn."""
    place = tmp_path_factory.mktemp("reference")
    write_files(place / "data", images, 3, shuffled=True)
    rescored(of_reference(place / "scan", place, bank_directory))
    return place


def of_reference(output: Path, reference: Path, bank: Path, **changes: Any) -> Rescore:
    settled = {"method": NO_TEXTS, "param": SAMPLE, "read": ReadEmbeddings(rows_per_shard=60), **changes}
    return config([reference / "data"], bank, output, **settled)


def files_of(output: Path, folder: str = "scores") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / folder).iterdir()}


def locally(images: pa.Table, bank: Path, chosen: Rescore) -> ImageScores:
    """What the plain function finds in this process."""
    invert = None
    methods = chosen.methods()
    if "interneg" in methods:
        encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}", dtype=settled_dtype("bundled"))
        invert = Inverter(encoder, chosen.param["interneg.steps"])
    embeddings = torch.from_numpy(np.stack(images["embedding"].to_numpy()).copy())
    return score_dataset(LabelBank.load(bank), methods, embeddings, images["key"].to_pylist(), invert=invert)


def by_key(output: Path) -> pa.Table:
    return pq.read_table(output / "scores").sort_by("key")


@pytest.mark.parametrize(
    ("methods", "parameters", "files", "workers", "rows_per_shard"),
    [
        (("neglabel", "mcm", "debiased", "adaneg"), {"adaneg.memory_length": 4}, 1, 1, 1000),
        (ALL, TASK, 3, 2, 37),
        (NO_TEXTS, {"adaneg.memory_length": 4, "adaneg.adaptive_gap": True}, 7, 2, 1000),
    ],
)
def test_scores_are_those_of_the_plain_function_however_the_tables_are_cut(
    images: pa.Table, bank_directory: Path, tmp_path: Path, methods, parameters, files, workers, rows_per_shard
) -> None:
    data = write_files(tmp_path / "data", images, files, shuffled=files > 1)
    read, score = ReadEmbeddings(rows_per_shard=rows_per_shard), ScorePool(workers=workers, cpus=1)
    chosen = config(
        [data], bank_directory, tmp_path / "out", method=methods, param=parameters, read=read, score=score,
        model=Model(name="bundled"),
    )  # fmt: skip
    rescored(chosen)
    found, expected = by_key(tmp_path / "out"), locally(images, bank_directory, chosen)
    assert found["key"].to_pylist() == images["key"].to_pylist()
    for name, scores in expected.scores.items():
        np.testing.assert_array_equal(found[f"score_{name}"].to_numpy(), scores, err_msg=name)
        assert len(np.unique(scores)) > IMAGES / 2
    np.testing.assert_array_equal(found["id_probability"].to_numpy(), expected.id_probability)
    assert verify(str(tmp_path / "out"), {}, reread=True).problems == []


def test_what_the_reference_learned_is_what_the_plain_function_learns(
    reference: Path, images: pa.Table, bank_directory: Path
) -> None:
    expected = locally(images, bank_directory, of_reference(reference / "scan", reference, bank_directory))
    np.testing.assert_array_equal(by_key(reference / "scan")["score_adaneg"].to_numpy(), expected.scores["adaneg"])
    memory = pq.read_table(reference / "scan/memory" / SNAPSHOT)
    assert 10 < len(memory) <= 14 * 3
    learned = {"images": len(memory), "rows": len(set(memory["row"].to_pylist()))}
    assert json.loads((reference / "scan/summary.json").read_text())["learned"] == {"adaneg": learned}
    assert sorted(path.name for path in (reference / "scan/memory").iterdir()) == [
        "candidates", SNAPSHOT, "verdicts",
    ]  # fmt: skip


def lost_scores(output: Path) -> None:
    for part in parts(output)[1:4]:
        (output / "scores" / part).unlink()


def lost_memory(output: Path) -> None:
    """As if killed while candidates are gathered."""
    shutil.rmtree(output / "scores")
    (output / "memory" / SNAPSHOT).unlink()
    for part in parts(output)[2:]:
        (output / "memory/candidates" / part).unlink()


def lost_verdicts(output: Path) -> None:
    lost_memory(output)
    shutil.rmtree(output / "memory/candidates")
    for part in parts(output)[:2]:
        (output / "memory/verdicts" / part).unlink()


@pytest.mark.parametrize("lose", [lost_scores, lost_memory, lost_verdicts])
def test_what_is_missing_is_made_again_with_the_same_bytes(
    reference: Path, bank_directory: Path, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    output = Path(shutil.copytree(reference / "scan", tmp_path / "scan"))
    lose(output)
    summary = rescored(of_reference(output, reference, bank_directory))
    assert summary["statuses"] == {"ok": IMAGES}
    for folder in ("scores", "memory/verdicts"):
        assert files_of(output, folder) == files_of(reference / "scan", folder)
    assert (output / "memory" / SNAPSHOT).read_bytes() == (reference / "scan/memory" / SNAPSHOT).read_bytes()
    assert verify(str(output), {}, tables=True).problems == []


def test_a_finished_rescoring_is_not_begun_again(reference: Path, bank_directory: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (reference / "scan" / "scores").iterdir()}
    summary = rescored(of_reference(reference / "scan", reference, bank_directory))
    assert summary["last_run"] == {"images": 0}
    assert {path: path.stat().st_mtime_ns for path in (reference / "scan" / "scores").iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"param": {**SAMPLE, "adaneg.beta": 5.5}}, "adaneg.beta was 5.0 and is now 5.5"),
        ({"param": {}}, "adaneg.memory_length was 4 and is now 10"),
        ({"method": ("adaneg",)}, "method was 'adaneg, neglabel' and is now 'adaneg'"),
        ({"read": ReadEmbeddings(rows_per_shard=60, normalize=True)}, "read.normalize was False and is now True"),
        ({"read": ReadEmbeddings(rows_per_shard=50)}, "read.rows_per_shard was 60 and is now 50"),
    ],
)
def test_another_config_on_the_same_output_is_refused_by_name(
    reference: Path, bank_directory: Path, changes: dict[str, Any], difference: str
) -> None:
    with pytest.raises(CallerError, match="holds another scan") as refused:
        rescore(of_reference(reference / "scan", reference, bank_directory, **changes))
    assert difference in str(refused.value)


def test_another_bank_or_input_is_refused_by_name(reference: Path, bank_directory: Path, tmp_path: Path) -> None:
    whole = LabelBank.load(bank_directory)
    rest = slice(0, len(whole.texts) - 1)
    LabelBank(
        whole.texts[rest], whole.parts[rest], whole.id_count, whole.embeddings[rest], whole.selection_scores[rest],
        whole.verdicts[rest],
    ).save(tmp_path / "bank")  # fmt: skip
    with pytest.raises(CallerError, match="labels was '"):
        rescore(of_reference(reference / "scan", reference, tmp_path / "bank"))
    copied = Path(shutil.copytree(reference, tmp_path / "copy"))
    chosen = of_reference(reference / "scan", copied, bank_directory)
    with pytest.raises(CallerError, match=r"input 'file://.*copy/data/0.parquet' is new"):
        rescore(chosen)


def test_a_new_scan_forgets_what_the_old_one_wrote_and_nothing_else(
    reference: Path, bank_directory: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(reference / "scan", tmp_path / "scan"))
    (output / "mine.txt").write_text("kept")
    (output / "scores/mine.parquet").write_text("kept")
    rescore(of_reference(output, reference, bank_directory, param={}), new_scan=True)
    assert (output / "mine.txt").exists()
    assert (output / "scores/mine.parquet").exists()
    assert json.loads((output / "scan.json").read_text())["identity"]["neglabel.groups"] == 100


def altered(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(io.BytesIO(path.read_bytes()))
    pq.write_table(change(table), path)


def shortened(output: Path) -> None:
    path = output / "scores" / parts(output)[0]
    table = pq.read_table(io.BytesIO(path.read_bytes()))
    metadata = {**table.schema.metadata, b"oodscan.records": b"59"}
    pq.write_table(table.slice(0, 59).replace_schema_metadata(metadata), path)


def sooner(offered: pa.Table) -> pa.Table:
    """Every image remembered before all others."""
    return offered.set_column(offered.column_names.index("priority"), "priority", pa.array([-1.0] * len(offered)))


DAMAGE = {
    "a memory lost": (
        lambda output: (output / "memory" / SNAPSHOT).unlink(),
        f"memory/{SNAPSHOT} is missing",
    ),
    "a memory cut short": (
        lambda output: (output / "memory" / SNAPSHOT).write_bytes(b"PAR1"),
        f"memory/{SNAPSHOT} cannot be read",
    ),
    "another scan's memory": (
        lambda output: altered(output / "memory" / SNAPSHOT, lambda table: table.replace_schema_metadata({})),
        f"memory/{SNAPSHOT} carries the fingerprint of another scan",
    ),
    "candidates that were not merged": (
        lambda output: altered(output / "memory/candidates" / parts(output)[0], sooner),
        f"memory/{SNAPSHOT} is not what the candidates of adaneg come to",
    ),
    "candidates lost": (
        lambda output: (output / "memory/candidates" / parts(output)[0]).unlink(),
        "memory/candidates/part-{first}.parquet is missing",
    ),
    "verdicts lost": (
        lambda output: (output / "memory/verdicts" / parts(output)[0]).unlink(),
        "memory/verdicts/part-{first}.parquet is missing",
    ),
    "the last row of a part lost": (shortened, "scores/part-{first}.parquet: there are 59 rows, and 60 are planned"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_verification_names_what_a_rescoring_lacks(reference: Path, tmp_path: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    output = Path(shutil.copytree(reference / "scan", tmp_path / "scan"))
    damage(output)
    problems, said = verify(str(output), {}, tables=True).problems, message.format(first=shard_ids(output)[0])
    assert any(problem.startswith(said) for problem in problems), problems


def test_rereading_notices_an_input_that_has_changed(reference: Path, bank_directory: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(reference, tmp_path / "place"))
    record = (place / "scan/plan.parquet").read_bytes()
    assert verify(str(reference / "scan"), {}, reread=True).problems == []
    table = pq.read_table(io.BytesIO(record))
    altered(place / "data/1.parquet", lambda table: table.set_column(0, "key", pa.array(["x"] * len(table))))
    moved = [[url.replace(str(reference), str(place)) for url in urls] for urls in table["urls"].to_pylist()]
    sizes = [[Path(url.removeprefix("file://")).stat().st_size for url in urls] for urls in moved]
    versions = [[str(Path(url.removeprefix("file://")).stat().st_mtime) for url in urls] for urls in moved]
    for name, values in {"urls": moved, "sizes": sizes, "versions": versions}.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, place / "scan/plan.parquet")
    problems = verify(str(place / "scan"), {}, reread=True).problems
    assert [problem.partition(":")[0] for problem in problems] == shard_ids(place / "scan")[2:4]
    assert problems[0].endswith("the input holds 60 records, the score table 60, or their keys differ")


def small_bank(directory: Path, negatives: int = 6, info: BankInfo | None = None) -> Path:
    """Labels along the axes of eight dimensions: two ID, the rest negative."""
    count = 2 + negatives
    bank = LabelBank(
        [f"label {number}" for number in range(count)], ["noun"] * count, 2, np.eye(count, 8, dtype=np.float32),
        np.full(count, np.nan), [None] * count, info or BankInfo(),
    )  # fmt: skip
    bank.save(directory)
    return directory


E0 = [1.0, *[0.0] * 7]
CELLS = [E0, None, [1.0, 0.0], [float("nan"), *E0[1:]], [0.0] * 8, [2.0, *E0[1:]], E0, E0, [0.5] * 4 + [0.0] * 4]
KEYS = ["a", "b", "c", "d", "e", "f", None, "a", "g"]
STATUSES = [
    "ok", "missing-embedding", "wrong-dimension", "not-finite", "zero-vector", "not-unit-norm", "missing-key",
    "ok", "ok",
]  # fmt: skip


def test_bad_rows_are_rows_and_other_columns_come_along(tmp_path: Path) -> None:
    """Bad rows of every kind, a damaged row group, a table of bad rows alone, of one row, of none, and no table."""
    data = tmp_path / "data"
    data.mkdir()
    extra: dict[str, Any] = {
        "size": range(9),
        "tags": [["x"]] * 9,
        "shard": ["old"] * 9,
        "score_old": ["high"] * 9,
        "read_s": [0] * 9,
    }
    tensors = pa.fixed_shape_tensor(pa.float32(), [2])
    extra["tensor"] = pa.ExtensionArray.from_storage(tensors, pa.array([[1.0, 2.0]] * 9, tensors.storage_type))
    extra["kind"] = pa.array(["x", "y", None] * 3).dictionary_encode()
    extra["nothing"] = pa.nulls(9)
    whole = pa.table({"key": KEYS, "embedding": pa.array(CELLS, pa.list_(pa.float64())), **extra})
    pq.write_table(whole, data / "a.parquet")
    pq.write_table(whole.slice(1, 5), data / "b.parquet")
    pq.write_table(whole.slice(0, 1), data / "c.parquet")
    pq.write_table(whole.slice(0, 0), data / "d.parquet")
    (data / "e.parquet").write_bytes(b"PAR1")
    many = pa.table({"key": [f"f{row}" for row in range(30)], "embedding": [E0] * 30, "size": ["many"] * 30})
    buffer = io.BytesIO()
    pq.write_table(many, buffer, row_group_size=10, compression="none", use_dictionary=False)
    content, chunk = bytearray(buffer.getvalue()), pq.ParquetFile(buffer).metadata.row_group(1).column(1)
    content[chunk.data_page_offset : chunk.data_page_offset + 40] = b"\xff" * 40
    (data / "f.parquet").write_bytes(content)
    output = tmp_path / "out"
    chosen = config([data], small_bank(tmp_path / "bank"), output, method=("mcm", "neglabel", "adaneg"))
    summary = rescored(chosen)
    assert not summary["within_error_budget"]
    assert not (output / "_SUCCESS").exists()
    tables = dict(zip("abcdef", score_tables(output), strict=True))
    assert [len(table) for table in tables.values()] == [9, 5, 1, 0, 1, 30]
    assert tables["a"]["status"].to_pylist() == STATUSES
    assert tables["a"]["key"].to_pylist() == KEYS
    ok = [status == "ok" for status in STATUSES]
    for column in ("id_label", "id_probability", "negative_label", "score_mcm", "score_neglabel", "score_adaneg"):
        assert tables["a"][column].is_valid().to_pylist() == ok
        assert not any(tables["b"][column].is_valid().to_pylist())
    assert tables["a"]["input_shard"].to_pylist() == ["old"] * 9
    assert tables["a"]["input_score_old"].to_pylist() == ["high"] * 9
    assert tables["a"]["size"].to_pylist() == list(range(9))
    assert tables["a"].schema.field("tensor").type == tensors
    assert tables["a"]["kind"].to_pylist() == ["x", "y", None] * 3
    assert set(tables["a"].column_names) > {"tags", "read_s", "nothing"}
    assert tables["e"]["status"].to_pylist() == ["damaged-archive"]
    assert tables["f"]["status"].to_pylist() == ["ok"] * 10 + ["damaged-archive"] * 10 + ["ok"] * 10
    assert tables["f"]["size"].to_pylist() == ["many"] * 10 + [None] * 10 + ["many"] * 10
    assert verify(str(output), {}, reread=True).problems == []


def test_a_method_that_learns_scores_when_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    """No image is confident; and there is a table without rows."""
    (tmp_path / "data").mkdir()
    middle = [0.5, 0.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0]
    table = pa.table({"key": ["a"], "embedding": [middle]})
    pq.write_table(table, tmp_path / "data/a.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "data/b.parquet")
    bank = small_bank(tmp_path / "bank", 6, BankInfo(temperature=1.0))
    rescored(
        config([tmp_path / "data"], bank, tmp_path / "out", method=("adaneg", "neglabel"), param={"neglabel.groups": 5})
    )
    assert len(pq.read_table(tmp_path / "out/memory/snapshot-2.parquet")) == 0
    found = by_key(tmp_path / "out").to_pylist()
    assert found[0]["score_adaneg"] == pytest.approx(1.1 * found[0]["score_neglabel"], abs=1e-6)


def test_tables_without_any_row_are_rescored_to_tables_without_any_row(tmp_path: Path) -> None:
    table = pa.table({"key": ["a"], "embedding": [E0]}).slice(0, 0)
    pq.write_table(table, tmp_path / "a.parquet")
    bank = small_bank(tmp_path / "bank", negatives=0)
    (bank / "bank.json").unlink()
    summary = rescored(config([tmp_path / "a.parquet"], bank, tmp_path / "out", method=("mcm",)))
    assert (summary["records"], summary["success"]) == (0, False)
    assert pq.read_table(tmp_path / "out/scores").num_rows == 0
    assert verify(str(tmp_path / "out"), {}, reread=True).problems == ["nothing was scored: none of 0 records is ok"]


def test_foreign_tables_and_a_bank_without_a_description_on_every_storage(storage: Storage, tmp_path: Path) -> None:
    """NeMo Curator's, FiftyOne's and clip-retrieval's layouts, a scan's own embeddings, and keys that are numbers."""
    values = unit(np.random.default_rng(0).normal(size=(6, 8)))
    data, bank = tmp_path / "source", small_bank(tmp_path / "labels", negatives=0)
    (bank / "bank.json").unlink()
    for name in ("tables", "retrieval/img_emb", "retrieval/metadata", "retrieval/text_emb"):
        (data / name).mkdir(parents=True)
    names = [f"n{row}" for row in range(6)]
    kinds = {
        "nemo": {"id": names, "embeddings": lists(values, pa.list_(pa.float64())), "caption": ["c"] * 6},
        "fifty": {"filepath": names, "features": lists(values, pa.large_list(pa.float32())), "label": [None] * 6},
        "own": {
            "key": names, "shard": ["s"] * 6, "index": range(6),
            "embedding": lists(values.astype(np.float16), pa.list_(pa.float16(), 8)),
        },
        "numbers": {"key": range(6), "vector": lists(values)},
    }  # fmt: skip
    for name, columns in kinds.items():
        pq.write_table(pa.table(columns), data / "tables" / f"{name}.parquet")
    np.save(data / "retrieval/img_emb/img_emb_0.npy", values)
    np.save(data / "retrieval/text_emb/text_emb_0.npy", values)
    pq.write_table(pa.table({"image_path": names}), data / "retrieval/metadata/metadata_0.parquet")
    inputs: list[Path | str] = [f"{storage.upload(data, 'input')}/{name}" for name in ("tables", "retrieval")]
    output = f"{storage.root}/out"
    rescored(config(inputs, storage.upload(bank, "bank"), output, method=("mcm",)), storage.options)
    found = score_tables(output, storage.options)
    assert [len(table) for table in found] == [6] * 5
    assert {status for table in found for status in table["status"].to_pylist()} == {"ok"}
    fifty, nemo, numbers, own, npy = found
    assert numbers["key"].to_pylist() == [str(row) for row in range(6)]
    assert nemo["caption"].to_pylist() == ["c"] * 6
    assert own["input_index"].to_pylist() == list(range(6))
    for table in (fifty, numbers, npy):
        assert table["score_mcm"].equals(nemo["score_mcm"])
        assert table["negative_label"].null_count == 6
    assert verify(output, storage.options, reread=True).problems == []


def test_sequential_order_resumes_to_the_same_bytes_and_takes_files_of_other_columns(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    values = unit(np.random.default_rng(1).normal(size=(90, 8)))
    for number, extra in enumerate([{"x": range(30)}, {"x": ["text"] * 30}, {}]):
        part = slice(30 * number, 30 * number + 30)
        columns = {"key": [f"{row}" for row in range(90)][part], "embedding": lists(values[part]), **extra}
        pq.write_table(pa.table(columns), tmp_path / "data" / f"{number}.parquet")
    parameters = {"adaneg.order": "sequential", "adaneg.batch_size": 7}
    chosen = config(
        [tmp_path / "data"], small_bank(tmp_path / "bank"), tmp_path / "out", method=("adaneg",), param=parameters
    )
    rescored(chosen)
    before, second = files_of(tmp_path / "out"), parts(tmp_path / "out")[1]
    assert pq.read_table(io.BytesIO(before[second]))["x"].to_pylist() == ["text"] * 30
    assert verify(str(tmp_path / "out"), {}, tables=True).problems == []
    (tmp_path / "out/scores" / second).unlink()
    assert rescored(chosen)["last_run"]["images"] == 30
    assert files_of(tmp_path / "out") == before


def test_a_table_of_texts_spares_the_model_and_belongs_to_what_is_asked_for(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "bank", 6, BankInfo(model="ViT-Z-99", pretrained="nowhere"))
    pq.write_table(pa.table({"key": ["a"], "embedding": [E0]}), tmp_path / "a.parquet")
    texts = [f"label {i} and label {j}" for i in range(2) for j in range(2, 8)]
    table = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"text": texts, "embedding": [E0] * 12}), table)
    chosen = config([tmp_path / "a.parquet"], bank, tmp_path / "out", method=("negrefine",), text_embeddings=str(table))
    rescore(chosen)
    assert json.loads((tmp_path / "out/scan.json").read_text())["identity"]["text_embeddings"]
    assert verify(str(tmp_path / "out"), {}, tables=True).problems == []
    pq.write_table(pa.table({"text": texts, "embedding": [E0[::-1]] * 12}), table)
    with pytest.raises(CallerError, match="text_embeddings was '.*' and is now '"):
        rescore(chosen)


def test_workers_that_do_not_fit_the_cluster_are_refused(reference: Path, bank_directory: Path, tmp_path: Path) -> None:
    chosen = of_reference(tmp_path / "out", reference, bank_directory, score=ScorePool(workers=900))
    with pytest.raises(CallerError, match="--score-workers 900: the cluster has no room for 900 x 1 CPUs: 1 x "):
        rescored(chosen)
    assert not (tmp_path / "out/scan.json").exists()
