"""Readers: a shard's bytes to records, streaming. A bad record is a record too, with a status that says why."""
