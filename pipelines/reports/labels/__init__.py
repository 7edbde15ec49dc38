"""Reports on label banks: how one was built, and how two differ. Reads their files; builds and changes nothing."""
