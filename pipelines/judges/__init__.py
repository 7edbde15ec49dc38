"""Judges: who answers questions of yes or no, one file or family of files each, and the answers that are kept."""
