"""Consensus over a scan: its step, files and workers. Never how the scores that it smooths were made."""
