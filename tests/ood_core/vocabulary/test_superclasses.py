from collections import Counter

from ood_core.vocabulary import SUPERCLASSES, superclass_phrase


def test_a_phrase_is_the_adjective_and_one_of_fourteen_nouns():
    assert len(SUPERCLASSES) == len(set(SUPERCLASSES)) == 14
    adjective, _, noun = superclass_phrase("wide open").rpartition(" ")
    assert adjective == "wide open"
    assert noun in SUPERCLASSES


def test_the_noun_is_drawn_by_seed_and_adjective_alone():
    words = ["red", "round", "soft", "angular", "old"]
    # Recorded in people's banks: a change here makes other phrases of the same corpus.
    assert [superclass_phrase(word) for word in words] == [
        "red environment",
        "round place",
        "soft landscape",
        "angular view",
        "old view",
    ]
    assert [superclass_phrase(word, seed=1) for word in words] != [superclass_phrase(word) for word in words]


def test_every_noun_is_drawn_about_as_often():
    drawn = Counter(superclass_phrase(f"word {number}").rsplit(" ", 1)[1] for number in range(14_000))
    assert set(drawn) == set(SUPERCLASSES)
    assert 850 < min(drawn.values()) <= max(drawn.values()) < 1150
