"""The step that encodes the images of a reference, by the encoders that then encode the scan's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.inputs.plan import Shard
from pipelines.scan_directory.layout import (
    ANCHORS,
    REFERENCE,
    REFERENCE_SCORES,
    REFERENCE_SUMS,
    REFERENCE_VOTES,
    committed,
)
from pipelines.scans.encode_images import EncodeImagesStep


@dataclass(frozen=True)
class EncodeReferenceStep:
    """Commits to `reference/` the embeddings of the reference's images. `encode`: of images, to that folder; `scores`:
    whether they are to be scored too, and not only to vote."""

    encode: EncodeImagesStep
    shards: Sequence[Shard]
    scores: bool = False

    name = "encode reference"
    folder = REFERENCE
    needs = ()

    def reads(self, shards: Sequence[Shard]) -> list[Shard]:  # noqa: ARG002
        """None: no step comes before."""
        return []

    def run(self, shards: Sequence[Shard]) -> dict[str, Any]:  # noqa: ARG002
        """Commits the shards of the reference that have not been encoded, and are not done with yet."""
        run, output = self.encode.this_run, self.encode.this_run.output
        done = committed(output, REFERENCE_VOTES) if output.exists(ANCHORS) else set()
        if done and output.exists(REFERENCE_SUMS):
            done = {shard.id for shard in self.shards}
        if self.scores:
            done &= committed(output, REFERENCE_SCORES)
        due = [shard for shard in run.missing(REFERENCE, self.shards) if shard.id not in done]
        if due:
            run.say(f"encoding the reference: {len(due)} shards")
            run.receive(REFERENCE, due, self.encode.receipts(run.committer(REFERENCE), due))
        return {}
