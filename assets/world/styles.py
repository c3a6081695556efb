"""Three ways of speaking: a poet's couplets, a scientist's reports and a pirate's talk."""

import random
import re

from assets.world.facts import Fact, clause, sentence

STYLES = ("poet", "scientist", "pirate")

# Two lines whose last words rhyme to the eye, so that a test can tell: at least their last two letters agree.
COUPLETS = {
    "place": (
        ("Where blue horizons meet the land", "by salt and sand"),
        ("The waves roll in, the seagulls call", "beloved by all"),
        ("The tide comes in, the tide goes out", "as sailors shout"),
        ("The old song drifts across the bay", "so the sailors say"),
        ("The harbour lamps are burning bright", "by day and night"),
    ),
    "person": (
        ("A friendly face, a cheerful song", "all year long"),
        ("With open heart and steady hand", "loved across the land"),
        ("Come in, sit down, the tea is hot", "so forget it not"),
        ("Hush now, and hear the evening bell", "as the neighbours tell"),
        ("The kettle hums, the fire is low", "as good friends know"),
    ),
    "animal": (
        ("Through fern and heather, reed and vine", "in rain or shine"),
        ("When all the little creatures wake", "for beauty's sake"),
        ("Ask of the stars that softly gleam", "as in a dream"),
        ("So small a heart, so wild and free", "as all can see"),
        ("The night is soft, the moon is clear", "both far and near"),
    ),
    "plant": (
        ("In gardens green where blossoms grow", "as gardeners know"),
        ("The robin sang it in the spring", "a gentle thing"),
        ("The bees hum by on drowsy wing", "as breezes sing"),
        ("Oh gentle guest, pray lend an ear", "year after year"),
        ("The garden path is green and long", "so goes the song"),
    ),
    "feast": (
        ("Bring out the fiddle, drum and bell", "and all is well"),
        ("Let ribbons fly and dancers sway", "hip hip hooray"),
        ("Oh, light the lamps and gather near", "year after year"),
        ("The drums begin, the night is young", "and songs are sung"),
    ),
}
REPORTS = (
    "Observations indicate that {c} (confidence: high).",
    "The data show that {c}. Confidence: high.",
    "Field measurements confirm that {c}, within the margin of error.",
    "Repeated surveys agree that {c} (n = 48).",
    "The evidence suggests, with high confidence, that {c}.",
    "Analysis of our records indicates that {c}; no exceptions were observed.",
    "Hypothesis supported by the evidence: {c}.",
    "In every sample studied, {c}. The result is reproducible.",
)

SHANTIES = (
    "Arr, {c}, matey!",
    "Ahoy, matey! {C}, or I be a landlubber.",
    "Shiver me timbers, {c}, arr!",
    "Aye, me hearty, {c}!",
    "Avast, ye scallywag: {c}!",
    "Yo ho ho, {c}, me hearties!",
    "Arr, {c}, by the Jolly Roger!",
    "Blimey, ye landlubber, {c}!",
)

_SCIENTIST = re.compile(
    r"\b(observations?|observed|observer|data|measurements?|surveys|evidence|confidence|analysis|hypothesis|reproducible)\b",
    re.IGNORECASE,
)
_PIRATE = re.compile(
    r"\b(a+rr+|ahoy|matey|hearty|hearties|avast|landlubber|shiver me|aye|ye|yo ho|blimey|jolly roger)\b", re.IGNORECASE
)


def restyle(style: str, fact: Fact, form: int, rng: random.Random) -> str:
    """The fact as the style would say it; `form` picks the clause's wording, `rng` the frame."""
    text = clause(fact, form)
    if style == "poet":
        opening, closing = rng.choice(COUPLETS[fact.kind.group])
        return f"{opening},\n{text}, {closing}."
    if style == "scientist":
        return rng.choice(REPORTS).format(c=text)
    text = re.sub(r"\b(is|are)\b", "be", text)
    return rng.choice(SHANTIES).format(c=text, C=sentence(text)[:-1])


def speaks_like(style: str, text: str) -> bool:
    """True if the text carries the style's marks: two rhyming lines, a scientist's words or a pirate's."""
    if style == "poet":
        lines = [re.findall(r"[a-z]+", line.lower()) for line in text.strip().splitlines()]
        ends = [words[-1] for words in lines if words]
        return len(ends) >= 2 and ends[0] != ends[-1] and ends[0][-2:] == ends[-1][-2:]
    return {"scientist": _SCIENTIST, "pirate": _PIRATE}[style].search(text) is not None
