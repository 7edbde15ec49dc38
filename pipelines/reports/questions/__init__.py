"""The page on which a person answers which images belong. Free of torch and Ray."""
