"""Make the benchmarks' pictures: photos as they are, or drawings re-encoded, in tar shards. Deterministic.

python -m infra.benchmarks.make_data photos --output DIR [--count 1000] [--photos DIR]
python -m infra.benchmarks.make_data drawings --output DIR [--count 20000]
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
DEMO_SHARDS = REPOSITORY / "pipelines" / "demo" / "shards"
PHOTOS = Path(os.environ.get("OODSCAN_PHOTOS", REPOSITORY.parent / "shared" / "data" / "photos"))
PHOTOS_PER_TAR, DRAWINGS_PER_TAR = 100, 1000
DRAWING_PIXELS = 160
MADE_FROM = "made_from.json"

Members = Callable[[list[Path], range], Iterator[tuple[str, bytes]]]
"""From source files and the numbers of the copies wanted to names and contents of a tar's members."""


def photos(output: Path, count: int, source: Path = PHOTOS) -> list[Path]:
    """`count` JPEGs in tars of 100: the folder's own bytes, again and again."""
    return _shards(output, count, PHOTOS_PER_TAR, photo_files(source), _photos)


def photo_files(source: Path = PHOTOS) -> list[Path]:
    """The JPEGs of a folder, by name."""
    return sorted(path for path in source.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))


def drawings(output: Path, count: int, source: Path = DEMO_SHARDS) -> list[Path]:
    """`count` PNGs of 160 px in tars of 1000: the demo's drawings enlarged, no two the same.

    The first tars of a larger `count` are those of a smaller one.
    """
    return _shards(output, count, DRAWINGS_PER_TAR, sorted(source.iterdir()), _drawings)


def _shards(output: Path, count: int, per_tar: int, sources: list[Path], members: Members) -> list[Path]:
    """The tars of a folder, made anew unless they were made of the same."""
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    made_from = {"count": count, "per_tar": per_tar, "sources": digest}
    marker = output / MADE_FROM
    if not marker.exists() or json.loads(marker.read_text(encoding="utf-8")) != made_from:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        ranges = [range(start, min(start + per_tar, count)) for start in range(0, count, per_tar)]
        with ProcessPoolExecutor() as pool:
            tasks = [
                pool.submit(_write_tar, output / f"{number:05d}.tar", sources, chosen, members)
                for number, chosen in enumerate(ranges)
            ]
            for task in tasks:
                task.result()
        marker.write_text(json.dumps(made_from), encoding="utf-8")
    return sorted(output.glob("*.tar"))


def _write_tar(path: Path, sources: list[Path], chosen: range, members: Members) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members(sources, chosen):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _photos(files: list[Path], chosen: range) -> Iterator[tuple[str, bytes]]:
    for index in chosen:
        yield f"{index:06d}.jpg", files[index % len(files)].read_bytes()


def _drawings(shards: list[Path], chosen: range) -> Iterator[tuple[str, bytes]]:
    pictures = _enlarged(tuple(shards))
    for index in chosen:
        copy, picture = index // len(pictures), pictures[index % len(pictures)].copy()
        picture.putpixel((copy % picture.width, copy // picture.width), (255 - copy % 256, copy % 256, 0))
        file = io.BytesIO()
        picture.save(file, "png")
        yield f"{index:06d}.png", file.getvalue()


@lru_cache
def _enlarged(shards: tuple[Path, ...]) -> list[Image.Image]:
    pictures = []
    for content in (content for shard in shards for content in _contents(shard)):
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        scale = DRAWING_PIXELS / max(picture.size)
        pictures.append(picture.resize((round(picture.width * scale), round(picture.height * scale))))
    return pictures


def _contents(shard: Path) -> Iterator[bytes]:
    if shard.suffix == ".parquet":
        yield from pq.read_table(shard, columns=["image"])["image"].to_pylist()
        return
    with tarfile.open(shard) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and member.name.endswith(".png"):
                yield file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("photos", "drawings"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, help="default: 1000 photos, 20000 drawings")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help=f"a folder of JPEGs; default {PHOTOS}")
    options = parser.parse_args()
    if options.kind == "photos":
        tars = photos(options.output, options.count or 1000, options.photos)
    else:
        tars = drawings(options.output, options.count or 20_000)
    print(json.dumps({"tars": len(tars), "bytes": sum(tar.stat().st_size for tar in tars)}))


if __name__ == "__main__":
    main()
