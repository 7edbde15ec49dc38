"""The steps of a scan as Ray Data sees them. Each is a plain function or class that works without Ray as well."""
