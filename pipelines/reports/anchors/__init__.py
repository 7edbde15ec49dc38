"""The anchors of a scan's consensus, shown."""
