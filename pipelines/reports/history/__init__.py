"""`oodscan history`: many nights side by side."""
