"""Certificates: what a finished adapter is measured by, whether it passes, and how that travels with it."""
