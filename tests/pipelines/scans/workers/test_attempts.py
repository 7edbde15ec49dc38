from pipelines.scans.workers.attempts import Attempts
from pipelines.scans.workers.decode_watch import Place


def test_a_worker_that_ends_over_a_slow_image_has_died_over_no_shard() -> None:
    attempts = Attempts()
    attempts.begin(["a", "b", "c"])
    attempts.too_slow(Place("b", 3), ["a", "b", "c"])
    assert attempts.died_over(["a", "b", "c"]) == [0, 0, 0]
    attempts.begin(["b"])
    assert attempts.died_over(["a", "b", "c"]) == [0, 1, 0]  # of something else


def test_slow_images_are_told_to_whoever_reads_their_shard_next() -> None:
    attempts = Attempts()
    for place in (Place("a", 1), Place("b", 3), Place("a", 9)):
        attempts.too_slow(place, [])
    assert sorted(attempts.slow_in(["a", "c"])) == [Place("a", 1), Place("a", 9)]
    assert attempts.slow_in(["c"]) == []


def test_a_death_counts_once_and_not_over_shards_that_wait() -> None:
    attempts = Attempts()
    attempts.begin(["poison", "beside"])  # together: nobody knows which is to blame
    for deaths in (1, 2, 3):
        assert attempts.died_over(["poison"]) == attempts.died_over(["poison"]) == [deaths]
        assert attempts.died_over(["beside"]) == [1]  # and waits for its turn
        attempts.begin(["poison"])
