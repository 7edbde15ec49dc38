import threading

from pipelines.scans.workers.decode_watch import DecodeWatch, Place


def test_an_image_that_takes_too_long_is_named_and_others_are_not() -> None:
    told, named = threading.Event(), list[Place]()

    def too_slow(place: Place) -> None:
        named.append(place)
        told.set()

    watch, place = DecodeWatch(0.2, too_slow), Place("a", 7)
    for index in range(100):
        with watch.over(Place("b", index)):
            pass
    with watch.over(Place("c", 0)):
        assert not told.wait(0.1)
    with watch.over(place):
        assert told.wait(10)
    assert set(named) == {place}
    assert watch.running == {}


def test_an_image_whose_decoding_fails_is_watched_no_longer() -> None:
    watch = DecodeWatch(60, lambda _: None)
    try:
        with watch.over(Place("a", 0)):
            raise ValueError
    except ValueError:
        assert watch.running == {}
