"""A bound on what a worker reads ahead."""

import threading


class Room:
    """Room for so many records of so many bytes in all; a record of any size fits where there is no other."""

    def __init__(self, records: int, size: int) -> None:
        self.records, self.size, self.taken = records, size, 0
        self.changed = threading.Condition()

    def take(self, size: int) -> None:
        """Waits until one more record of this size fits."""
        with self.changed:
            self.changed.wait_for(lambda: self._fits(size))
            self.records, self.size = self.records - 1, self.size - size
            self.taken += 1

    def free(self, size: int) -> None:
        """Gives back the room of a record."""
        with self.changed:
            self.records, self.size = self.records + 1, self.size + size
            self.taken -= 1
            self.changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self.taken or (self.records > 0 and self.size >= size)
