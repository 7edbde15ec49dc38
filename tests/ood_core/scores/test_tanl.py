import pickle
import subprocess
import sys
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ood_core.encoders import ClipEncoder
from ood_core.labels import BankInfo, LabelBank
from ood_core.methods.tanl import TANL
from ood_core.scores import ImageBatch, Labels
from ood_core.scores.batch import image_batches
from ood_core.scores.tanl import TANLScorer, activations, best_cut, best_cut_of_bins, corpus_activations, tanl
from ood_core.scores.tanl_noise import noise_features, noise_images
from ood_core.scores.tanl_rounds import Round, Sums, TANLRounds, run_rounds
from ood_core.scores.tanl_sequential import ActivationQueue, SequentialTANL
from tests.ood_core.scores import naive_tanl
from tests.ood_core.scores.naive_tanl import World, drawn

LITTLE: dict[str, Any] = {"labels_kept": 12, "memory_length": 20, "batch_size": 25}


def labels_of(world: World, permutation: Literal["none"] | list[int] = "none") -> Labels:
    count = len(world.id_labels) + len(world.corpus)
    bank = LabelBank(
        texts=[f"label {row}" for row in range(count)],
        parts=["noun"] * count,
        id_count=len(world.id_labels),
        embeddings=np.concatenate([world.id_labels, world.corpus]),
        selection_scores=np.full(count, np.nan),
        verdicts=[None] * count,
        info=BankInfo(permutation=permutation, temperature=world.temperature),
    )
    return Labels.of(bank)


def global_states() -> tuple[list, list]:
    """Of the generators that nobody here may touch."""
    return torch.get_rng_state().tolist(), [*np.random.get_state(legacy=False)["state"]["key"]]


def rounds_of(world: World, parameters: TANL, images: np.ndarray | None = None, **labels) -> TANLRounds:
    images = world.images if images is None else images
    noise = torch.from_numpy(world.noise)
    return run_rounds(parameters, labels_of(world, **labels), noise, [torch.from_numpy(images)])


def scores_of(world: World, found: TANLRounds) -> np.ndarray:
    scorer = found.parameters.scorer(labels_of(world), found.chosen)
    assert isinstance(scorer, TANLScorer)
    return scorer.scores(torch.from_numpy(world.images)).numpy()


def assert_rounds_are_naive(world: World, parameters: TANL) -> TANLRounds:
    found, expected = rounds_of(world, parameters), naive_tanl.rounds(world, parameters)
    assert found.rounds == tuple(
        Round(
            each.threshold,
            int((each.first < each.threshold).sum()),
            int((each.first >= each.threshold).sum()),
            int(each.confident_ood.sum()),
            int(each.confident_id.sum()),
        )
        for each in expected
    )
    assert found.chosen.tolist() == expected[-1].chosen.tolist()
    np.testing.assert_allclose(scores_of(world, found), expected[-1].score, rtol=0, atol=1e-5)
    return found


def assert_stream_is_naive(world: World, parameters: TANL) -> SequentialTANL:
    rng = np.random.default_rng(8)
    id_rows, noise_rows = rng.permutation(len(world.id_labels)), rng.permutation(len(world.noise))
    scorer = SequentialTANL(parameters, labels_of(world), torch.from_numpy(world.noise), id_rows, noise_rows)
    expected = naive_tanl.stream(world, parameters, id_rows, noise_rows)
    for batch, images in zip(expected, torch.from_numpy(world.images).split(parameters.batch_size), strict=True):
        scores = scorer(images, [])
        assert scorer.last is not None
        assert scorer.last.threshold == batch.threshold
        assert scorer.last.confident_id.tolist() == batch.confident_id.tolist()
        assert scorer.last.confident_ood.tolist() == batch.confident_ood.tolist()
        assert scorer.last.chosen.tolist() == batch.chosen.tolist()
        np.testing.assert_allclose(scorer.last.first_score, batch.first, rtol=0, atol=1e-5)
        np.testing.assert_allclose(scores, batch.score, rtol=0, atol=1e-5)
    return scorer


CASES = [
    *(pytest.param(drawn(step), {"step": step}, id=f"step {step}") for step in (0, 1, 2, 3, 5)),
    pytest.param(drawn(11), {"step": 50}, id="step beyond the labels kept"),
    pytest.param(drawn(12), {"labels_kept": 1000}, id="more labels kept than there are"),
    pytest.param(drawn(13), {"labels_kept": 1}, id="one label kept"),
    pytest.param(drawn(14, id_labels=1), {}, id="one ID label"),
    pytest.param(drawn(15, corpus=1), {}, id="one corpus label"),
    pytest.param(drawn(16, images=1), {}, id="one image"),
    pytest.param(drawn(17), {"gap": 0.0}, id="almost every image is confident"),
    pytest.param(drawn(18), {"gap": 1.0}, id="no image is confident"),
    pytest.param(drawn(19, images=300, temperature=0.02), {"batch_size": 170}, id="blocks of images"),
]


@pytest.mark.parametrize(("world", "more"), CASES)
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_are_the_method_written_naively(world, more, rounds):
    assert_rounds_are_naive(world, TANL(**{**LITTLE, **more, "rounds": rounds}))


@pytest.mark.parametrize(("world", "more"), CASES)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_authors_order_is_the_method_written_naively(world, more, alpha):
    assert_stream_is_naive(world, TANL(order="sequential", **{**LITTLE, **more, "alpha": alpha}))


@pytest.mark.parametrize(
    "more", [{"memory_length": 1}, {"memory_length": 3}, {"score_window": 1}, {"score_window": 30}]
)
def test_short_queues_and_windows_forget(more):
    assert_stream_is_naive(drawn(21), TANL(order="sequential", **{**LITTLE, **more}))


@pytest.mark.parametrize("kind", ["id", "ood"])
def test_a_side_without_a_confident_image_falls_back_to_its_start(kind):
    world = drawn(22)
    labels = world.id_labels if kind == "id" else world.corpus[naive_tanl.rounds(world, TANL(**LITTLE))[0].chosen[:1]]
    world.images = np.repeat(labels[:1], 9, axis=0)
    found = assert_rounds_are_naive(world, TANL(**LITTLE))
    assert [(each.threshold, each.id_fell_back, each.ood_fell_back) for each in found.rounds] == [
        (0.5, kind == "ood", kind == "id")
    ] * 2
    assert_stream_is_naive(world, TANL(order="sequential", **LITTLE))


def test_without_confident_images_the_start_chooses_the_labels():
    world = drawn(23)
    found = rounds_of(world, TANL(labels_kept=12, gap=1.0))
    assert (
        found.chosen.tolist()
        == TANLRounds.of(found.parameters, labels_of(world), torch.from_numpy(world.noise)).chosen.tolist()
    )
    assert all(each.id_fell_back and each.ood_fell_back for each in found.rounds)


def test_no_images_at_all_are_no_trouble():
    world = drawn(24)
    found = rounds_of(world, TANL(**LITTLE), world.images[:0])
    assert found.rounds == (Round(0.5, 0, 0, 0, 0),) * 2
    scorer = SequentialTANL(TANL(order="sequential"), labels_of(world), torch.from_numpy(world.noise))
    assert scorer(torch.from_numpy(world.images[:0]), []).shape == (0,)


@given(st.permutations(range(150)), st.lists(st.integers(0, 150), max_size=4).map(sorted))
@settings(max_examples=25)
def test_any_split_and_order_of_the_images_gives_the_same_bits(order, ends):
    world = drawn(25, images=150)
    labels, whole = labels_of(world), rounds_of(world, TANL(**LITTLE))
    parts = torch.from_numpy(world.images[order]).tensor_split(ends)
    found = run_rounds(whole.parameters, labels, torch.from_numpy(world.noise), parts)
    for one, other in zip(found.known, whole.known, strict=True):
        assert one.counts.tolist() == other.counts.tolist()
        assert one.totals.tolist() == other.totals.tolist()
    assert found.chosen.tolist() == whole.chosen.tolist()
    assert scores_of(world, found).tolist() == scores_of(world, whole).tolist()


def sums() -> st.SearchStrategy[Sums]:
    numbers = st.lists(st.integers(-(2**60), 2**60), min_size=6, max_size=6)
    return numbers.map(lambda six: Sums(np.array(six[:2]), np.array(six[2:]).reshape(2, 2)))


@given(st.lists(sums(), min_size=3, max_size=3), st.permutations(range(3)))
def test_sums_merge_in_any_order_and_grouping(three, order):
    a, b, c = three
    together = [a + b + c, a + (b + c), reduce(add, [three[place] for place in order])]
    assert len({(each.counts.tobytes(), each.totals.tobytes()) for each in together}) == 1


def test_a_state_survives_pickling_and_leaves_the_one_before_as_it_was():
    world, labels = drawn(26), labels_of(drawn(26))
    before = TANLRounds.of(TANL(**LITTLE), labels, torch.from_numpy(world.noise))
    after = before.after(before.sums(labels, torch.from_numpy(world.images)))
    assert (before.known, before.steps, before.finished, before.next_is_histogram) == ((), 4, False, True)
    assert not after.next_is_histogram
    copy = pickle.loads(pickle.dumps(after))  # noqa: S301
    assert copy.threshold == after.threshold
    assert copy.chosen.tolist() == after.chosen.tolist()


def test_labels_go_by_their_rows_in_the_bank_however_it_groups_them():
    world, permutation = drawn(27), np.random.default_rng(0).permutation(40).tolist()
    plain, permuted = rounds_of(world, TANL(**LITTLE)), rounds_of(world, TANL(**LITTLE), permutation=permutation)
    assert permuted.chosen.tolist() == plain.chosen.tolist()
    np.testing.assert_allclose(permuted.activation, plain.activation, rtol=0, atol=1e-6)
    one, other = (
        SequentialTANL(TANL(order="sequential", **LITTLE), labels_of(world, order), torch.from_numpy(world.noise))
        for order in ("none", permutation)
    )
    images = torch.from_numpy(world.images)
    np.testing.assert_allclose(one(images, []), other(images, []), rtol=0, atol=1e-5)
    assert one.last is not None and other.last is not None
    np.testing.assert_allclose(one.last.activation, other.last.activation, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 4])
def test_at_alpha_1_the_score_is_the_first_pass_to_the_bit(step):
    world = drawn(28)
    parameters = TANL(order="sequential", alpha=1.0, step=step, **LITTLE)
    scorer = SequentialTANL(parameters, labels_of(world), torch.from_numpy(world.noise))
    for images in torch.from_numpy(world.images).split(25):
        scores = scorer(images, [])
        assert scorer.last is not None
        assert scores.tolist() == scorer.last.first_score.tolist()


def test_alpha_touches_nothing_but_the_labels_of_the_final_score():
    world = drawn(29)
    streams = [
        assert_stream_is_naive(world, TANL(order="sequential", alpha=alpha, **LITTLE)) for alpha in (0.0, 0.5, 1.0)
    ]
    for other in streams[1:]:
        assert torch.equal(other.id_queue.rows, streams[0].id_queue.rows)
        assert torch.equal(other.ood_queue.rows, streams[0].ood_queue.rows)
        assert other.window.tolist() == streams[0].window.tolist()


def test_the_start_is_drawn_with_the_seed_alone():
    world, labels = drawn(30, id_labels=30), labels_of(drawn(30, id_labels=30))

    def start(seed: int) -> SequentialTANL:
        return SequentialTANL(TANL(memory_length=10, seed=seed), labels, torch.from_numpy(world.noise))

    states = global_states()
    assert torch.equal(start(0).id_queue.rows, start(0).id_queue.rows)
    assert not torch.equal(start(0).id_queue.rows, start(1).id_queue.rows)
    assert not torch.equal(start(0).ood_queue.rows, start(1).ood_queue.rows)
    assert len(start(0).id_queue.rows) == len(start(0).ood_queue.rows) == 10
    assert global_states() == states


def test_a_queue_forgets_its_oldest_rows():
    queue = ActivationQueue(3, 1, torch.device("cpu"))
    for rows, kept in [([1], [1]), ([2, 3], [1, 2, 3]), ([], [1, 2, 3]), ([4], [2, 3, 4]), ([5, 6, 7, 8], [6, 7, 8])]:
        queue.add(torch.tensor(rows, dtype=torch.float64).reshape(-1, 1))
        assert queue.rows[:, 0].tolist() == kept
        assert queue.mean.item() == pytest.approx(np.mean(kept))


def test_a_list_of_one_label_by_hand():
    cosines = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0]])
    assert tanl(*cosines, 1, 0.01).tolist() == [pytest.approx(2 / 3)]


@pytest.mark.parametrize(("step", "expected"), [(0, 1 / 4), (1, (1 / 2 + 1 / 3 + 1 / 4) / 3), (2, (1 / 3 + 1 / 4) / 2)])
def test_three_equal_labels_by_hand(step, expected):
    assert tanl(torch.zeros(1, 1), torch.zeros(1, 3), step, 1.0).tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_scores_near_1_are_told_apart_whatever_the_cosines_dtype(dtype):
    surer, sure = tanl(
        torch.tensor([[0.5], [0.5]], dtype=dtype), torch.tensor([[0.1875], [0.25]], dtype=dtype), 1, 0.01
    )
    assert 1 - 1e-10 < sure < surer < 1


@pytest.mark.parametrize("temperature", [1e-5, 1e-2, 1e3])
def test_scores_and_activations_of_extreme_temperatures_are_numbers(temperature):
    cosines = torch.tensor([[-1.0, 1.0, 0.0], [1.0, -1.0, 0.5]])
    assert tanl(cosines, cosines, 1, temperature).isfinite().all()
    assert corpus_activations(cosines, 1, temperature).isfinite().all()


@pytest.mark.parametrize(("ids", "corpus"), [(1, 1), (5, 2), (4, 7), (3, 40)])
def test_a_row_has_the_same_bits_whatever_stands_beside_it(ids, corpus):
    world = drawn(31, images=300, id_labels=ids, corpus=corpus)
    labels, images = labels_of(world), torch.from_numpy(world.images)
    scorer, order = (
        TANLScorer(labels, np.arange(corpus), 1),
        torch.from_numpy(np.random.default_rng(1).permutation(300)),
    )
    whole, rows = scorer.scores(images), torch.cat(list(activations(labels, images)))
    assert torch.equal(scorer.scores(images[order]), whole[order])
    assert torch.equal(scorer.scores(images[7:8]), whole[7:8])
    assert torch.equal(torch.cat(list(activations(labels, images[order[:133]]))), rows[order[:133]])
    by_block = torch.cat([scorer(batch)[:count] for batch, count in image_batches(images, labels)])
    assert torch.equal(by_block, whole)


def test_nothing_given_is_changed():
    cosines = torch.rand(3, 9, dtype=torch.float64)
    before = cosines.clone()
    corpus_activations(cosines, 2, 0.01)
    tanl(cosines[:, :2], cosines[:, 2:], 1, 0.01)
    assert torch.equal(cosines, before)


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [
        ([], 0.5),
        ([0.3, 0.3], 0.5),  # no cut splits them
        ([1.0, 1.0], 0.5),
        ([0.0, 0.004], 0.5),  # the least cut that could is 0.01
        ([0.2, 0.9], 0.56),  # 0.21 to 0.90, which are 70: number 35 of them, from 0
        ([0.25, 0.5], 0.38),  # 0.26 to 0.50
        ([0.0, 1.0], 0.50),  # 0.01 to 0.99
        ([0.10, 0.12, 0.805], 0.47),  # 0.13 to 0.80, not between the near ones
        ([0.0, 0.25, 0.5], 0.26),  # two ways are equally good: 0.01 to 0.25 and 0.26 to 0.50
        ([0.995, 0.2, 0.2], 0.6),  # 0.21 to 0.99
    ],
)
def test_the_cut_leaves_the_tightest_groups_and_is_the_middle_of_several(scores, threshold):
    assert best_cut(np.array(scores)) == threshold
    assert cut_of_bins(scores) == threshold


def cut_of_bins(scores) -> float:
    whole = np.rint(np.array(scores) * 2.0**30).astype(np.int64)
    bins = np.minimum(whole * 100 // 2**30, 99)
    totals = [int(whole[bins == place].sum()) for place in range(100)]
    return best_cut_of_bins(np.bincount(bins, minlength=100), np.array(totals))


@given(st.lists(st.integers(0, 10**7 - 1), min_size=1, max_size=60).map(lambda many: (np.array(many) + 0.5) / 1e7))
def test_both_cuts_are_otsus_written_naively(scores):
    assert cut_of_bins(scores) == best_cut(scores) == naive_tanl.cut(scores)


def test_the_exact_cut_holds_sums_of_all_the_images_there_can_be():
    counts, totals = np.zeros(100, np.int64), np.zeros(100, np.int64)
    counts[[10, 70]], totals[[10, 70]] = 2**32, np.array([0.105, 0.705]) * 2.0**62
    assert best_cut_of_bins(counts, totals) == 0.41  # 0.11 to 0.70


@pytest.mark.parametrize(("size", "width"), [((1,), 1), ((8,), 8), ((6, 10), 10)])
def test_noise_images_are_in_range_and_seeded(size, width):
    states = global_states()
    images = noise_images(3, *size)
    assert images.shape == (15, 3, size[0], width)
    assert images.dtype == torch.float32
    assert torch.equal(images, noise_images(3, *size))
    assert not torch.equal(images, noise_images(4, *size))
    assert (images >= 0).all()
    assert (images <= 1).all()
    assert global_states() == states


def test_noise_is_of_five_kinds():
    gaussian, uniform, poisson, gamma, black_or_white = noise_images(0, 64).split(3)
    for stretched in (gaussian, poisson, gamma):
        assert (stretched.min().item(), stretched.max().item()) == (0.0, 1.0)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert gaussian.std() < uniform.std()
    assert len(poisson.unique()) < 25
    assert gamma.median() < gamma.mean()
    assert black_or_white.unique().tolist() == [0.0, 1.0]
    assert torch.equal(black_or_white[:, 0], black_or_white[:, 2])
    assert not torch.equal(black_or_white[0], black_or_white[1])


def test_noise_goes_to_the_model_as_it_is(tiny_model):
    encoder = ClipEncoder.load(tiny_model(), image_block=4)
    features = noise_features(encoder, seed=5)
    with torch.inference_mode():
        raw = encoder.model.encode_image(noise_images(5, 32))  # pyright: ignore[reportCallIssue]
    np.testing.assert_allclose(features, raw / raw.norm(dim=1, keepdim=True), atol=1e-5)
    pixels = (noise_images(5, 32) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert (features - encoder.encode_images(pixels)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("labels_kept", 0, "at least 1"),
        ("rounds", 0, "at least 1"),
        ("memory_length", 0, "at least 1"),
        ("score_window", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("step", -1, "at least 0"),
        ("seed", -1, "at least 0"),
        ("gap", -0.1, "at least 0"),
        ("gap", 1.1, "at most 1"),
        ("gap", float("nan"), "at least 0"),
        ("alpha", -0.1, "at least 0"),
        ("alpha", 1.1, "at most 1"),
        ("alpha", float("inf"), "at least 0"),
    ],
)
def test_parameters_have_limits(name, value, limit):
    with pytest.raises(ValueError, match=f"{name} must be {limit}, not {value}"):
        TANL(**{name: value})


def test_defaults_are_those_of_the_paper():
    assert TANL() == TANL("transductive", 1000, 1, 0.5, 2, 300, 20_000, 0.0, 256, 0)
    assert TANL().score_range == (0.0, 1.0)
    assert (TANL().learning_order, TANL().sequential) == ("transductive", False)
    assert (TANL(order="sequential").learning_order, TANL(order="sequential").sequential) == ("sequential", True)
    assert TANL.needs_negatives
    assert TANL.needs_corpus


def test_its_scorer_takes_what_was_learned():
    world = drawn(32)
    labels, images = labels_of(world), torch.from_numpy(world.images)
    scorer = TANL(step=2).scorer(labels, np.array([5, 3, 8], np.int16))
    expected = naive_tanl.scores(world, world.images, np.array([5, 3, 8]), 2)
    np.testing.assert_allclose(scorer(ImageBatch.of(images, labels)), expected, rtol=0, atol=1e-5)


def test_its_scorer_refuses_to_score_before_it_has_learned():
    with pytest.raises(ValueError, match="tanl has not learned which labels to score against"):
        TANL().scorer(labels_of(drawn(33)))


def test_a_bank_without_a_corpus_is_refused():
    world = drawn(34)
    world.corpus = world.corpus[:0]
    with pytest.raises(ValueError, match="has no corpus labels"):
        rounds_of(world, TANL())
    with pytest.raises(ValueError, match="has no corpus labels"):
        SequentialTANL(TANL(), labels_of(world), torch.from_numpy(world.noise))


def test_its_parameters_do_not_load_torch():
    code = "import sys, ood_core.methods.tanl; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
