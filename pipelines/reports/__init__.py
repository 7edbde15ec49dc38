"""Reports for the terminal: label banks, memories and anchors as tables, Markdown or JSON. Reads only; writes no file."""
