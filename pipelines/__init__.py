"""Ray: thin shells around `ood_core`, and the plumbing of a scan."""
