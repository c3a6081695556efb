"""What is remembered: settings, database records and files. Imports neither torch nor anything from jobs or studio."""
