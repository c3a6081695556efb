"""The page's own words, by key. What the settings, methods and formats say of themselves stands with them, in jobs/."""

from studio.words import capacity, certificate, common, comparisons, data, guide, library, playground, run, train

PARTS = (capacity, certificate, common, comparisons, data, guide, library, playground, run, train)
WORDS = {name: text for part in PARTS for name, text in part.WORDS.items()}
