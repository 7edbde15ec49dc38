"""The ranking actor as a plain object, without Ray."""

import numpy as np
import pyarrow as pa

from pipelines.stages.encode import FACTS, ModelSpec, describe
from pipelines.stages.rank import RankTexts

BUNDLED = ModelSpec("bundled")
WORDS = pa.table({"index": [5, 6, 7], "text": ["cat", "red", "dog"], "prompt": ["noun", "adjective", "noun"]})


def test_words_are_encoded_under_the_prompts_of_their_part_and_ranked() -> None:
    templates = {"id": ("the nice {}",), "noun": ("the nice {}",), "adjective": ("This is a {} photo",)}
    rank = RankTexts(BUNDLED, templates, ["horse", "goat"], quantile=1.0)
    rows = rank(WORDS)
    expected = rank.encoder.encode_texts(["the nice cat", "This is a red photo", "the nice dog"]).numpy()
    ids = rank.encoder.encode_texts(["the nice horse", "the nice goat"]).numpy()
    assert rows["index"].to_pylist() == [5, 6, 7]
    np.testing.assert_array_equal(np.array(rows["embedding"].to_pylist(), np.float32), expected)
    np.testing.assert_allclose(rows["selection_score"], (expected @ ids.T).max(axis=1), atol=1e-6)
    assert [said and FACTS.validate_json(said) for said in rows["facts"].to_pylist()] == [describe(BUNDLED), None, None]


def test_a_model_that_cannot_be_loaded_is_told_and_not_raised() -> None:
    rows = RankTexts(ModelSpec("local-dir:/nowhere"), {"id": ("{}",)}, ["horse"], quantile=1.0)(WORDS)
    assert str(FACTS.validate_json(rows["facts"][0].as_py())).startswith("Directory specified via 'local-dir:'")
