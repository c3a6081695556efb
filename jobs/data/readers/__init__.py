"""One module for each kind of file: rows, one at a time, each with the place where it stands. Nothing is held whole."""
