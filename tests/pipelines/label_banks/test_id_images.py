"""Which labelled images stand for an ID label."""

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError
from pipelines.inputs.records import records
from pipelines.label_banks.id_images import IdImages, find_id_images, label_numbers
from tests.conftest import Storage, encoded, picture, write_tar

IDS = ["cat", "polar bear"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images of each label and two of another, in folders, a table and manifests."""
    for label, count in (("cat", 3), ("Polar_Bear", 3), ("hammer", 2)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "data" / label / f"{number}.png").write_bytes(encoded(picture(number)))
    (tmp_path / "data" / "notes.md").write_text("x")
    paths = [f"data/{label}/{number}.png" for label in ("cat", "Polar_Bear") for number in range(3)]
    labels = ["cat"] * 3 + ["polar bear"] * 3
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "path"), *zip(labels, paths, strict=True)])
    pq.write_table(pa.table({"path": paths, "label": labels}), tmp_path / "list.parquet")
    images = [Path(tmp_path / path).read_bytes() for path in paths]
    pq.write_table(pa.table({"image": images, "key": list("abcdef"), "class": labels}), tmp_path / "table.parquet")
    write_tar(tmp_path / "images.tar", {"cat/0.png": images[0]})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*given: str, most: int = 16, options: Any = None, **more: Any) -> IdImages:
    config = LabelsBuild(id_labels="", output="", criterion="interneg", id_images=given, **more)
    return find_id_images(config, IDS, most, options or {})


def chosen(images: IdImages, options: dict[str, Any] | None = None) -> list[tuple[str, int, bytes]]:
    config = LabelsBuild(id_labels="", output="")
    return sorted(
        (record.key, part.labels[index], record.content)
        for part in images.slices
        for index, record in enumerate(records(part.shard, config.read, options or {}))
        if index in part.labels
    )


def test_a_folder_is_named_after_its_label(place: Path) -> None:
    images = found("data")
    expected = [(f"Polar_Bear/{number}.png", 1, encoded(picture(number))) for number in range(3)]
    assert chosen(images) == expected + [(f"cat/{number}.png", 0, encoded(picture(number))) for number in range(3)]
    assert (images.count, images.left_out) == (6, {"hammer": 2})


def test_folders_may_be_given_one_by_one_and_none_counts_twice(place: Path) -> None:
    images = found("data/cat", "data/Polar_Bear", "data/cat")
    assert (images.count, images.left_out) == (6, {})


@pytest.mark.parametrize("manifest", ["list.csv", "list.parquet"])
def test_a_manifest_lists_paths_and_labels(place: Path, manifest: str) -> None:
    assert [row[1:] for row in chosen(found(manifest))] == [row[1:] for row in chosen(found("data"))]
    elsewhere = found(str(place / manifest))
    assert [row[1:] for row in chosen(elsewhere)] == [row[1:] for row in chosen(found("data"))]


def test_a_table_of_images_has_a_column_of_labels(place: Path) -> None:
    rows = chosen(found("table.parquet", label_column="class"))
    assert [(key, label) for key, label, _ in rows] == [
        *zip("abc", [0] * 3, strict=True),
        *zip("def", [1] * 3, strict=True),
    ]


@pytest.mark.parametrize("given", ["data", "list.csv", "table.parquet"])
def test_of_many_images_the_same_few_are_chosen(place: Path, given: str) -> None:
    more: dict[str, Any] = {"label_column": "class"} if given == "table.parquet" else {}
    rows = chosen(found(given, most=1, **more))
    assert [label for _, label, _ in rows] in ([0, 1], [1, 0])
    assert rows == chosen(found(given, given, most=1, **more))
    assert set(rows) <= set(chosen(found(given, **more)))


def test_images_may_lie_in_any_storage(storage: Storage, place: Path) -> None:
    url = storage.upload(place / "data", "uploaded")
    images = found(url, options=storage.options)
    assert [row[1:] for row in chosen(images, storage.options)] == [row[1:] for row in chosen(found("data"))]


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        (("data/cat",), {}, "--id-images 'data/cat' has no image of 1 ID labels: 'polar bear'"),
        (("data/hammer",), {}, "no image of 2 ID labels: 'cat', 'polar bear'; it has images of other labels: 'hammer'"),
        (("nowhere",), {}, "--id-images 'nowhere' does not exist or holds no files"),
        (("images.tar",), {}, "the labels of a tar's images are not known"),
        (("data/notes.md",), {}, "is not a .tar, .parquet, .txt (a list) or image file"),
        (("table.parquet",), {}, "no column 'label' of labels among image, key, class; give --label-column"),
        (("table.parquet",), {"label_column": "kind"}, "no column 'kind' of labels"),
        (("list.parquet",), {"read": {"image_column": "image"}}, "no image column ('image') among path, label"),
        (("list.csv",), {"label_column": "class"}, "'list.csv', row 1: it needs 'path' and 'class'"),
        (("broken.parquet",), {}, "broken.parquet': "),
        (("broken.csv",), {}, "--id-images 'broken.csv' cannot be read: 'utf-8' codec can't decode"),
        (("gone.csv",), {}, "--id-images 'gone.csv' cannot be read: it does not exist"),
        (("bad.csv",), {}, "--id-images: 'data/gone.png' cannot be read: it does not exist"),
    ],
)
def test_what_does_not_show_every_label_is_refused(
    place: Path, given: tuple[str, ...], more: dict[str, Any], said: str
) -> None:
    (place / "broken.parquet").write_bytes(b"PAR1 not")
    (place / "broken.csv").write_bytes(b"path,label\n\xff,cat\n")
    (place / "bad.csv").write_text("path,label\ndata/gone.png,cat\ndata/Polar_Bear/0.png,polar bear\n")
    with pytest.raises(CallerError) as refused:
        found(*given, **more)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_spelling_decides_where_labels_differ_in_nothing_else() -> None:
    assert label_numbers(["Crane", "crane", "polar bear"]) == {"Crane": 0, "crane": 1, "polar bear": 2}
    assert label_numbers(["Polar_Bear"]) == {"polar bear": 0, "Polar_Bear": 0}
