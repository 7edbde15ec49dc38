"""Building a label bank: corpus, criteria, workers, images of classes, NegFilter; scans and reports live elsewhere."""
