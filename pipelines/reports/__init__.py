"""Reports for the terminal: label banks, memories and anchors as text, Markdown or JSON. Nothing here writes a file."""
