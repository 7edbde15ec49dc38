"""`oodscan report`: one page on one scan."""
