"""The report on what a scan remembers of its images; reads what the scan left, and never fills a memory itself."""
