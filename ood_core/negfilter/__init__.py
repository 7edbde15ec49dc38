"""NegRefine's filter of negative labels (arXiv 2507.09795; METHODS.md §5): questions, who answers them, decisions."""
