"""The health report: what is in a dataset, what is wrong with it, and what would mend it."""
