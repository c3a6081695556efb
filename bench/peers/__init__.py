"""One script for each tool that is measured against, each in a process of its own; work.py has what they are all given."""
