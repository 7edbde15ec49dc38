import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.bank import INFO_FILE, LABELS_FILE

AXES = np.eye(4, dtype=np.float32)


@pytest.fixture
def bank() -> LabelBank:
    return LabelBank(
        texts=["dog", "größe", 'a "quoted", word', "犬"],
        parts=["noun", "noun", "adjective", "noun"],
        id_count=1,
        embeddings=AXES,
        selection_scores=np.array([np.nan, 0.25, -0.5, 0.125]),
        verdicts=[None, None, "proper noun", None],
        info=BankInfo(
            model="ViT-B-16",
            pretrained="openai",
            weights="f00",
            prompts={"id": ["the nice {}"]},
            temperature=0.02,
            permutation_seed=7,
            corpus={"name": "wordnet", "files": ["noun.act"]},
            criterion={"name": "neglabel", "quantile": 0.95},
            judge={"name": "none"},
            counts={"candidates": 20, "kept": 3},
        ),
    )


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def foreign(texts=("a", "b", "c", "d"), roles=("id", "id", "negative", "negative"), embedding=None, **more) -> bytes:
    """A bank's Parquet file by someone else: only what must be there."""
    embedding = fixed(AXES[: len(texts)]) if embedding is None else embedding
    return parquet(text=pa.array(texts), role=pa.array(roles), embedding=embedding, **more)


def fixed(rows: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


# Files


def test_a_bank_read_back_is_the_same_bank_and_the_same_bytes(bank):
    files = bank.to_files()
    again = LabelBank.from_files(files[LABELS_FILE], files[INFO_FILE])
    assert again.to_files() == files
    assert (again.texts, again.parts, again.id_count, again.verdicts) == (
        ["dog", "größe", 'a "quoted", word', "犬"],
        ["noun", "noun", "adjective", "noun"],
        1,
        [None, None, "proper noun", None],
    )
    np.testing.assert_array_equal(again.embeddings, AXES)
    np.testing.assert_array_equal(again.selection_scores, [np.nan, 0.25, -0.5, 0.125])
    assert again.info == replace(bank.info, content_hash=bank.content_hash())


def test_a_saved_bank_is_a_directory_of_two_files(bank, tmp_path):
    bank.save(tmp_path / "new" / "bank")
    assert sorted(path.name for path in (tmp_path / "new" / "bank").iterdir()) == ["bank.json", "labels.parquet"]
    assert LabelBank.load(tmp_path / "new" / "bank").to_files() == bank.to_files()


def test_the_parquet_file_has_the_documented_columns(bank):
    schema = pq.read_schema(io.BytesIO(bank.to_files()[LABELS_FILE]))
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "text": "string",
        "role": "string",
        "part": "string",
        "embedding": "fixed_size_list<element: float>[4]",
        "selection_score": "double",
        "verdict": "string",
    }


def test_the_json_file_is_for_people_too(bank):
    described = bank.to_files()[INFO_FILE].decode()
    assert described.startswith('{\n  "model": "ViT-B-16",')
    assert json.loads(described)["content_hash"] == bank.content_hash()
    assert "permutation" not in json.loads(described)


@pytest.mark.parametrize("permutation", ["none", [2, 0, 1], None])
def test_a_permutation_is_kept_in_the_files(bank, permutation):
    files = replace(bank, info=replace(bank.info, permutation=permutation)).to_files()
    assert LabelBank.from_files(files[LABELS_FILE], files[INFO_FILE]).info.permutation == permutation


# Content hash

TURNED = AXES[[0, 1, 3, 2]]


@pytest.mark.parametrize(
    "change",
    [
        lambda bank: replace(bank, texts=["cat", *bank.texts[1:]]),
        lambda bank: replace(bank, id_count=2),
        lambda bank: replace(bank, embeddings=TURNED),
        lambda bank: replace(bank, info=replace(bank.info, temperature=0.01)),
        lambda bank: replace(bank, info=replace(bank.info, permutation="none")),
        lambda bank: replace(bank, info=replace(bank.info, permutation=[2, 0, 1])),
        lambda bank: replace(bank, info=replace(bank.info, permutation_seed=8)),
    ],
    ids=["text", "roles", "embeddings", "temperature", "no permutation", "permutation", "seed"],
)
def test_the_hash_changes_with_all_that_scores_depend_on(bank, change):
    assert change(bank).content_hash() != bank.content_hash()


@pytest.mark.parametrize(
    "change",
    [
        lambda bank: replace(bank, parts=["noun"] * 4),
        lambda bank: replace(bank, verdicts=[None] * 4),
        lambda bank: replace(bank, selection_scores=np.zeros(4)),
        lambda bank: replace(bank, info=replace(bank.info, model="other", counts={}, corpus={}, judge={})),
        lambda bank: replace(bank, info=replace(bank.info, content_hash="stale")),
        lambda bank: replace(bank, info=replace(bank.info, permutation=bank.permutation().tolist())),
        lambda bank: replace(bank, embeddings=np.asfortranarray(AXES)),
    ],
    ids=["parts", "verdicts", "selection", "provenance", "old hash", "the same permutation", "memory layout"],
)
def test_the_hash_does_not_change_with_the_rest(bank, change):
    assert change(bank).content_hash() == bank.content_hash()


def test_the_hash_is_the_same_everywhere(bank):
    # Recorded in every bank.json: a change here makes the banks that people have look changed.
    assert bank.content_hash() == "560b0df41c8c385314d2e81e3dd3676943a5c19a2e09e9831b41f3d8611f4543"


# Image embeddings


@pytest.fixture
def with_images(bank) -> LabelBank:
    return replace(bank, id_count=2, image_embeddings=AXES[[2, 0]])


def test_image_embeddings_are_kept_in_the_files(with_images):
    files = with_images.to_files()
    column = pq.read_table(io.BytesIO(files[LABELS_FILE]))["image_embedding"]
    assert str(column.type) == "fixed_size_list<element: float>[4]"
    assert column.to_pylist() == [[0, 0, 1, 0], [1, 0, 0, 0], None, None]
    again = LabelBank.from_files(files[LABELS_FILE], files[INFO_FILE])
    assert again.image_embeddings is not None
    np.testing.assert_array_equal(again.image_embeddings, AXES[[2, 0]])
    assert again.to_files() == files


def test_the_hash_is_of_the_image_embeddings_too(with_images):
    without = replace(with_images, image_embeddings=None)
    other = replace(with_images, image_embeddings=AXES[:2])
    assert len({bank.content_hash() for bank in (with_images, without, other)}) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (AXES[:3], r"image embeddings must be \[2, 4\] \(ID labels, dimension\), not \[3, 4\]"),
        (AXES[:2, :3], r"not \[2, 3\]"),
        (AXES[:2] * [[1], [2]], "label 'größe' has an image embedding of length 2, not 1"),
        (np.full((2, 4), np.nan), "label 'dog' has an image embedding of length nan, not 1"),
    ],
)
def test_bad_image_embeddings_are_refused(with_images, rows, message):
    with pytest.raises(ValueError, match=message):
        replace(with_images, image_embeddings=rows)


def test_image_embeddings_by_others():
    values = [None, [0.0, 1.0, 0.0, 0.0], None, [1.0, 0.0, 0.0, 0.0]]
    column = pa.array(values, pa.list_(pa.float32()))
    bank = LabelBank.from_files(foreign(roles=["negative", "id", "negative", "id"], image_embedding=column))
    assert bank.image_embeddings is not None
    np.testing.assert_array_equal(bank.image_embeddings, AXES[[1, 0]])
    empty = pa.array([None] * 4, pa.list_(pa.float32(), 4))
    assert LabelBank.from_files(foreign(image_embedding=empty)).image_embeddings is None
    partly = LabelBank.from_files(foreign(image_embedding=column))  # of two ID labels the first has none
    assert partly.image_embeddings is not None
    np.testing.assert_array_equal(partly.image_embeddings, [np.zeros(4), AXES[1]])
    np.testing.assert_array_equal(
        LabelBank.from_files(*partly.to_files().values()).image_embeddings, partly.image_embeddings
    )


# Banks by others


def test_text_role_and_embedding_make_a_bank():
    bank = LabelBank.from_files(foreign())
    assert (bank.texts, bank.parts, bank.verdicts) == (["a", "b", "c", "d"], ["noun"] * 4, [None] * 4)
    assert (bank.id_count, bank.negative_count, bank.dim) == (2, 2, 4)
    assert np.isnan(bank.selection_scores).all()
    assert bank.info == BankInfo(temperature=0.01, permutation=None, permutation_seed=0)


def test_interleaved_roles_are_sorted_and_keep_their_order():
    bank = LabelBank.from_files(foreign(roles=["negative", "id", "negative", "id"]))
    assert bank.texts == ["b", "d", "a", "c"]
    np.testing.assert_array_equal(bank.embeddings, AXES[[1, 3, 0, 2]])


@pytest.mark.parametrize(
    "column",
    [
        fixed(AXES),
        fixed(AXES.astype(np.float16)),
        fixed(AXES.astype(np.float64)),
        pa.array(AXES.tolist(), pa.list_(pa.float16())),
        pa.array(AXES.tolist(), pa.list_(pa.float64())),
        pa.array(AXES.tolist(), pa.large_list(pa.float32())),
        pa.chunked_array([fixed(AXES[:1]), fixed(AXES[1:])]),
    ],
    ids=lambda column: str(column.type),
)
def test_embeddings_may_be_lists_of_any_float_type(column):
    bank = LabelBank.from_files(foreign(embedding=column))
    assert bank.embeddings.dtype == np.float32
    assert bank.embeddings.flags.writeable  # torch shares its memory, and warns of what it could not write to
    np.testing.assert_array_equal(bank.embeddings, AXES)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_and_role_may_be_stored_as_other_tools_store_strings(kind):
    texts, roles = pa.array(list("abcd")).cast(kind), pa.array(["id", "negative"] * 2).cast(kind)
    assert LabelBank.from_files(foreign(texts, roles)).texts == ["a", "c", "b", "d"]


def test_labels_that_are_numbers_become_text():
    assert LabelBank.from_files(foreign(texts=[0, 1, 2, 3])).texts == ["0", "1", "2", "3"]


def test_a_label_without_a_part_counts_as_a_noun():
    bank = LabelBank.from_files(foreign(part=pa.array([None, "noun", "adjective", None])))
    assert bank.parts == ["noun", "noun", "adjective", "noun"]


def test_half_precision_embeddings_count_as_unit_norm(unit):
    rows = unit(4, 512).astype(np.float16)
    assert LabelBank.from_files(foreign(embedding=fixed(rows))).dim == 512


def test_a_bank_may_hold_id_labels_alone():
    bank = LabelBank.from_files(foreign(roles=["id"] * 4))
    assert bank.negative_count == 0
    assert bank.permutation().tolist() == []


def test_further_columns_and_further_keys_are_let_be():
    bank = LabelBank.from_files(foreign(wikidata=pa.array(["Q1", "Q2", "Q3", "Q4"])), b'{"temperature": 1, "by": "me"}')
    assert bank.info == BankInfo(temperature=1.0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (b"not Parquet", r"labels\.parquet is not a readable Parquet file: "),
        (foreign()[:-20], r"labels\.parquet is not a readable Parquet file: "),
        (b"", r"labels\.parquet is not a readable Parquet file: "),
        (parquet(text=["a"], role=["id"]), r"labels\.parquet lacks the column 'embedding'"),
        (parquet(text=["a"], embedding=fixed(AXES[:1])), r"labels\.parquet lacks the column 'role'"),
        (foreign(roles=["id", "id", "neg", "negative"]), "has the role 'neg'; roles are 'id' and 'negative'"),
        (foreign(roles=["id", None, "negative", "negative"]), "has the role None; roles are 'id' and 'negative'"),
        (foreign(roles=["negative"] * 4), "needs at least one label with role 'id'"),
        (foreign(texts=[], roles=pa.array([], pa.string())), "needs at least one label with role 'id'"),
        (foreign(texts=["a", None, "c", "d"]), r"labels\.parquet has 1 labels without a text"),
        (foreign(embedding=fixed(2 * AXES)), "label 'a' has an embedding of length 2, not 1"),
        (foreign(embedding=fixed(AXES * [[1], [1], [0], [1]])), "label 'c' has an embedding of length 0, not 1"),
        (foreign(embedding=fixed(np.where(AXES == 0, np.nan, 1))), "label 'a' has an embedding of length nan, not 1"),
        (foreign(embedding=pa.array([[1.0], [1.0], None, [1.0]])), "embeddings that are missing"),
        (foreign(embedding=pa.array([None, [1.0], [1.0], [1.0]])), "embeddings that are"),
        (foreign(embedding=pa.array([[1.0], [1.0], [None], [1.0]])), "embeddings that are missing or have missing"),
        # As many numbers as four embeddings of one length would have.
        (foreign(embedding=pa.array([[1.0, 0.0], [1.0], [1.0, 0.0, 0.0], [0.0, 1.0]])), "no lists of 2 numbers each"),
        (foreign(embedding=pa.array([1.0, 1.0, 1.0, 1.0])), "embeddings that are no lists"),
        (foreign(embedding=pa.array(["[1]", "[1]", "[1]", "[1]"])), "embeddings that are no lists"),
        (foreign(embedding=pa.array([["x"], ["x"], ["x"], ["x"]])), "no lists of 1 numbers each"),
    ],
)
def test_a_bad_labels_file_is_refused_with_the_reason(labels, message):
    with pytest.raises(ValueError, match=message):
        LabelBank.from_files(labels)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (b"{", "Invalid JSON: EOF while parsing"),
        (b"\xff", "Invalid JSON: "),
        (b"[1, 2]", "Input should be "),
        (b'{"temperature": 0}', "temperature must be above 0, not 0"),
        (b'{"temperature": NaN}', "temperature must be above 0, not nan"),
        (b'{"temperature": "warm"}', "temperature: Input should be a valid number"),
        (b'{"permutation": "random"}', "permutation: .*Input should be 'none'; permutation: .*should be a valid array"),
        (b'{"permutation": 3}', "permutation: .*Input should be 'none'; permutation: .*should be a valid array"),
        (b'{"permutation": [0, "b"]}', "permutation: list.*: 1: Input should be a valid integer"),
        (b'{"permutation_seed": -1}', "permutation_seed must be 0 or above, not -1"),
        (b'{"permutation_seed": "abc"}', "permutation_seed: Input should be a valid integer"),
        (b'{"permutation": [0, 0]}', "permutation must list the numbers 0 to n - 1 once each, n at most 2"),
        (b'{"permutation": [0, 2]}', "permutation must list the numbers 0 to n - 1 once each, n at most 2"),
        (b'{"permutation": [1]}', "permutation must list the numbers 0 to n - 1 once each, n at most 2"),
        (b'{"permutation": [2, 1, 0]}', "permutation must list the numbers 0 to n - 1 once each, n at most 2"),
    ],
)
def test_a_bad_description_is_refused_with_the_reason(info, message):
    with pytest.raises(ValueError, match=message):
        LabelBank.from_files(foreign(), info)


# Whole corpus


@pytest.mark.parametrize(
    ("info", "whole"),
    [
        ({}, True),  # by others, of whom nothing is known
        ({"criterion": {"name": "none"}}, True),
        ({"criterion": {"name": "none"}, "counts": {"candidates": 9, "kept": 9, "judged_kept": 5}}, True),
        ({"criterion": {"name": "density"}, "counts": {"candidates_noun": 9, "kept_noun": 9}}, True),
        ({"criterion": {"name": "density", "fraction": 1.0, "adjective_fraction": 1.0}}, True),
        ({"criterion": {"name": "neglabel", "fraction": 1}}, True),
        ({"criterion": {"name": "neglabel", "fraction": 0.15}}, False),
        ({"criterion": {"name": "density", "fraction": 1.0, "adjective_fraction": 0.13}}, False),
        ({"criterion": {"name": "neglabel", "fraction": 1.0}, "counts": {"candidates": 9, "kept": 8}}, False),
        ({"criterion": {"name": "neglabel"}, "counts": {"candidates": 9, "kept": 9}}, True),
        ({"criterion": {"name": "csp"}, "counts": {"candidates": 9, "kept": 9, "candidates_adjective": 2}}, False),
        ({"criterion": {"name": "interneg", "negatives": 2000}, "counts": {"candidates": 9, "kept": 4}}, False),
        ({"criterion": {"name": "interneg", "negatives": 2000}}, False),
        ({"criterion": {"name": "of my own", "fraction": "all"}}, False),
    ],
)  # fmt: skip
def test_a_bank_says_whether_its_negatives_are_the_whole_corpus(info, whole):
    assert BankInfo(**info).holds_whole_corpus is whole


# Permutation


def with_negatives(bank_of, unit, count, **info) -> LabelBank:
    return bank_of(unit(1, 8), unit(count, 8), **info)


def test_no_permutation_is_the_labels_own_order(bank_of, unit):
    assert with_negatives(bank_of, unit, 5, permutation="none").permutation().tolist() == [0, 1, 2, 3, 4]


def test_a_recorded_permutation_is_used_as_it_stands(bank_of, unit):
    assert with_negatives(bank_of, unit, 4, permutation=[3, 1, 0, 2]).permutation().tolist() == [3, 1, 0, 2]


def test_negatives_that_a_recorded_permutation_leaves_out_come_last(bank_of, unit):
    assert with_negatives(bank_of, unit, 5, permutation=[2, 0, 1]).permutation().tolist() == [2, 0, 1, 3, 4]


def test_a_seed_draws_the_same_permutation_everywhere(bank_of, unit):
    assert with_negatives(bank_of, unit, 10).permutation().tolist() == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]
    drawn = with_negatives(bank_of, unit, 10, permutation_seed=1).permutation().tolist()
    assert drawn != [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]
    assert sorted(drawn) == list(range(10))


def test_labels_of_another_bank_than_the_described_one_are_refused(bank: LabelBank) -> None:
    other = replace(bank, texts=["cat", *bank.texts[1:]])
    with pytest.raises(ValueError, match=r"not the one that bank.json describes"):
        LabelBank.from_files(other.to_files()[LABELS_FILE], bank.to_files()[INFO_FILE])
