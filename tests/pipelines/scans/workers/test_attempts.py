from pipelines.scans.workers.attempts import Attempts
from pipelines.scans.workers.decode_watch import Place


def test_a_worker_that_ends_over_a_slow_image_has_died_over_no_shard() -> None:
    attempts = Attempts()
    assert attempts.enter(["a", "b"]) == [0, 0]
    assert attempts.enter(["c"]) == [0]
    attempts.too_slow(Place("b", 3), ["a", "b", "c"])
    assert attempts.enter(["a", "b", "c"]) == [0, 0, 0]
    assert attempts.enter(["b"]) == [1]  # whoever had begun with it has died, of something else


def test_slow_images_are_told_to_whoever_reads_their_shard_next() -> None:
    attempts = Attempts()
    for place in (Place("a", 1), Place("b", 3), Place("a", 9)):
        attempts.too_slow(place, [])
    assert sorted(attempts.slow_in(["a", "c"])) == [Place("a", 1), Place("a", 9)]
    assert attempts.slow_in(["c"]) == []
