"""Reviews of films, made up: which of 24 words each one uses, and whether it praises the film. What praises uses some words more often."""

import random

# Word: how many of those who praise a film use it, and how many of those who do not.
WORDS = {
    "great": (0.38, 0.12), "boring": (0.08, 0.34), "moving": (0.30, 0.10), "waste": (0.04, 0.24),
    "funny": (0.28, 0.14), "dull": (0.07, 0.24), "actors": (0.30, 0.24), "plot": (0.22, 0.30),
    "again": (0.24, 0.12), "money": (0.06, 0.16), "film": (0.60, 0.60), "two": (0.20, 0.22),
    "loved": (0.44, 0.08), "slept": (0.02, 0.28), "masterpiece": (0.30, 0.03), "worst": (0.03, 0.34),
    "clever": (0.32, 0.07), "predictable": (0.06, 0.34), "charming": (0.34, 0.05), "awful": (0.02, 0.32),
    "tense": (0.30, 0.10), "silly": (0.08, 0.28), "evening": (0.14, 0.10), "hours": (0.10, 0.20),
}


def review(draw: random.Random) -> tuple[list[int], bool]:
    """Returns which words a review uses, 0 or 1 for each, and whether it praises."""
    praises = draw.random() < 0.5
    return [int(draw.random() < share[not praises]) for share in WORDS.values()], praises
