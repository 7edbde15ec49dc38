"""Readers of one file each: bytes to records, streaming; a bad record is a record too, with a status that says why."""
