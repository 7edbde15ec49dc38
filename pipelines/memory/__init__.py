"""The scan's memory: the stateful actor, its clients, files and the step that learns. Never what is scanned."""
