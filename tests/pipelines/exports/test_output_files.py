from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.errors import CallerError
from pipelines.exports.output_files import OutputFile, block_of, check_apart, files_of, output_files
from pipelines.inputs.listing import Kind
from pipelines.inputs.plan import Shard
from pipelines.storage import Directory


def shard(name: str, url: str, kind: Kind = "tar", start: int = 0) -> Shard:
    keys = ("a.jpg",) if kind == "images" else ()
    return Shard(name, kind, (url,), keys, (1,), "f", start, 4 if kind == "parquet" else None, ("v",))


def named(*shards: Shard) -> list[str]:
    return [file.name for file in output_files(shards)]


def test_a_copy_is_called_as_its_input_is() -> None:
    assert named(shard("x-1", "s3://b/x.tar"), shard("y-2", "s3://b/y.parquet", "parquet")) == ["x.tar", "y.parquet"]


def test_names_that_are_there_twice_or_not_plain_give_way_to_the_shards_id() -> None:
    shards = shard("x-1", "/a/x.tar"), shard("x-2", "/b/x.tar"), shard("y-3", "/a/y z?.tar"), shard("h-4", "/a/.h.tar")
    assert named(*shards) == ["x-1.tar", "x-2.tar", "y-3.tar", "h-4.tar"]


def test_where_an_id_is_the_name_of_another_file_all_are_called_by_their_ids() -> None:
    assert named(shard("x", "/a/y.tar"), shard("y", "/a/y z.tar")) == ["x.tar", "y.tar"]


def test_image_files_are_called_by_their_shard() -> None:
    assert named(shard("photos-1", "/photos/a.jpg", "images")) == ["photos-1.tar"]


def test_all_ranges_of_a_table_are_one_file() -> None:
    shards = [shard(f"t-{start:08d}", "/t.parquet", "parquet", start) for start in (0, 4, 8)]
    (file,) = output_files(shards)
    assert file == OutputFile("t.parquet", tuple(shards))


def test_files_come_back_from_a_block_as_they_were() -> None:
    files = output_files(
        [shard("x-1", "/x.tar"), *(shard(f"t-{start}", "/t.parquet", "parquet", start) for start in (0, 4))]
    )
    assert files_of(block_of(files)) == files


@pytest.mark.parametrize("output", ["data", "data/", "link", "."])
def test_an_output_among_the_input_is_a_mistake(tmp_path: Path, output: str) -> None:
    (tmp_path / "data/shards").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "shards").symlink_to(tmp_path / "data/shards")
    planned: Sequence[Shard] = [shard("x-1", f"file://{tmp_path}/data/shards/x.tar")]
    with pytest.raises(CallerError, match="and the input are in one folder"):
        check_apart(Directory(str(tmp_path / output)), planned)
    check_apart(Directory(str(tmp_path / "other")), planned)
