"""The command line, a file for each command or group. Turns options into a configuration; does no work of its own."""
