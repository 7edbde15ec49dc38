"""What is said of label banks: one bank step by step, and the difference between two."""
