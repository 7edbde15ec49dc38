"""What a file's name says: whether it may be an image, and under which name it is counted if it is passed over."""

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    *(".png", ".apng", ".webp", ".avif", ".gif"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".tif", ".tiff", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"),
)
"""The suffixes of images. What a file is its bytes decide: see `ood_core.decoding.FORMATS`."""


def suffix_of(name: str) -> str:
    """The suffix of a file's name or URL in lower case, with its dot; "" if it has none."""
    name = name.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""


def is_hidden(path: str, is_image: bool) -> bool:
    """Whether a path is passed over by convention: a name in it begins with `.` or `_`, as Spark's `_temporary` does.

    An image's own name may begin with `_`: cameras write `_DSC0001.JPG`.
    """
    *folders, name = path.split("/")
    return any(part.startswith((".", "_")) for part in folders) or name.startswith("." if is_image else (".", "_"))


def image_key(name: str) -> str | None:
    """A tar member's name without its image suffix; None if it has none, or holds macOS's metadata of an image."""
    suffix = suffix_of(name)
    if suffix not in IMAGE_SUFFIXES or name.rsplit("/", 1)[-1].startswith("._"):
        return None
    return name[: -len(suffix)].removeprefix("./")


def passed_over_as(name: str) -> str:
    """The name under which a file of a kind that is not read is counted: its suffix, or that it has none."""
    return suffix_of(name) or "no suffix"
