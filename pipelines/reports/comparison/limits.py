"""What a comparison must not find: `--fail-on drift=0.1,flagged=0.01,new-kind=20,broken=1`."""

from dataclasses import dataclass

from pipelines.errors import CallerError

FAIL_ON = "--fail-on"
NAMES = {"drift": "drift", "flagged": "flagged", "new-kind": "new_kind", "broken": "broken"}


@dataclass(frozen=True)
class Limits:
    """From which values on a comparison fails; None: from none.

    `drift`: how far the scores of a method have moved, in standard deviations of the scan before; `flagged`: by how
    much the flagged share has risen; `new_kind`: flagged images of a new kind; `broken`: newly broken shards.
    """

    drift: float | None = None
    flagged: float | None = None
    new_kind: float | None = None
    broken: float | None = None

    @classmethod
    def parse(cls, given: str | None) -> "Limits":
        """Raises CallerError for a name that is unknown, and for a value that is no number above 0."""
        found: dict[str, float] = {}
        for part in (given or "").split(",") if given else ():
            name, equals, value = part.strip().partition("=")
            if name not in NAMES or not equals:
                raise CallerError(
                    f"{FAIL_ON} {part.strip()!r} is none of {', '.join(f'{one}=NUMBER' for one in NAMES)}"
                )
            try:
                found[NAMES[name]] = float(value)
            except ValueError:
                raise CallerError(f"{FAIL_ON} {part.strip()!r}: {value!r} is no number") from None
            if not 0 < found[NAMES[name]] < float("inf"):
                raise CallerError(f"{FAIL_ON} {part.strip()!r}: the number must be above 0")
        return cls(**found)
