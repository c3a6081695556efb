"""The command line, a module for each part; app.py puts them together."""
