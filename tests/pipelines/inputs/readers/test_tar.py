import io
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ReadError
from pipelines.inputs.readers.names import IMAGE_SUFFIXES
from pipelines.inputs.readers.range_file import open_range
from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.tar import read_tar
from tests.pipelines.flaky_files import break_every_other, holding
from tests.pipelines.inputs.placeless import placeless

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name: str, kind: bytes = tarfile.REGTYPE, **values) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in values.items():
        setattr(info, field, value)
    return info


def tar_of(members: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, content in members.items():
            archive.addfile(member(name, size=len(content)), io.BytesIO(content))
    return buffer.getvalue()


def ended(content: bytes) -> bytes:
    """An archive put together from parts, ended as one is that was written at once."""
    whole = content.rstrip(b"\0")
    whole += bytes(-len(whole) % 512 + 1024)
    return whole + bytes(-len(whole) % 10240)


def read(content: bytes, max_bytes: int = 10**6) -> list[Record]:
    return placeless(read_tar(io.BytesIO(content), len(content), max_bytes))


def by_tarfile(content: bytes) -> list[Record]:
    """What Python's own reader finds in a valid archive, or in several in one file."""
    with tarfile.open(fileobj=io.BytesIO(content), ignore_zeros=True) as archive:
        found = [(info.name, archive.extractfile(info)) for info in archive if info.isreg()]
        return [
            Record(name.rpartition(".")[0].removeprefix("./"), file.read())
            for name, file in found
            if file and name.lower().endswith(IMAGE_SUFFIXES)
        ]


def shapes(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.key, record.status) for record in records]


def with_header(info: tarfile.TarInfo, data: bytes = b"") -> bytes:
    """A member as it stands in an archive, whatever its header claims."""
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


MEMBERS = {
    "./train/cat.jpg": b"c" * 700,
    "train/cat.json": b'{"caption": "a cat"}',
    "empty.png": b"",
    "UPPER.JPEG": b"u" * 512,
    "train/cat.txt": b"a cat",
    "a.b c.webp": b"w",
}
THREE = {"a.jpg": b"a" * 600, "b.jpg": b"b" * 30, "c.jpg": b"c" * 1024}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_valid_archive_gives_its_images_in_order_and_passes_over_sidecars(kind: str) -> None:
    records = read(tar_of(MEMBERS, FORMATS[kind]))
    assert [record.key for record in records] == ["train/cat", "empty", "UPPER", "a.b c"]
    assert [record.content for record in records] == [b"c" * 700, b"", b"u" * 512, b"w"]
    assert {record.status for record in records} == {"ok"}


@pytest.mark.parametrize("kind", ["gnu", "pax"])
@pytest.mark.parametrize("stem", ["x" * 300, "d" * 90 + "/" + "e" * 90, "Katze-ä-猫", "p/" * 120 + "q", "é" * 99])
def test_long_and_unicode_names_are_whole(kind: str, stem: str) -> None:
    content = tar_of({stem + ".jpg": b"1", "next.jpg": b"2"}, FORMATS[kind])
    assert read(content) == [Record(stem, b"1"), Record("next", b"2")]


def test_directories_and_macos_metadata_are_passed_over() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("folder.jpg", tarfile.DIRTYPE))
        archive.addfile(member("folder.jpg/._x.jpg", size=3), io.BytesIO(b"mac"))
        archive.addfile(member("folder.jpg/x.jpg", size=3), io.BytesIO(b"pic"))
    assert read(buffer.getvalue()) == [Record("folder.jpg/x", b"pic")]


def test_archives_written_one_after_the_other_are_read_to_the_end_and_the_zeros_between_them_told_of() -> None:
    both = tar_of({"a.jpg": b"1"}) + tar_of({}) + tar_of({"b.jpg": b"2"}, tarfile.GNU_FORMAT)
    assert shapes(read(both)) == [("a", "ok"), ("", "damaged-archive"), ("b", "ok")]


@pytest.mark.parametrize("start", range(0, 20480, 512))
@pytest.mark.parametrize("blocks", [1, 2, 8, 20, 21, 40])
def test_zeros_that_hide_members_are_damage_wherever_they_lie(start: int, blocks: int) -> None:
    """Members of a header and a block each; what is zeroed is a page, or the rest of a file made in advance."""
    tar = bytearray(tar_of({f"{number:02d}.jpg": b"x" for number in range(20)}, tarfile.USTAR_FORMAT))
    end = start + 512 * blocks
    tar[start:end] = bytes(len(tar[start:end]))
    records = read(bytes(tar))
    headers = [place for place in range(0, 20480, 1024) if start <= place < end]
    whole = [f"{place // 1024:02d}" for place in range(0, 20480, 1024) if not start <= place < end]
    assert [record.key for record in records if record.status == "ok"] == whole
    assert [record.status for record in records if record.status != "ok"] == ["damaged-archive"] * bool(headers)


@pytest.mark.parametrize("kept", range(1, 30))
def test_a_download_that_has_left_zeros_is_damage_wherever_it_ended(kept: int) -> None:
    whole = tar_of({f"{number:02d}.jpg": bytes([number + 1]) * 1000 for number in range(30)}, tarfile.USTAR_FORMAT)
    part = whole[: kept * 1536] + bytes(len(whole) - kept * 1536)
    end = kept * 1536 + 1024
    told = -(-end // 10240) * 10240 < len(whole)  # else the zeros could be an archive's own end
    assert [record.status for record in read(part)] == ["ok"] * kept + ["damaged-archive"] * told
    assert told or kept > 26


def test_an_archive_without_members_has_no_records() -> None:
    assert read(tar_of({})) == []


def test_a_file_of_no_bytes_is_a_truncated_archive() -> None:
    assert shapes(read(b"")) == [("", "truncated-archive")]


def test_a_size_in_base_256_is_read() -> None:
    info = member("a.jpg", size=5)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\x80" + (5).to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    content = ended(bytes(header) + b"12345" + bytes(507) + tar_of({"b.jpg": b"2"}))
    assert read(content) == [Record("a", b"12345"), Record("b", b"2")]


@pytest.mark.parametrize("kind", ["v7", "oldgnu", "gnu", "ustar", "pax"])
def test_archives_of_gnu_tar_equal_what_tarfile_reads(tmp_path: Path, kind: str) -> None:
    for name in ("plain.jpg", "with space.png", "ünï.webp", "note.txt", "deep/" * 5 + "x.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 50)
    if kind in ("oldgnu", "gnu", "pax"):
        (tmp_path / ("n" * 150 + ".jpg")).write_bytes(b"long")
    tarred = subprocess.run(
        ["tar", f"--format={kind}", "-cf", "-", "-C", tmp_path, "."], check=True, capture_output=True
    )
    records = read(tarred.stdout)
    assert records == by_tarfile(tarred.stdout)
    assert len(records) == (5 if kind in ("oldgnu", "gnu", "pax") else 4)


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_a_sparse_file_with_many_holes_is_one_unsupported_member(tmp_path: Path, kind: str) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        for hole in range(40):
            file.seek(hole * 65536)
            file.write(b"data" * 1024)
    (tmp_path / "b.jpg").write_bytes(b"after")
    command = ["tar", "-S", f"--format={kind}", "-cf", "-", "-C", tmp_path, "a.jpg", "b.jpg"]
    tarred = subprocess.run(command, check=True, capture_output=True).stdout
    assert len(tarred) < 40 * 65536, "the file system keeps no holes"
    assert shapes(read(tarred)) == [("a", "unsupported-member"), ("b", "ok")]


@pytest.mark.parametrize("kind", ["gnu", "pax", "ustar"])
@pytest.mark.parametrize("stem", ["a", "n" * 150])
def test_a_hard_link_is_the_image_that_it_names(tmp_path: Path, kind: str, stem: str) -> None:
    if kind == "ustar" and len(stem) > 100:
        pytest.skip("ustar has no room for it")
    (tmp_path / f"{stem}.jpg").write_bytes(b"picture" * 200)
    (tmp_path / "data").write_bytes(b"of no suffix")
    (tmp_path / "b.jpg").hardlink_to(tmp_path / f"{stem}.jpg")
    (tmp_path / "c.png").hardlink_to(tmp_path / "data")
    (tmp_path / "d.jpg").write_bytes(b"d")
    names = [f"{stem}.jpg", "data", "b.jpg", "c.png", "d.jpg"]
    command = ["tar", f"--format={kind}", "-cf", "-", "-C", tmp_path, *names]
    content = subprocess.run(command, check=True, capture_output=True).stdout
    picture, data = b"picture" * 200, b"of no suffix"
    expected = [Record(stem, picture), Record("b", picture), Record("c", data), Record("d", b"d")]
    assert read(content) == expected
    asked = []

    def read_at(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return content[offset : offset + size]

    places = list(read_tar(io.BytesIO(content), len(content), 10**6, read_at=read_at))
    assert placeless(places) == expected
    assert asked == [(places[1].offset, len(picture)), (places[2].offset, len(data))]
    assert places[0].offset == places[1].offset
    assert shapes(read(content, max_bytes=100)) == [
        (stem, "too-large"), ("b", "too-large"), ("c", "ok"), ("d", "ok"),
    ]  # fmt: skip


def test_a_hard_link_to_a_hard_link_is_the_image_that_both_name() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("a.jpg", size=3), io.BytesIO(b"abc"))
        archive.addfile(member("no suffix", tarfile.LNKTYPE, linkname="a.jpg"))
        archive.addfile(member("c.jpg", tarfile.LNKTYPE, linkname="no suffix"))
        archive.addfile(member("no suffix", tarfile.SYMTYPE, linkname="a.jpg"))
        archive.addfile(member("d.jpg", tarfile.LNKTYPE, linkname="no suffix"))
    records = read(buffer.getvalue())
    assert shapes(records) == [("a", "ok"), ("c", "ok"), ("d", "unsupported-member")]
    assert records[1].content == b"abc"


@pytest.mark.parametrize("block", [0, 2], ids=["target", "name"])
def test_the_header_of_a_long_name_twice_over_is_damage(block: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member("n" * 150 + ".jpg", tarfile.LNKTYPE, linkname="t" * 150), None)
        archive.addfile(member("b.jpg", size=1), io.BytesIO(b"b"))
    content = buffer.getvalue()
    header = content[512 * block : 512 * (block + 1)]
    assert header[156:157] == (tarfile.GNUTYPE_LONGNAME if block else tarfile.GNUTYPE_LONGLINK)
    found = shapes(read(ended(content[: 512 * block] + header + content[512 * block :])))
    assert ("", "damaged-archive") in found
    assert found[-1] == ("b", "ok")


def test_a_folder_of_an_incremental_archive_is_no_image() -> None:
    content = bytearray(tar_of({"photos.jpg": b"Yone\0Ytwo\0\0", "b.jpg": b"b"}, tarfile.GNU_FORMAT))
    content[156:157] = b"D"
    content[148:156] = b"        "
    content[148:156] = b"%06o\0 " % sum(content[:512])
    assert shapes(read(bytes(content))) == [("b", "ok")]


def test_members_that_are_no_images_are_counted_by_kind() -> None:
    counts: Counter[str] = Counter()
    content = tar_of({"a.jpg": b"1", "a.json": b"{}", "b.JSON": b"", "b/._a.jpg": b"", "LICENSE": b"", "é.txt": b""})
    assert len(list(read_tar(io.BytesIO(content), len(content), 10, passed_over=counts))) == 1
    assert counts == {".json": 2, ".jpg": 1, "no suffix": 1, ".txt": 1}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"\xff"])
def test_a_link_or_special_file_with_an_images_name_is_unsupported(kind: bytes) -> None:
    content = ended(with_header(member("a.jpg", kind, linkname="b.jpg")) + tar_of({"b.jpg": b"2"}))
    assert shapes(read(content)) == [("a", "unsupported-member"), ("b", "ok")]


NAMES = st.from_regex(r"[a-zA-Z0-9 ._é猫-]{0,120}(/[a-zé]{1,60}){0,3}x", fullmatch=True)
ARCHIVES = st.dictionaries(
    st.tuples(NAMES, st.sampled_from([*IMAGE_SUFFIXES, ".json", ".cls", ".JPG"])).map("".join),
    st.binary(max_size=1500),
    max_size=6,
)


@given(ARCHIVES, st.sampled_from(["gnu", "pax"]))
def test_any_archive_equals_what_tarfile_reads(members: dict[str, bytes], kind: str) -> None:
    members = {name: content for name, content in members.items() if not name.split("/")[-1].startswith("._")}
    content = tar_of(members, FORMATS[kind])
    assert read(content) == by_tarfile(content)


@given(ARCHIVES, st.data())
@settings(max_examples=300)
def test_no_bytes_at_all_raise_an_exception(members: dict[str, bytes], data: st.DataObject) -> None:
    content = bytearray(tar_of(members, data.draw(st.sampled_from(list(FORMATS.values())[1:]))))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert all(isinstance(record, Record) for record in read(bytes(content)))


@pytest.mark.parametrize("kind", ["ustar", "pax"])
def test_a_tar_cut_anywhere_keeps_what_was_whole_and_says_that_it_is_cut(kind: str) -> None:
    members = THREE | ({"ü.jpg": b"u"} if kind == "pax" else {})
    content = tar_of(members, FORMATS[kind])
    whole = read(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        ends = [info.offset_data + -(-info.size // 512) * 512 for info in archive]
    for cut in range(len(content)):
        records = read(content[:cut])
        kept = sum(end <= cut for end in ends)
        assert records[:kept] == whole[:kept], cut
        lost_nothing = cut >= ends[-1] + 512
        assert [record.status for record in records[kept:]] == ([] if lost_nothing else ["truncated-archive"]), cut


@pytest.mark.parametrize("first_bytes", range(1, 512, 30))
def test_a_second_archive_that_breaks_off_in_its_first_header_is_noticed(first_bytes: int) -> None:
    both = tar_of({"a.jpg": b"1"}) + tar_of({"b.jpg": b"2"})[:first_bytes]
    assert shapes(read(both)) == [("a", "ok"), ("", "truncated-archive")]


@pytest.mark.parametrize("content", [b"x" * 700, b""], ids=["data", "no data"])
@pytest.mark.parametrize("damage", ["zeros", "noise"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_header_costs_one_member_and_leaves_a_record_in_its_place(
    place: int, damage: str, content: bytes
) -> None:
    tar = bytearray(tar_of(dict.fromkeys(["a.jpg", "b.jpg", "c.jpg"], content), tarfile.USTAR_FORMAT))
    start = place * (512 + -(-len(content) // 512) * 512)
    tar[start : start + 512] = bytes(512) if damage == "zeros" else b"\xaa" * 512
    expected = [("a", "ok"), ("b", "ok"), ("c", "ok")]
    expected[place] = ("", "damaged-archive")
    if damage == "zeros" and not content and place == 2:
        expected.pop()  # it cannot be told from the end of the archive
    assert shapes(read(bytes(tar))) == expected


@pytest.mark.parametrize("place", [0, 1536, 2560])
def test_any_flipped_byte_of_a_header_is_noticed_or_does_no_harm(place: int) -> None:
    tar = tar_of(THREE, tarfile.USTAR_FORMAT)
    whole, damaged_index = read(tar), [0, 1536, 2560].index(place)
    for position in range(512):
        flipped = bytearray(tar)
        flipped[place + position] ^= 0xFF
        records = read(bytes(flipped))
        others = whole[:damaged_index] + whole[damaged_index + 1 :]
        assert records == whole or [record for record in records if record.status == "ok"] == others
        assert records == whole or records[damaged_index].status == "damaged-archive"


@pytest.mark.parametrize(("kind", "block"), [("gnu", 0), ("gnu", 2), ("pax", 0), ("pax", 2)])
def test_a_damaged_long_name_never_gives_the_name_to_another_member(kind: str, block: int) -> None:
    """Blocks: the name's header, the name, the member's own header."""
    tar = bytearray(tar_of({"n" * 200 + ".jpg": b"", "next.jpg": b"2"}, FORMATS[kind]))
    tar[block * 512 : block * 512 + 512] = bytes(512)
    records = read(bytes(tar))
    assert records[-1] == Record("next", b"2")
    assert "n" * 200 not in [record.key for record in records]
    assert "damaged-archive" in [record.status for record in records]


@pytest.mark.parametrize(
    "content",
    [
        b"no length",
        b"99 path=short.jpg\n",
        b"-5 path=x\n",
        b"0 path=x\n",
        b"11 pathx.jpg\n",
        b"12 path=x.jp",
        b"\xff\xfe path=x\n",
        b"11 size=-5\n",
        b"12 size=1.5\n",
        b"5014 size=" + b"9" * 5003 + b"\n",
    ],
)
def test_a_malformed_pax_header_is_damage_and_the_member_after_it_is_still_read(content: bytes) -> None:
    header = with_header(member("pax", tarfile.XHDTYPE, size=len(content)), content)
    records = read(ended(header + tar_of({"a.jpg": b"1"}, tarfile.USTAR_FORMAT)))
    assert shapes(records) == [("", "damaged-archive"), ("a", "ok")]


def test_an_endless_extended_header_is_not_read_into_memory() -> None:
    header = with_header(member("pax", tarfile.XHDTYPE, size=10**6), b"x" * 10**6)
    assert shapes(read(ended(header + tar_of({"a.jpg": b"1"})))) == [("", "damaged-archive"), ("a", "ok")]


@pytest.mark.parametrize("size", [10 * 2**40, 2**63])
def test_a_member_that_claims_more_than_the_file_holds_breaks_off(size: int) -> None:
    content = tar_of({"a.jpg": b"1"})[:1024] + with_header(member("b.jpg", size=size), b"few")
    assert shapes(read(content)) == [("a", "ok"), ("b", "truncated-archive")]


def test_a_member_over_the_limit_is_passed_by_without_being_read() -> None:
    seen: list[tuple[int, int]] = []

    class Watched(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            seen.append((self.tell(), count or 0))
            return super().read(count)

    content = tar_of({"big.jpg": b"b" * 5000, "small.jpg": b"s"}, tarfile.USTAR_FORMAT)
    records = placeless(read_tar(Watched(content), len(content), 4999))
    assert shapes(records) == [("big", "too-large"), ("small", "ok")]
    assert records[0].error == "5000 bytes, more than 4999"
    assert not [start for start, _ in seen if 512 <= start < 512 + 5120]


@pytest.mark.parametrize(
    "name", ["../../etc/x.jpg", "/etc/x.jpg", "C:\\x.jpg", "a/../../x.jpg", "-rf.jpg", "$(id).jpg"]
)
def test_a_hostile_name_is_only_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(tar_of({name: b"1"})) == [Record(name[:-4], b"1")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["ustar", "gnu", "pax"])
def test_names_that_are_not_utf8_are_escaped(kind: str) -> None:
    records = read(tar_of({"\udcff\udcfe.jpg": b"1", "b.jpg": b"2"}, FORMATS[kind]))
    assert records == [Record("\\xff\\xfe", b"1"), Record("b", b"2")]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tar_over_a_flaky_connection_gives_the_same_records(kind: str) -> None:
    content = tar_of({f"{number}.jpg": bytes([number]) * 3000 for number in range(50)}, FORMATS[kind])
    files = holding(content, break_every_other)
    file = open_range(files, "/file", len(content), first_wait_s=0, chunk_bytes=4096)
    assert placeless(read_tar(file, len(content), 10**6)) == read(content)
    assert files.requests > 50


def test_a_tar_that_can_no_longer_be_read_is_a_read_error() -> None:
    content = tar_of(THREE)

    def gone(request: int, answer: bytes) -> bytes:
        if request > 1:
            raise FileNotFoundError("it was here a minute ago")
        return answer

    file = open_range(holding(content, gone), "/file", len(content), chunk_bytes=1024)
    with pytest.raises(ReadError, match="it was here a minute ago"):
        list(read_tar(file, len(content), 10**6))
