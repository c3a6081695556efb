"""What the pages show, computed by plain functions."""
