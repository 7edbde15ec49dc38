import pytest

from pipelines.inputs.label_files import READERS, check_is_lines, labels_of

LABELS = ["hot dog", "no", "猫"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.txt", "hot dog\nno\n猫\n"),
        ("labels", "\ufeffhot dog\r\nno\r\n猫"),
        ("l.json", '["hot dog", "no", "猫"]'),
        ("L.JSON", '{"names": ["hot dog", "no", "猫"]}'),
        ("l.json", '{"0": "hot dog", "2": "猫", "1": "no"}'),
        ("l.json", '{"hot dog": 0, "猫": 2, "no": 1}'),
        ("l.json", '[{"id": 7, "name": "hot dog"}, {"id": 1, "name": "no"}, {"id": 0, "name": "猫"}]'),
        ("l.json", '{"info": {}, "categories": [{"name": "hot dog"}, {"name": "no"}, {"name": "猫"}]}'),
        ("l.jsonl", '"hot dog"\n"no"\n\n"猫"\n'),
        ("l.ndjson", '{"label": "hot dog"}\n{"label": "no"}\n{"label": "猫"}'),
        ("l.yaml", "- hot dog\n- 'no'\n- 猫\n"),
        ("l.yml", "train: images\nnames:\n  0: hot dog\n  1: 'no'\n  2: 猫\n"),
        ("l.csv", "hot dog\nno\n猫\n"),
        ("l.csv", "Label\nhot dog\nno\n猫\n"),
        ("l.csv", 'id,label\n1,"hot dog"\n2,no\n3,猫\n'),
        ("l.tsv", "hot dog\t1\nno\t2\n".replace("hot dog\t1", "label\tid\nhot dog\t1") + "猫\t3\n"),
    ],
)
def test_labels_are_those_that_the_file_lists(name: str, content: str) -> None:
    assert labels_of(f"s3://bucket/{name}", content.encode()) == LABELS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", '["dog", "cat"]\n', "it holds JSON, not a label a line; name it .json"),
        ("l.txt", '{"dog": 1}', "it holds JSON"),
        ("l.json", "dog\ncat\n", "it is no JSON of labels: Expecting value: line 1"),
        ("l.json", '"dog"', "there is no list of labels"),
        ("l.json", '["dog", 3]', "3 is no label"),
        ("l.json", '["dog", null]', "None is no label"),
        ("l.json", '["a\\nb"]', "is no label: a label is text in one line"),
        ("l.json", '["dog", ""]', "'' is no label"),
        ("l.json", '["dog", "dog"]', "labels must differ, found 'dog' on lines 1"),
        ("l.json", '{"train": ["dog"], "test": ["cat"]}', "none of the keys train, test is one of label"),
        ("l.json", "[" * 100_000, "it is no JSON of labels"),
        ("l.yaml", "- dog\n- no\n", "False is no label"),
        ("l.yaml", "- dog\n- on\n", "True is no label"),
        ("l.yaml", "!!python/object/apply:os.system [ls]", "it is no YAML of labels"),
        ("l.csv", "id,count\n1,2\n", "none of the columns id, count is one of label"),
        ("l.csv", "label,id\ndog,1\ncat\n", "row 3 has 1 cells, the first has 2"),
        ("l.csv", "", "no labels: the file is empty"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(name: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labels_of(name, content.encode())


@pytest.mark.parametrize("suffix", [*READERS, ".parquet"])
def test_a_corpus_is_a_word_a_line(suffix: str) -> None:
    check_is_lines("noun:words.txt")
    with pytest.raises(ValueError, match=f"a {suffix} file does not hold a word a line"):
        check_is_lines(f"words{suffix}")
