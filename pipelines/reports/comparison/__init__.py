"""`oodscan compare`: two scans held against each other."""
