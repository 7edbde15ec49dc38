"""What a scan remembers, shown."""
