"""Base models: what they are, whether they are safe to load, where they are kept, and how they come from the Hub.

Nothing here imports torch or transformers, because the page uses all of it.
"""
