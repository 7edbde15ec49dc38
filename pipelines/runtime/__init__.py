"""The Ray cluster: joining it, a model and pools that fit it, work spread over it. Never what that work is."""
