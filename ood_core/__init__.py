"""The mathematics of out-of-distribution scoring, and its nouns. No Ray, no network, no clock, no global state."""
