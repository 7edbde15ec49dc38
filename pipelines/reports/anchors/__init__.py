"""The report on the anchors of a scan's consensus; reads what the scan left, and never computes a consensus."""
