"""Draw the highest- and lowest-scoring demo pictures with score and nearest label as one small PNG.

python -m infra.demo_model.contact_sheet --scores SCAN/scores --shards pipelines/demo/shards --output sheet.png
"""

import argparse
import io
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from infra.demo_model.measure import pictures

SHOWN, COLUMNS = 12, 6
PICTURE, CELL_WIDTH, CELL_HEIGHT, HEADING, MARGIN = 92, 124, 128, 28, 8
COLOURS = 96  # of the palette: keeps the sheet small


def read_scores(scores: Path, column: str) -> list[dict]:
    """The scored rows of every score table of a folder, highest first."""
    wanted = ["key", "status", "id_label", "negative_label", column]
    rows = [row for path in sorted(scores.glob("*.parquet")) for row in pq.read_table(path, columns=wanted).to_pylist()]
    return sorted((row for row in rows if row["status"] == "ok"), key=lambda row: (-row[column], row["key"]))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    whole = text
    while font.getlength(text) > CELL_WIDTH - 4:
        text = text.removesuffix("…")[:-1] + "…"
    return text or whole[:1]


def _cell(content: bytes, lines: tuple[str, str]) -> Image.Image:
    """One picture, its score, and the label nearest to it."""
    cell, font = Image.new("RGB", (CELL_WIDTH, CELL_HEIGHT), "white"), ImageFont.load_default(11)
    picture = Image.open(io.BytesIO(content)).convert("RGB").resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    cell.paste(picture, ((CELL_WIDTH - PICTURE) // 2, 0))
    draw = ImageDraw.Draw(cell)
    for number, line in enumerate(lines):
        place = (CELL_WIDTH / 2, PICTURE + 3 + 14 * number)
        draw.text(place, _shortened(line, font), fill="#222222", font=font, anchor="ma")
    return cell


def _block(title: str, cells: list[Image.Image]) -> Image.Image:
    rows = -(-len(cells) // COLUMNS)
    block = Image.new("RGB", (COLUMNS * CELL_WIDTH + 2 * MARGIN, HEADING + rows * CELL_HEIGHT), "white")
    ImageDraw.Draw(block).text((MARGIN, 6), title, fill="black", font=ImageFont.load_default(14))
    for number, cell in enumerate(cells):
        place = (MARGIN + number % COLUMNS * CELL_WIDTH, HEADING + number // COLUMNS * CELL_HEIGHT)
        block.paste(cell, place)
    return block


def sheet(rows: list[dict], shards: Path, column: str) -> Image.Image:
    """The highest rows above the lowest; a high row shows its nearest ID label, a low one its nearest negative."""
    encoded = dict(pictures(shards))
    halves = (("Highest scores", rows[:SHOWN], "id_label"), ("Lowest scores", rows[-SHOWN:][::-1], "negative_label"))
    blocks = []
    for title, chosen, label in halves:
        cells = [_cell(encoded[row["key"]], (f"{row[column]:.3f}", row[label] or "")) for row in chosen]
        blocks.append(_block(f"{title}: score, nearest {'ID' if label == 'id_label' else 'negative'} label", cells))
    whole = Image.new("RGB", (blocks[0].width, sum(b.height for b in blocks)), "white")
    for number, block in enumerate(blocks):
        whole.paste(block, (0, number * blocks[0].height))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="folder of score tables")
    parser.add_argument("--shards", type=Path, default=Path("pipelines/demo/shards"))
    parser.add_argument("--column", default="score_neglabel")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    drawn = sheet(read_scores(options.scores, options.column), options.shards, options.column)
    drawn.quantize(COLOURS, dither=Image.Dither.NONE).save(options.output, "png", optimize=True)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
