import pytest

from pipelines.judges.completion import probability_yes


@pytest.mark.parametrize(
    ("top", "probability"),
    [
        ({"yes": -0.001, "Yes": -7.0, "maybe": -9.0}, 1.0),
        ({"yes": 0.0}, 1.0),  # nothing is left for no
        ({"no": 0.0, "yes": -9999.0}, 0.0),
        ({"a": -0.1, "b": -3.0, "no": -5.0}, None),  # yes may be as likely as no
        ({"Sure": -0.1, "Of": -3.0}, None),
        ({"no": -9999.0, "yes": -9999.0}, None),
        ({}, None),
    ],
)
def test_a_probability_is_given_where_the_likeliest_tokens_tell(
    top: dict[str, float], probability: float | None
) -> None:
    tokens = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
    assert probability_yes({"content": [{"token": "no", "top_logprobs": tokens}]}) == probability


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, {"tokens": ["yes"]}, "none"])
def test_log_probabilities_in_another_form_are_none(logprobs: object) -> None:
    assert probability_yes(logprobs) is None
