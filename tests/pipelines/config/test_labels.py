from typing import Any

import pytest

from ood_core.criteria import Density, NegMining, WholeCorpus
from pipelines.config.judges import NoJudge, Vllm, WordNet
from pipelines.config.labels import LabelsBuild
from pipelines.config.load import load
from pipelines.errors import CallerError

LEAST = {"id_labels": "labels.txt", "output": "bank"}


def config(**given: Any) -> LabelsBuild:
    return load(LabelsBuild, None, LEAST | given)


def test_a_criterion_has_its_own_defaults_where_nothing_is_given() -> None:
    assert config().criterion_parameters() == NegMining()
    assert config(criterion="density", fraction=0.5).criterion_parameters() == Density(fraction=0.5)
    assert config(criterion="none").criterion_parameters() == WholeCorpus()


@pytest.mark.parametrize(
    ("given", "judge"),
    [
        ({}, WordNet()),
        ({"criterion": "density"}, WordNet()),
        ({"criterion": "csp", "judge": {"nearest": 3}}, WordNet(nearest=3)),
        ({"criterion": "none"}, NoJudge()),
        ({"criterion": "none", "judge": {}}, NoJudge()),
        ({"criterion": "none", "judge": "wordnet"}, WordNet()),
        ({"criterion": "none", "judge": {"name": "wordnet", "nearest": 3}}, WordNet(nearest=3)),
        ({"criterion": "none", "judge": Vllm()}, Vllm()),
        ({"criterion": "neglabel", "judge": "none"}, NoJudge()),
    ],
)
def test_wordnet_judges_by_default_and_nobody_where_the_whole_corpus_is_kept(given: dict[str, Any], judge: Any) -> None:
    assert config(**given).judge == judge


def test_what_is_built_directly_follows_the_same_rule() -> None:
    assert LabelsBuild(id_labels="labels.txt", output="bank", criterion="none").judge == NoJudge()
    assert LabelsBuild(id_labels="labels.txt", output="bank", criterion="none", judge=WordNet()).judge == WordNet()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"criterion": "none", "fraction": 0.5}, "fraction = 0.5: not an option of --criterion none, which has no opt"),
        ({"criterion": "none", "id_images": ["a"]}, r"id_images = \['a'\]: not an option of --criterion none, "),
        ({"criterion": "none", "judge": {"nearest": 3}}, "--judge-nearest is not an option of --judge none, which"),
        ({"criterion": "all"}, "criterion = 'all': Input should be 'neglabel', 'csp', 'density', 'interneg' or 'none'"),
    ],
)  # fmt: skip
def test_what_the_whole_corpus_has_no_use_for_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        config(**given)


@pytest.mark.parametrize("criterion", ["neglabel", "none"])
@pytest.mark.parametrize("judge", [3, None, [1], {"name": 3}, {"name": ["wordnet"]}])
def test_a_judge_that_is_none_is_one_line(criterion: str, judge: Any) -> None:
    with pytest.raises(CallerError, match=r"^judge = .*: (a judge is a name, or its fields|the judges are none, )"):
        config(criterion=criterion, judge=judge)
