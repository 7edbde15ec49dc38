"""The caller's mistakes: exit code 2 before any work, one line that names the option, the value and what would do."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.labels import LabelBank
from pipelines.commands.app import main
from pipelines.config.labels import LabelsBuild
from pipelines.config.model import Model
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.label_banks.build import build
from pipelines.label_banks.request import LabelBankRequest
from pipelines.scans.scan import scan


def command(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs `oodscan`, which must fail with exit code 2, and returns the one line it says."""
    monkeypatch.setattr(sys, "argv", ["oodscan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.fixture
def place(tmp_path: Path, dataset: Path, bank_directory: Path) -> Path:
    """A directory in which `data`, `bank` and several broken things lie under short names."""
    (tmp_path / "data").symlink_to(dataset)
    (tmp_path / "bank").symlink_to(bank_directory)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "list.txt").write_text("data/folder/00.webp\ngone.pdf\n")
    (tmp_path / "twice.txt").write_text("cat\ndog\ncat\n")
    (tmp_path / "blank.txt").write_text("cat\n\ndog\n")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "nothing.txt").write_text("")
    (tmp_path / "broken.yaml").write_text("input: [unclosed")
    (tmp_path / "unknown.yaml").write_text("input: [data]\nlabels: bank\noutput: out\nspeed: 9\n")
    broken = tmp_path / "broken-bank"
    broken.mkdir()
    (broken / "labels.parquet").write_bytes(b"not Parquet")
    bank = LabelBank.load(bank_directory)
    LabelBank(bank.texts[:5], bank.parts[:5], 5, bank.embeddings[:5], np.full(5, np.nan), [None] * 5, bank.info).save(
        tmp_path / "only-id"
    )
    return tmp_path


@pytest.fixture
def tables(place: Path) -> Path:
    """The same, with tables of embeddings and of texts, and other banks."""
    unit = np.eye(1, 128, dtype=np.float32).tolist()

    def write(name: str, **columns: object) -> None:
        pq.write_table(pa.table(columns), place / name)

    write("e.parquet", key=["a"], embedding=pa.array(unit, pa.list_(pa.float32(), 128)))
    write("texts.parquet", text=["cat and hammer"], embedding=unit)
    write("short.parquet", text=["a"], embedding=[[1.0, 0.0]])
    write("long.parquet", text=["a"], embedding=[[2.0] * 128])
    write("null.parquet", text=["a", "b"], embedding=[*unit, None])
    write("none.parquet", text=pa.array([], pa.string()), embedding=pa.array([], pa.list_(pa.float32())))
    nothing = np.full(2, np.nan)
    LabelBank(["a", "b"], ["noun"] * 2, 1, np.eye(2, dtype=np.float32), nothing, [None] * 2).save(place / "other-bank")
    shutil.copytree(place / "bank", place / "silent-bank")
    (place / "silent-bank/bank.json").unlink()
    return place


BUILD = ["labels", "build", "--id-labels", "labels.txt", "--output", "b"]
RESCORE = {"--embeddings": "e.parquet", "--labels": "bank", "--output": "out"}
SCAN = {"--input": "data", "--labels": "bank", "--output": "out"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--input": "nowhere"}, "--input 'nowhere' does not exist or holds no files"),
        ({"--input": "empty"}, "--input 'empty' does not exist or holds no files"),
        ({"--input": "notes.md"}, "--input 'notes.md' is not a .tar, .parquet, .txt (a list) or image file"),
        ({"--input": "list.txt"}, "--input 'list.txt', line 2: 'gone.pdf' is not a .tar, .parquet or image file"),
        ({"--input": "data/*.jpg"}, "--input 'data/*.jpg' does not exist or holds no files"),
        ({"--method": "negable"}, "--method 'negable' is unknown; the methods are mcm, max-cos, gl-mcm, neglabel"),
        ({"--param": "neglabel.gruops=5"}, "--param neglabel.gruops=5: neglabel has the parameters groups"),
        ({"--param": "neglabel.groups=0"}, "--param neglabel.groups=0: groups must be at least 1, not 0"),
        ({"--param": "neglabel.groups=many"}, "--param neglabel.groups=many: Input should be a valid integer"),
        ({"--method": "mcm", "--param": "mcm.temperature=-1"}, "temperature must be above 0, not -1"),
        ({"--param": "csp.groups=5"}, "no --method 'csp' was asked for"),
        ({"--param": "neglabel.groups"}, "--param 'neglabel.groups' is not of the form NAME=VALUE"),
        ({"--labels": "nowhere"}, "is not a label bank: it has no labels.parquet; make one with `oodscan"),
        ({"--labels": "broken-bank"}, "is not a valid label bank: labels.parquet is not a readable Parquet file"),
        ({"--labels": "only-id", "--method": "neglabel"}, "--method neglabel needs negative labels"),
        ({"--output": "notes.md/out"}, "notes.md/out' cannot be written to: "),
        ({"--output": "nosuch://out"}, "'nosuch://out' cannot be opened: Protocol not known: nosuch"),
        ({"--image-column": "picture"}, "no image column ('picture') among key, image"),
        ({"--max-bad-fraction": "2"}, "max_bad_fraction = 2.0: Input should be less than or equal to 1"),
        ({"--threshold": "abc"}, "--threshold 'abc' is not of the form NAME=VALUE"),
        ({"--threshold": "nope=0.3"}, "--threshold nope=0.3: no --method 'nope'; it is neglabel, max-cos"),
        ({"--threshold": "max-cos=low"}, "threshold.max-cos = 'low': Input should be a valid number"),
        ({"--keep": "2"}, "keep = 2.0: Input should be less than or equal to 1"),
        ({"--keep": "0"}, "keep = 0.0: Input should be greater than 0"),
        ({"--max-flagged": "7"}, "max_flagged = 7.0: Input should be less than or equal to 1"),
        ({"--calibrate": "nowhere"}, "nowhere' is not a scan directory: it has no scan.json or no plan.parquet"),
        ({"--calibrate": "out"}, "--calibrate 'out' is --output itself: a scan cannot say what belongs in it"),
        ({"--group-by": "camera"}, "--group-by 'camera' is no column that images can be grouped by; these are: fol"),
        ({"--encode-workers": "0"}, "encode.workers = 0: Input should be greater than or equal to 1"),
        ({"--device": "tpu"}, "model.device = 'tpu': Input should be 'auto', 'cpu' or 'cuda'"),
    ],
)  # fmt: skip
def test_a_scan_that_cannot_work_is_refused_at_once(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(place)
    given = [part for option in (SCAN | changes).items() for part in option]
    assert said in command(["scan", *given], capsys, monkeypatch)
    assert not (place / "out" / "scan.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan", "broken.yaml"], "CONFIG 'broken.yaml' cannot be read"),
        (["scan", "unknown.yaml"], "speed = 9: Extra inputs are not permitted"),
        (["scan", "--input", "data", "--labels", "bank"], "--output is missing"),
        (["labels", "build", "--id-labels", "twice.txt", "--output", "b"], "--id-labels 'twice.txt'"),
        (["labels", "build", "--id-labels", "blank.txt", "--output", "b"], "--id-labels 'blank.txt'"),
        (["labels", "build", "--id-labels", "nothing.txt", "--output", "b"], "--id-labels 'nothing.txt'"),
        (["labels", "build", "--id-labels", "gone.txt", "--output", "b"], "'gone.txt' cannot be read: it does not"),
        (["labels", "build", "--id-labels", "labels.txt", "--output", "b", "--corpus", "gone"], "--corpus 'gone'"),
        (["labels", "build", "--id-labels", "labels.txt", "--output", "b", "--corpus", "nothing.txt"], "no words"),
        (["labels", "build", "--id-labels", "labels.txt", "--output", "b", "--wordnet-file", "noun.x"], "'noun.x'"),
        (["labels", "build", "--id-labels", "labels.txt", "--output", "b", "--criterion", "luck"], "criterion ="),
        ([*BUILD, "--criterion", "csp", "--quantile", "0.9"], "quantile = 0.9: not an option of --criterion csp"),
        ([*BUILD, "--criterion", "neglabel", "--neighbours", "5"], "neighbours = 5: not an option of --criterion neg"),
        ([*BUILD, "--criterion", "interneg", "--fraction", "0.1"], "which has --id-images, --label-column, "),
        ([*BUILD, "--id-images", "data"], "id_images = ['data']: not an option of --criterion neglabel"),
        ([*BUILD, "--criterion", "interneg"], "--criterion interneg needs --id-images: "),
        ([*BUILD, "--criterion", "interneg", "--id-images", "data/folder"], "has no image of 2 ID labels: 'cat'"),
        ([*BUILD, "--criterion", "density", "--neighbours", "0"], "neighbours = 0: Input should be greater than or"),
        ([*BUILD, "--criterion", "density", "--fraction", "1.5"], "fraction = 1.5: Input should be less than or"),
        (["evaluate", "--id", "nowhere", "--ood", "a=data"], "--id 'nowhere' is not a scan directory"),
        (["evaluate", "--id", "data/table.parquet", "--ood", "a=data"], "a table without a score column"),
        (["verify", "empty"], "SCAN 'empty' is not a scan directory"),
        (["plan", "--input", "nowhere"], "--input 'nowhere' does not exist"),
    ],
)  # fmt: skip
def test_every_command_refuses_what_it_cannot_do(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(place)
    assert said in command(arguments, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--embeddings": "nowhere"}, "--embeddings 'nowhere' does not exist or holds no files"),
        ({"--embeddings": "empty"}, "--embeddings 'empty' does not exist or holds no files"),
        ({"--embeddings": "notes.md"}, "--embeddings 'notes.md' is not a .parquet, .npy or .txt (a list) file"),
        ({"--embeddings": "data/folder"}, "--embeddings 'data/folder' holds no table of embeddings (.parquet or .npy)"),
        ({"--embeddings": "data/table.parquet"}, "among key, image; name it with --embedding-column"),
        ({"--embedding-column": "clip"}, "there is no column 'clip' among key, embedding; name it with --embed"),
        ({"--embedding-column": "key"}, "--embedding-column 'key' holds string, no lists of floats"),
        ({"--key-column": "name"}, "there is no column 'name' among key, embedding; name it with --key-column"),
        ({"--labels": "other-bank"}, "its embeddings have dimension 128, those of the label bank 2"),
        ({"--labels": "only-id"}, "--method neglabel needs negative labels, and --labels 'only-id' has none"),
        ({"--labels": "only-id", "--method": "adaneg"}, "--method adaneg needs negative labels"),
        ({"--method": "gl-mcm"}, "--method gl-mcm needs the images, not their embeddings alone; use `oodscan scan`"),
        ({"--method": "adange"}, "--method 'adange' is unknown; the methods are mcm, max-cos, gl-mcm, neglabel, "),
        ({"--method": "adaneg", "--param": "adaneg.order=shuffled"}, "'transductive', 'streaming' or 'sequential'"),
        ({"--method": "adaneg", "--param": "adaneg.memory=4"}, "adaneg has the parameters groups, memory_length, "),
        ({"--method": "adaneg", "--param": "adaneg.gap=2"}, "--param adaneg.gap=2: gap must be at most 1, not 2"),
        ({"--method": "negrefine", "--labels": "silent-bank"}, "give --model or --text-embeddings; --labels"),
        ({"--method": "interneg", "--labels": "silent-bank"}, "give --model or --param interneg.max_inversions=0; "),
        ({"--text-embeddings": "texts.parquet"}, "'texts.parquet' is for --method negrefine, which is not asked for"),
        ({"--method": "negrefine", "--text-embeddings": "gone"}, "--text-embeddings 'gone' cannot be read: it does"),
        ({"--method": "negrefine", "--text-embeddings": "notes.md"}, "'notes.md' is not a table of text and embedding"),
        ({"--method": "negrefine", "--text-embeddings": "e.parquet"}, "'e.parquet' is not a table of text and"),
        ({"--method": "negrefine", "--text-embeddings": "texts.parquet"}, "has no embedding of 'cat and flag'"),
        ({"--method": "negrefine", "--text-embeddings": "short.parquet"}, "of dimension 2, the label bank's have 128"),
        ({"--method": "negrefine", "--text-embeddings": "long.parquet"}, "the embedding of 'a' is not of unit length"),
        ({"--method": "negrefine", "--text-embeddings": "null.parquet"}, "it has no rows, or rows without a text"),
        ({"--method": "negrefine", "--text-embeddings": "none.parquet"}, "it has no rows, or rows without a text"),
        ({"--output": "notes.md/out"}, "notes.md/out' cannot be written to: "),
        ({"--order": "streaming"}, "--order streaming: none of the methods neglabel, max-cos learns from the images"),
        ({"--method": "interneg", "--order": "streaming"}, "--order streaming: interneg turns images into words once"),
        ({"--method": "adaneg", "--memory": "data"}, "data' is not a scan directory: it has no scan.json"),
        ({"--method": "adaneg", "--memory-shards": "0"}, "memory.shards = 0: Input should be greater than or equal"),
        ({"--rows-per-shard": "0"}, "read.rows_per_shard = 0: Input should be greater than or equal to 1"),
        ({"--score-workers": "0"}, "score.workers = 0: Input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_rescoring_that_cannot_work_is_refused_at_once(
    tables: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(tables)
    given = [part for option in (RESCORE | changes).items() for part in option]
    assert said in command(["rescore", *given], capsys, monkeypatch)
    assert not (tables / "out" / "scan.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["scan", "--help"],
        ["scan", "--input", "nowhere", "--labels", "x"],
        ["rescore", "--help"],
        ["rescore", "--embeddings", "nowhere", "--labels", "x", "--output", "y"],
        ["verify", "nowhere"],
    ],
)
def test_help_and_mistakes_are_answered_without_torch_and_ray(arguments: list[str]) -> None:
    program = (
        "import sys; from pipelines.commands.app import main; sys.argv = ['oodscan', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'open_clip', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(name="local-dir:/nowhere"), "cannot be loaded"),
        (Model(name="ViT-Z-99", pretrained="openai"), "--model 'ViT-Z-99' --pretrained 'openai' cannot be loaded"),
        (Model(name="ViT-B-32", pretrained="nosuch"), "--model 'ViT-B-32' --pretrained 'nosuch' cannot be loaded"),
        (Model(name="bundled", device="cuda"), "--device cuda: the cluster has no room for 1 x 1 CPUs and 1 GPUs"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_refused_before_any_work(
    dataset: Path, bank_directory: Path, tmp_path: Path, ray_session: None, model: Model, said: str
) -> None:
    chosen = Scan(input=(str(dataset),), labels=str(bank_directory), output=str(tmp_path / "out"), model=model)
    with pytest.raises(CallerError) as refused:
        scan(chosen)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out" / "scan.json").exists()


def test_a_bank_of_another_dimension_is_refused(dataset: Path, tmp_path: Path, ray_session: None) -> None:
    LabelBank(["a", "b"], ["noun"] * 2, 1, np.eye(2, 7, dtype=np.float32), np.full(2, np.nan), [None] * 2).save(
        tmp_path / "bank"
    )
    chosen = Scan(
        input=(str(dataset),), labels=str(tmp_path / "bank"), output=str(tmp_path / "out"), model=Model(name="bundled")
    )
    with pytest.raises(CallerError, match="holds embeddings of dimension 7, --model 'bundled' makes 128"):
        scan(chosen)


def test_pools_that_do_not_fit_the_cluster_are_refused(
    dataset: Path, bank_directory: Path, tmp_path: Path, ray_session: None
) -> None:
    chosen = Scan.model_validate(
        {"input": [str(dataset)], "labels": str(bank_directory), "output": str(tmp_path), "encode": {"workers": 900}}
    )
    with pytest.raises(CallerError, match="--encode-workers 900: the cluster has no room for 900 x 1 CPUs"):
        scan(chosen)


def test_a_label_bank_needs_a_model_that_can_be_loaded(tmp_path: Path, ray_session: None) -> None:
    (tmp_path / "labels.txt").write_text("cat\n")
    asked = LabelsBuild(
        id_labels=str(tmp_path / "labels.txt"),
        output=str(tmp_path / "bank"),
        corpus=(str(tmp_path / "labels.txt"),),
        model=Model(name="local-dir:/nowhere"),
    )
    with pytest.raises(CallerError, match="--model 'local-dir:/nowhere' cannot be loaded"):
        build(LabelBankRequest.prepare(asked, {}))


ON_STORAGE = "s3://others/place"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (f"scan --input {ON_STORAGE} --labels bank --output out --method mcm", "--input"),
        (f"scan --input data --labels {ON_STORAGE} --output out --method mcm", "--labels"),
        (f"scan --input data --labels bank --output {ON_STORAGE} --method mcm", "--output"),
        (f"rescore --embeddings {ON_STORAGE} --labels bank --output out --method mcm", "--embeddings"),
        (f"plan --input {ON_STORAGE}", "--input"),
        (f"plan --input data --output {ON_STORAGE}", "--output"),
        (f"evaluate --id {ON_STORAGE} --ood far={ON_STORAGE}", "--id"),
        (f"verify {ON_STORAGE}", "SCAN"),
        (f"labels build --id-labels {ON_STORAGE} --output out", "--id-labels"),
        (f"labels build --id-labels labels.txt --corpus {ON_STORAGE} --output out", "--corpus"),
        (f"labels build --id-labels labels.txt --output {ON_STORAGE}", "--output"),
        (f"labels show {ON_STORAGE}", "BANK"),
        (f"labels diff {ON_STORAGE} {ON_STORAGE}", "A"),
        (f"memory show {ON_STORAGE}", "SCAN"),
        (f"anchors show {ON_STORAGE}", "SCAN"),
    ],
)
def test_keys_that_a_storage_refuses_are_one_line_that_names_the_option(
    place: Path,
    ceph_endpoint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    named: str,
) -> None:
    monkeypatch.chdir(place)
    keys = [f"endpoint_url={ceph_endpoint}", "key=AKtest", "secret=hunter2"]
    options = [part for pair in keys for part in ("--storage-options", pair)]
    said = command([*arguments.split(), *options], capsys, monkeypatch)
    assert said.startswith(f"oodscan: {named} '{ON_STORAGE}'")
    assert "Forbidden" in said or "PermissionError" in said
    assert "hunter2" not in said
