import pytest

from ood_core.negfilter.wordnet import NounJudge


@pytest.fixture(scope="module")
def judge() -> NounJudge:
    return NounJudge.load()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("paris", True),
        ("Paris", True),
        ("mont blanc", True),
        ("adams peak", True),  # adam's peak, cleaned
        ("adam's peak", True),
        ("city", False),
        ("turkey", False),  # the bird first, then the country
        ("java", True),  # the island first, then coffee
        ("crane", True),  # Stephen Crane, whom WordNet lists before the bird and the machine
        ("rose", False),
        ("aqueous pattern", False),  # not in WordNet
        ("", False),
        ("3", False),
    ],
)
def test_an_instance_is_a_proper_noun(judge: NounJudge, word: str, expected: bool) -> None:
    assert judge.is_proper_noun(word) == expected


@pytest.mark.parametrize(
    ("negative", "id_label", "expected"),
    [
        ("golden retriever", "dog", True),
        ("dog", "golden retriever", False),
        ("dog", "dog", True),
        ("Golden Retriever", "Dog", True),
        ("auto", "car", True),  # synonyms
        ("hauberk", "chain mail", True),
        ("birds foot trefoil", "plant", True),  # bird's foot trefoil, cleaned
        ("saint bernard", "St. Bernard", True),  # as ID labels are spelled
        ("paris", "city", True),
        ("dog", "cat", False),
        ("heron", "crane", False),
        ("sandhill crane", "crane", False),  # not in WordNet
        ("whooping crane", "crane", True),  # the bird, not the machine: any sense of an ID label
        ("crane", "machine", False),  # the negative in its commonest sense only
        ("golden retriever", "no such thing", False),
        ("golden retriever", "", False),
    ],
)
def test_a_kind_of_an_id_label_is_a_subcategory(judge: NounJudge, negative: str, id_label: str, expected: bool) -> None:
    assert judge.is_subcategory(negative, id_label) == expected


def test_a_noun_is_found_as_it_is_cleaned_and_its_own_spelling_comes_first(judge: NounJudge) -> None:
    assert judge.senses_of["world war"] == judge.relations.senses("world war")  # not world war 1
    assert judge.senses_of["adams peak"] == judge.relations.senses("adam's peak")


def test_what_was_asked_before_is_answered_the_same(judge: NounJudge) -> None:
    asked = [("poodle", "dog"), ("poodle", "cat"), ("poodle", "dog"), ("cat", "dog")]
    assert [judge.is_subcategory(*question) for question in asked] == [True, False, True, False]
