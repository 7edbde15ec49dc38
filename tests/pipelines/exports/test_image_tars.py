import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.exports.image_tars import member_names, tar_of
from pipelines.exports.read_back import check_tar
from pipelines.exports.tars import sample_of
from pipelines.inputs.readers.names import image_key


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("cats/tabby/1.JPEG", "cats/tabby/1.JPEG"),
        ("cats v1.2/1.png", "cats v1.2/1.png"),
        ("IMG.2020.01.jpg", "IMG_2020_01.jpg"),
        ("/etc/passwd.jpg", "etc/passwd.jpg"),
        ("../../root/a.jpg", "root/a.jpg"),
        ("a/./../b.jpg", "a/b.jpg"),
        ("..jpg", "_.jpg"),
        (".jpg", "image.jpg"),
        ("._a.jpg", "__a.jpg"),
        ("s3://bucket/a/b.jpg", "bucket/a/b.jpg"),
        ("a\\..\\b\0\n.jpg", "a____b__.jpg"),
    ],
)
def test_a_name_is_as_close_to_the_key_as_is_safe(key: str, name: str) -> None:
    assert member_names([key]) == [name]


def test_names_that_would_be_one_sample_are_told_apart() -> None:
    assert member_names(["a.jpg", "a.png", "b.jpg", "a.jpg", "a-1.jpg"]) == [
        *("a.jpg", "a-1.png", "b.jpg", "a-3.jpg", "a-1-4.jpg"),
    ]


KEYS = st.lists(
    st.builds(
        str.__add__,
        st.text(st.sampled_from("ab./\\:_ä-1\n"), max_size=12),
        st.sampled_from([".jpg", ".PNG", ".webp"]),
    ),
    max_size=20,
)


@given(KEYS)
def test_names_lead_nowhere_and_every_image_is_a_sample_that_a_scan_reads(keys: list[str]) -> None:
    names = member_names(keys)
    assert len({sample_of(name) for name in names} - {""}) == len(keys)
    for name in names:
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
    content = b"".join(tar_of((name, name.encode()) for name in names))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getnames() == names
        files = [archive.extractfile(info) for info in archive]
        assert [file.read() for file in files if file] == [name.encode() for name in names]
    expected = [image_key(name) or "" for name in names]
    check_tar(io.BytesIO(content), len(content), expected, [len(name.encode()) for name in names])
    assert len(content) % tarfile.RECORDSIZE == 0
