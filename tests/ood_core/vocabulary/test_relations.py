import pytest

from ood_core.vocabulary import NounRelations


@pytest.fixture(scope="module")
def relations():
    return NounRelations.load()


def test_senses_come_commonest_first(relations):
    assert relations.senses("dog")[0] == 2084071  # dog.n.01, the animal
    assert len(relations.senses("dog")) == 7


def test_a_word_that_is_no_noun_has_no_senses(relations):
    assert relations.senses("beautiful") == ()
    assert relations.senses("Dog") == ()


@pytest.mark.parametrize(
    ("word", "instances"),
    [
        ("paris", [True, False, True, True]),  # France, the plant genus, Helen's prince, Texas
        ("mount everest", [True]),
        ("dog", [False] * 7),
    ],
)
def test_a_name_is_an_instance_and_a_kind_is_not(relations, word, instances):
    assert [relations.is_instance(sense) for sense in relations.senses(word)] == instances


@pytest.mark.parametrize(
    ("word", "above", "expected"),
    [
        ("dog", "animal", True),
        ("dog", "dog", True),
        ("dog", "pet", False),
        ("dog", "domestic animal", True),  # its second hypernym
        ("animal", "dog", False),
        ("paris", "city", True),  # through the instance relation
        ("oak", "entity", True),
    ],
)
def test_a_sense_lies_under_all_it_is_a_kind_of(relations, word, above, expected):
    closure = relations.hypernym_closure(relations.senses(word)[0])
    assert bool(closure & set(relations.senses(above))) == expected


def test_every_noun_leads_to_entity_and_no_sense_is_listed_twice(relations):
    entity = relations.senses("entity")[0]
    assert all(entity in relations.hypernym_closure(sense) for sense in relations.hypernyms_of)
    assert all(len(set(senses)) == len(senses) for senses in relations.senses_of.values())


def test_the_counts_are_those_of_wordnet_3(relations):
    # wnstats(7WN): 82 115 noun synsets, 117 798 nouns.
    assert (len(relations.hypernyms_of), len(relations.senses_of), len(relations.names)) == (82115, 117798, 7730)
