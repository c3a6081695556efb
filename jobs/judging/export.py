"""Comparisons as a table of prompts and answerers, and answers sent to data to learn from."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from storage.records import Comparison, Verdict

FORMATS = ("csv", "jsonl")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet would begin to calculate


def export(comparisons: Sequence[Comparison], format: str) -> str:
    """A row for each comparison, oldest first: what was asked, an answer for each answerer, the verdict and the note."""
    rows = sorted(comparisons, key=lambda comparison: comparison.created_at)
    return _csv(rows) if format == "csv" else "".join(_json_line(comparison) for comparison in rows)


def _json_line(comparison: Comparison) -> str:
    readings = {title: answer["reading"] for title, answer in titled(comparison) if "reading" in answer}
    return json.dumps({
        "id": comparison.id, "created_at": comparison.created_at, "base_model": comparison.base_model,
        "messages": comparison.conversation, "settings": comparison.settings, "blind": comparison.blind,
        "answers": {title: answer["text"] for title, answer in titled(comparison)},
        **({"readings": readings} if readings else {}),
        "verdict": comparison.verdict.value, "best": best_title(comparison), "note": comparison.note}, ensure_ascii=False) + "\n"


def _csv(rows: list[Comparison]) -> str:
    titles = list(dict.fromkeys(title for comparison in rows for title, _ in titled(comparison)))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["prompt", *titles, "verdict", "best", "note"])
    for comparison in rows:
        answers = {title: answer["text"] for title, answer in titled(comparison)}
        cells = [comparison.conversation[-1]["content"], *(answers.get(title, "") for title in titles), comparison.verdict.value,
                 best_title(comparison), comparison.note]
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    return stream.getvalue()


def titled(comparison: Comparison) -> list[tuple[str, dict]]:
    """Each answer with its answerer's name, and a piece of its id where two have one name."""
    names = [answer["name"] for answer in comparison.answers]
    return [(answer["name"] if names.count(answer["name"]) == 1 else f"{answer['name']} ({answer['answerer'][:6]})", answer)
            for answer in comparison.answers]


def best_title(comparison: Comparison) -> str:
    return next((title for title, answer in titled(comparison) if answer["answerer"] == comparison.best), "")


def example(comparison: Comparison, answerer: str) -> dict:
    """A row of messages with one of the answers, to learn from."""
    answer = next(answer for answer in comparison.answers if answer["answerer"] == answerer)
    return {"messages": [*_asked(comparison, answer), {"role": "assistant", "content": answer["text"]}]}


def preferences(comparison: Comparison) -> Iterable[dict]:
    """Rows of preference from a comparison of which one answer is the best: that one chosen, each other rejected.

    An answer to another conversation than that of the best one is no alternative to it, and makes no row.
    """
    if comparison.verdict != Verdict.BEST:
        return
    chosen = next(answer for answer in comparison.answers if answer["answerer"] == comparison.best)
    asked = _asked(comparison, chosen)
    for answer in comparison.answers:
        other = answer["answerer"] != comparison.best and answer["text"] != chosen["text"]
        if other and not answer.get("problem") and _asked(comparison, answer) == asked:
            yield {"prompt": asked, "chosen": [{"role": "assistant", "content": chosen["text"]}],
                   "rejected": [{"role": "assistant", "content": answer["text"]}]}


def _asked(comparison: Comparison, answer: dict) -> list[dict]:
    """The conversation that was answered: the answer's own, where each went on by itself."""
    return answer.get("conversation") or comparison.conversation
