"""Scans and rescorings: what was asked for, the steps, the loop over them. Never how a command is spelled."""
