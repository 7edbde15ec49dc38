"""The kit for pages of HTML: what a page consists of, plots, and how both become one file. Free of torch and Ray."""
