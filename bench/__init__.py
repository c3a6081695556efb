"""Measurements. Never run by the tests; each writes what it measured to bench/results/."""
