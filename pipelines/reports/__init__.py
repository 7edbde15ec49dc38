"""What commands print of a scan or a label bank: text, Markdown or JSON. Computes nothing that a scan depends on."""
