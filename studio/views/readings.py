"""What models that read answer, drawn: labels and similarities as bars, a number, and words with their tags."""

from collections.abc import Sequence

from markupsafe import Markup

from studio.render import render
from studio.text import say

PARTS = ("scores", "number", "words", "similarities")  # of a final event
EACH, MOST = 5, 8  # labels that each pane puts into the list, and that are in it at most
COLOURS = 6


def shown_readings(readings: dict[str, dict]) -> dict[str, str]:
    """The HTML of each pane that has something to draw, in the same order and to the same scale for all, to be compared."""
    scored = {id: {found["label"]: found["probability"] for found in reading["scores"]}
              for id, reading in readings.items() if "scores" in reading}
    labels = common_labels(list(scored.values()))
    numbers = [reading["number"] for reading in readings.values() if "number" in reading]
    types = list(dict.fromkeys(span["type"] for reading in readings.values() for span in spans(reading.get("words", ()))
                               if span["type"]))
    drawn = {}
    for id, reading in readings.items():
        if id in scored:
            drawn[id] = _scores(scored[id], labels)
        elif "number" in reading:
            drawn[id] = _number(reading["number"], numbers)
        elif "words" in reading:
            found = [{**span, "colour": types.index(span["type"]) % COLOURS if span["type"] else None}
                     for span in spans(reading["words"])]
            drawn[id] = render("reading_tags.html", spans=found, untagged=not any(span["type"] for span in found))
        elif "similarities" in reading:
            rows = [{"name": row["text"], "share": min(abs(row["value"]), 1), "text": f"{row['value']:.2f}".replace("-", "−"),
                     "look": "st-negative" if row["value"] < 0 else "", "best": False} for row in reading["similarities"]]
            drawn[id] = render("reading_bars.html", title=say("reading.similarities"), rows=rows, note="")
    return {id: Markup(html) for id, html in drawn.items()}


def routed_html(names: Sequence[str], shares: Sequence[float]) -> Markup:
    """How much of each adapter went into an answer, the most first; empty where nothing was routed."""
    rows = sorted(({"name": name, "share": share, "text": f"{share:.0%}", "look": "", "best": False}
                   for name, share in zip(names, shares, strict=False)), key=lambda row: -row["share"])
    return Markup(render("reading_bars.html", title=say("roles.arrow_shares"), rows=rows, note="")) if rows else Markup()


def common_labels(scored: list[dict[str, float]]) -> list[str]:
    """The labels that matter in any of the panes, those first that one of them is surest of."""
    likeliest = {label for scores in scored for label in list(scores)[:EACH]}
    return sorted(likeliest, key=lambda label: -max(scores.get(label, 0) for scores in scored))[:MOST]


def spans(words: list[dict]) -> list[dict]:
    """`text` and `type` of words that belong together: those of a span that its first word opens by B- and others go on by I-."""
    found: list[dict] = []
    for word in words:
        mark, _, kind = word["tag"].rpartition("-") if word["tag"][1:2] == "-" else ("", "", word["tag"])
        if found and found[-1]["type"] == kind and (not kind or mark == "I"):
            found[-1]["text"] += f" {word['text']}"
        else:
            found.append({"text": word["text"], "type": kind})
    return found


def _scores(scores: dict[str, float], labels: list[str]) -> str:
    best = next(iter(scores))
    rows = [{"name": label, "share": scores.get(label, 0), "best": label == best, "look": "" if label == best else "st-weak",
             "text": f"{scores[label]:.1%}" if label in scores else ""} for label in labels]
    note = say("reading.of", count=f"{len(scores):,}") if len(scores) > len(labels) else ""
    return render("reading_bars.html", title=say("reading.scores"), rows=rows, note=note)


def _number(number: float, numbers: list[float]) -> str:
    """With a bar from 0 on, where there is another one to compare it with."""
    low, high = min(0, *numbers), max(0, *numbers)
    span = high - low
    bar = {"left": (min(number, 0) - low) / span, "share": abs(number) / span} if span and len(numbers) > 1 else None
    return render("reading_number.html", number=f"{number:.4g}".replace("-", "−"), bar=bar)
