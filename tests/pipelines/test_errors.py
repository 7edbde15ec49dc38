from pipelines.errors import CallerError, WriteError, cause_of


class WrappedError(WriteError):
    """An error as Ray raises it in the driver: of the type of its cause, with a stack trace for a message."""

    def __init__(self, cause: WriteError) -> None:
        super().__init__("Traceback (most recent call last):\n  …")
        self.cause = cause


def test_the_cause_of_an_error_is_found_however_it_is_wrapped() -> None:
    inner = WriteError("no room")
    try:
        try:
            raise WrappedError(inner)
        except WriteError as error:
            raise RuntimeError("a task has failed") from error
    except RuntimeError as error:
        assert cause_of(error, WriteError) is inner
        assert cause_of(error, CallerError) is None
    assert cause_of(inner, WriteError) is inner
