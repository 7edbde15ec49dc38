"""Judges: who answers NegRefine's questions, one file or family of files each; what is decided lives outside."""
