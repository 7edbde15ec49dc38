import pytest

from ood_core.vocabulary import CSP, INTERNEG, MCM, NEGLABEL, Prompts, fill


@pytest.mark.parametrize(
    ("templates", "word", "texts"),
    [
        (MCM.id, "dog", ["a photo of a dog"]),
        (NEGLABEL.id, "dog", ["the nice dog"]),
        (NEGLABEL.noun, "oak", ["the nice oak"]),
        (NEGLABEL.adjective, "red", ["This is a red photo"]),
        (INTERNEG.noun, "oak", ["The nice oak."]),
        (INTERNEG.adjective, "red", ["This is a red photo."]),
        (
            CSP.noun,
            "oak",
            [
                "a close-up photo of the nice oak.",
                "a photo with the nice oak.",
                "a good photo with the nice oak.",
                "a photo of the nice oak.",
                "oak",
                "the oak",
                "the good oak",
                "the nice oak",
            ],
        ),
        (
            CSP.adjective,
            "red scene",
            ["red scene", "a nice photo of red scene", "a good photo of red scene", "a close-up photo of red scene"],
        ),
        (("{}",), "{} and {0} %s {braces}", ["{} and {0} %s {braces}"]),  # a word is never a template
    ],
)
def test_filling_templates_gives_one_text_each(templates, word, texts):
    assert fill(templates, word) == texts


@pytest.mark.parametrize("prompts", [MCM, NEGLABEL, CSP, INTERNEG])
def test_id_labels_and_nouns_are_said_alike(prompts):
    assert prompts.id == prompts.noun


@pytest.mark.parametrize("template", ["", "a photo", "a {} photo of {}", "a {word}", "a {0}", "{{}}", "{} {"])
@pytest.mark.parametrize("role", ["id", "noun", "adjective"])
def test_a_template_without_exactly_one_place_for_the_word_is_refused(role, template):
    good = {"id": ("{}",), "noun": ("{}",), "adjective": ("{}",)}
    with pytest.raises(ValueError, match=r"must hold \{\} exactly once, not "):
        Prompts("mine", **{**good, role: ("{}", template)})


@pytest.mark.parametrize("role", ["id", "noun", "adjective"])
def test_prompts_hold_at_least_one_template_for_each_role(role):
    good = {"id": ("{}",), "noun": ("{}",), "adjective": ("{}",)}
    with pytest.raises(ValueError, match=f"mine prompts have no template for {role}"):
        Prompts("mine", **{**good, role: ()})
