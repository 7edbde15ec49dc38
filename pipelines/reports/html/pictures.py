"""The pictures of a page, each stored once however often it is shown."""

from base64 import b64encode


class Pictures:
    """The pictures that a page shows, as classes of its style sheet.

    A class can be worn by any number of elements, so a picture that is in several galleries is stored once, and is
    seen without JavaScript.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def name(self, image: bytes) -> str:
        """The class whose elements show the picture."""
        return self._names.setdefault(image, f"p{len(self._names)}")

    def style(self) -> str:
        """The rules of all pictures that were named."""
        return "".join(
            f".{name}{{background-image:url(data:image/webp;base64,{b64encode(image).decode()})}}\n"
            for image, name in self._names.items()
        )
