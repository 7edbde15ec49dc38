"""What a scan leaves behind: the names of its files, how they are written and read. Nothing here starts work."""
