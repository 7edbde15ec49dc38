"""Tars without some of their images, compared with what Python's own reader finds in them."""

import io
import tarfile
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ReadError
from pipelines.exports.read_back import MismatchError, check_tar
from pipelines.exports.tars import KeptImages, filtered_tar, sample_of
from pipelines.inputs.readers.names import image_key
from pipelines.inputs.readers.tar import read_tar

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def tar_of(*members: tuple[str, bytes] | tarfile.TarInfo, kind: int = tarfile.PAX_FORMAT, **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind, **options) as archive:
        for given_member in members:
            if isinstance(given_member, tarfile.TarInfo):
                archive.addfile(given_member)
            else:
                info = tarfile.TarInfo(given_member[0])
                info.size, info.mtime, info.uname = len(given_member[1]), 1_700_000_000, "somebody"
                archive.addfile(info, io.BytesIO(given_member[1]))
    return buffer.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.LNKTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, to, 1_600_000_000
    return info


def folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def without(content: bytes, *dropped: str, **how: bool) -> bytes:
    """The tar without the images of these keys."""
    records = list(read_tar(io.BytesIO(content), len(content), 10**6))
    keys = [record.key for record in records]
    keep = [record.key not in dropped and record.status == "ok" for record in records]
    damaged = any(record.status.endswith("archive") for record in records)
    return b"".join(filtered_tar(io.BytesIO(content), len(content), KeptImages(keys, keep, damaged, **how)))


@dataclass(frozen=True)
class Found:
    """A member as Python's reader finds it; `info`: all that its header says, but for where it lies."""

    name: str
    content: bytes | None
    info: dict[str, object]


def members(content: bytes) -> list[Found]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = []
        for info in archive.getmembers():
            file = archive.extractfile(info) if info.isreg() or info.islnk() else None
            found.append(Found(info.name, file.read() if file else None, {**info.get_info(), "pax": info.pax_headers}))
        return found


def names(content: bytes) -> list[str]:
    return [member.name for member in members(content)]


STEMS = st.one_of(
    st.sampled_from(["a", "b", "train/a", "train/b", "a.left", "a.right", "x" * 120, "d/" * 60 + "e", "Katze-ä-猫"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
)
SUFFIXES = st.sampled_from([".jpg", ".png", ".txt", ".json", ".cls", ""])
MEMBERS = st.lists(st.tuples(STEMS, SUFFIXES, st.binary(max_size=1500)), max_size=12)


@given(MEMBERS, st.sampled_from(FORMATS), st.data())
def test_what_stays_is_as_it_was_and_what_goes_are_dropped_images_and_what_belongs_to_them(
    given_members: list[tuple[str, str, bytes]], kind: int, data: st.DataObject
) -> None:
    content = _written(given_members, kind)
    before = members(content)
    images = [record.key for record in read_tar(io.BytesIO(content), len(content), 10**6)]
    keep = data.draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images)))
    chosen = iter(keep)
    kept_samples = {sample_of(key) for key, is_kept in zip(images, keep, strict=True) if is_kept}
    lost_samples = {sample_of(key) for key, is_kept in zip(images, keep, strict=True) if not is_kept} - kept_samples
    expected = []
    for member in before:
        if image_key(member.name) is not None:
            stays = next(chosen)
        else:
            has_suffix = "." in member.name.rpartition("/")[2]
            stays = not (has_suffix and sample_of(member.name) and sample_of(member.name) in lost_samples)
        if stays:
            expected.append(member)
    made = b"".join(filtered_tar(io.BytesIO(content), len(content), KeptImages(images, keep)))
    assert members(made) == expected
    assert len(made) % tarfile.RECORDSIZE == 0
    wanted = [key for key, is_kept in zip(images, keep, strict=True) if is_kept]
    check_tar(io.BytesIO(made), len(made), wanted, [None] * len(wanted))


def _written(given_members: list[tuple[str, str, bytes]], kind: int) -> bytes:
    """A tar of the members, but for names that the format cannot hold."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for stem, suffix, content in given_members:
            info = tarfile.TarInfo(stem + suffix)
            info.size, info.uname = len(content), "ä"
            info.mtime = 1_700_000_000.25 if kind == tarfile.PAX_FORMAT else 1_700_000_000
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:
                continue
    return buffer.getvalue()


LINKED = st.lists(
    st.tuples(
        st.sampled_from(["a.jpg", "b.jpg", "c.png", "a.txt", "d.txt"]), st.integers(0, 12), st.binary(max_size=600)
    ),
    max_size=12,
)


@given(LINKED, st.sampled_from(FORMATS), st.data())
def test_every_hard_link_that_stays_leads_to_the_bytes_that_it_led_to(
    given_members: list[tuple[str, int, bytes]], kind: int, data: st.DataObject
) -> None:
    parts: list[tuple[str, bytes] | tarfile.TarInfo] = []
    for place, (name, to, content) in enumerate(given_members):
        target = given_members[to][0] if to < place else None
        parts.append((name, content) if target is None else link(name, target))
    content = tar_of(*parts, kind=kind)
    before, images = members(content), [name for name, _, _ in given_members if image_key(name)]
    keys = [str(image_key(name)) for name in images]
    keep = data.draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys)))
    made = members(b"".join(filtered_tar(io.BytesIO(content), len(content), KeptImages(keys, keep))))
    chosen = iter(keep)
    images_before = [member for member in before if image_key(member.name) and next(chosen)]
    images_made = [member for member in made if image_key(member.name)]
    assert [(one.name, one.content) for one in images_made] == [(one.name, one.content) for one in images_before]
    others = [(one.name, one.content) for one in before if not image_key(one.name)]
    assert all((one.name, one.content) in others for one in made if not image_key(one.name))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tar_of_which_nothing_is_dropped_stays_the_same_to_the_byte(kind: int) -> None:
    parts = [("train/a.jpg", b"a" * 700), ("train/a.json", b"{}"), ("x" * 90 + "/" + "y" * 90 + ".png", b"y")]
    content = tar_of(*parts, link("again.jpg", "train/a.jpg"), folder("train"), kind=kind)
    assert without(content) == content


def test_members_lie_in_the_copy_byte_for_byte_with_the_headers_before_them() -> None:
    one = ("n" * 200 + ".jpg", b"1" * 1000)
    alone = tar_of(one, kind=tarfile.GNU_FORMAT)[: -len(tar_of())].rstrip(b"\0")
    both = without(tar_of(("a.jpg", b"2" * 600), one, kind=tarfile.GNU_FORMAT), "a")
    assert both.startswith(alone)


def test_a_sample_of_several_images_keeps_what_is_beside_them_until_the_last_goes() -> None:
    content = tar_of(*[(name, b"x") for name in ("s.left.jpg", "s.right.jpg", "s.json", "t.txt", "s", "README.md")])
    assert names(without(content, "s.left")) == ["s.right.jpg", "s.json", "t.txt", "s", "README.md"]
    assert names(without(content, "s.left", "s.right")) == ["t.txt", "s", "README.md"]


def test_what_comes_before_its_image_goes_with_it() -> None:
    content = tar_of(("./a.json", b"{}"), ("./a.png", b"1"), ("./b.json", b"{}"), ("./b.png", b"2"))
    assert names(without(content, "a")) == ["./b.json", "./b.png"]


def test_folders_and_members_without_an_image_stay() -> None:
    content = tar_of(folder("a"), ("a/a.jpg", b"1"), ("a/about.txt", b"2"), folder("a.d"), ("a.jpg", b"3"))
    assert names(without(content, "a", "a/a")) == ["a", "a/about.txt", "a.d"]


def test_of_two_records_of_one_key_each_is_dropped_by_its_place() -> None:
    content = tar_of(("a.jpg", b"1"), ("a.jpg", b"2"), ("a.txt", b"3"))
    made = b"".join(filtered_tar(io.BytesIO(content), len(content), KeptImages(["a", "a"], [False, True])))
    assert [(member.name, member.content) for member in members(made)] == [("a.jpg", b"2"), ("a.txt", b"3")]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_hard_link_to_what_is_dropped_becomes_a_file_of_the_same_bytes(kind: int) -> None:
    long = ("l" * 90 + "/" if kind != tarfile.USTAR_FORMAT else "") + "m" * 90 + ".jpg"
    content = tar_of(("a.jpg", b"a" * 700), link(long, "a.jpg"), link("c.jpg", long), link("c.txt", "a.jpg"), kind=kind)
    made = members(without(content, "a"))
    assert [(member.name, member.content) for member in made] == [
        (long, b"a" * 700),
        ("c.jpg", b"a" * 700),
        ("c.txt", b"a" * 700),
    ]
    assert [member.info["type"] for member in made] == [tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.REGTYPE]
    assert made[0].info["mtime"] == 1_600_000_000


def test_a_hard_link_names_the_last_member_of_a_name_whichever_of_them_are_kept() -> None:
    content = tar_of(("a.jpg", b"first"), ("a.jpg", b"second"), link("b.jpg", "a.jpg"))
    images = ["a", "a", "b"]
    for keep in ([True, False, True], [False, True, True], [True, True, True], [False, False, True]):
        made = b"".join(filtered_tar(io.BytesIO(content), len(content), KeptImages(images, keep)))
        assert members(made)[-1].content == b"second"


def test_links_that_lead_nowhere_stay_as_they_are() -> None:
    content = tar_of(
        ("a.jpg", b"1"), link("b.txt", "gone.txt", tarfile.SYMTYPE), link("c.txt", "a.jpg", tarfile.SYMTYPE)
    )
    with tarfile.open(fileobj=io.BytesIO(without(content, "a"))) as archive:
        assert [(info.name, info.linkname) for info in archive] == [("b.txt", "gone.txt"), ("c.txt", "a.jpg")]


def test_a_header_for_all_members_behind_it_stays_though_the_first_of_them_goes() -> None:
    content = tar_of(("a.jpg", b"1"), ("b.jpg", b"2"), pax_headers={"comment": "for all"})
    with tarfile.open(fileobj=io.BytesIO(without(content, "a"))) as archive:
        assert archive.getnames() == ["b.jpg"]
        assert archive.pax_headers == {"comment": "for all"}


def test_damage_is_left_out_and_with_it_whatever_may_belong_to_it() -> None:
    content = bytearray(
        tar_of(*[(f"{name}.{suffix}", b"x") for name in "abc" for suffix in ("jpg", "txt")], ("more.md", b""))
    )
    content[2 * 1024 : 2 * 1024 + 8] = b"\xff" * 8  # the header of b.jpg
    assert names(without(bytes(content))) == ["a.jpg", "a.txt", "c.jpg", "c.txt"]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(min_size=1, max_size=600)), max_size=3), st.data()
)
def test_whatever_is_damaged_a_copy_is_whole_and_holds_what_was_kept(
    damages: list[tuple[float, int, bytes]], data: st.DataObject
) -> None:
    parts = [(f"{name}.{suffix}", name.encode() * 700) for name in "abc" for suffix in ("jpg", "txt")]
    content = bytearray(tar_of(*parts, link("d.png", "a.jpg"), ("e" * 150 + ".jpg", b"e")))
    for place, blocks, damage in damages:  # overwritten, or that many blocks cut out
        start = int(place * len(content))
        content[start : start + (512 * blocks or len(damage))] = b"" if blocks else damage
    records = list(read_tar(io.BytesIO(content), len(content), 10**6))
    keep = [record.status == "ok" and data.draw(st.booleans()) for record in records]
    images = KeptImages([record.key for record in records], keep, damaged=True)
    made = b"".join(filtered_tar(io.BytesIO(content), len(content), images))
    found = [(record.key, record.content, record.status) for record in read_tar(io.BytesIO(made), len(made), 10**6)]
    kept = [record for record, is_kept in zip(records, keep, strict=True) if is_kept]
    assert found == [(record.key, record.content, "ok") for record in kept]


@pytest.mark.parametrize("size", [0, 100, 512, 1024, 1500, 2048, 3000])
def test_a_tar_that_breaks_off_is_copied_up_to_there_and_ended(size: int) -> None:
    content = tar_of(("a.jpg", b"1"), ("b.jpg", b"2" * 600))[:size]
    whole = [name for name, end in (("a.jpg", 1024), ("b.jpg", 2560)) if end <= size]
    assert names(without(content)) == whole


def test_what_the_scan_could_not_read_is_left_out() -> None:
    content = tar_of(("a.jpg", b"1"), ("a.txt", b"2"), ("b.txt", b"3"), ("b.jpg", b"4"), ("c.jpg", b"5"))
    images = KeptImages(["a"], [True], damaged=True, breaks_off=True)
    assert names(b"".join(filtered_tar(io.BytesIO(content), len(content), images))) == ["a.jpg", "a.txt"]


@pytest.mark.parametrize("keys", [["a"], ["a", "c"], ["a", "b", "c"]])
def test_a_tar_of_other_records_than_the_score_table_is_refused(keys: list[str]) -> None:
    content = tar_of(("a.jpg", b"1"), ("b.jpg", b"2"))
    with pytest.raises(MismatchError, match="in the score table"):
        list(filtered_tar(io.BytesIO(content), len(content), KeptImages(keys, [True] * len(keys))))


def test_a_file_that_is_shorter_than_it_was_is_told_of() -> None:
    content = tar_of(("a.jpg", b"1" * 5000))
    with pytest.raises(ReadError):
        list(filtered_tar(io.BytesIO(content[:2000]), len(content), KeptImages(["a"], [True])))


def test_a_file_that_was_written_wrong_is_found_out() -> None:
    content = tar_of(("a.jpg", b"1"), ("b.jpg", b"2"))
    check_tar(io.BytesIO(content), len(content), ["a", "b"], [1, 1])
    for keys, lengths in ((["a"], [1]), (["a", "b", "c"], [1, 1, 1]), (["b", "a"], [1, 1]), (["a", "b"], [1, 2])):
        with pytest.raises(MismatchError):
            check_tar(io.BytesIO(content), len(content), keys, lengths)
    with pytest.raises(MismatchError, match="truncated-archive"):
        check_tar(io.BytesIO(content[:2048]), 2048, ["a", "b"], [1, 1])
