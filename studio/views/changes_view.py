"""What an adapter changes: an answer's tokens by how much likelier it made them, and its layers by the size of their change."""

import math
from collections.abc import Sequence

from studio.render import render
from studio.text import say

STEPS = (0.25, 1, 2.5, 5)  # of a change in natural logarithms, from which on a token is coloured more strongly
LARGEST = 5  # tokens that are listed
NAMED = 3  # alternatives that are named


def changes(title: str, tokens: Sequence[dict], sizes: dict) -> str:
    """The card about one answer; `tokens` and `sizes` are as jobs/playground/changes.py tells them."""
    answer = [token for token in tokens if token["answer"] and token["change"] is not None]
    largest = sorted(answer, key=lambda token: -abs(token["change"]))[:LARGEST]
    return render(
        "changes.html",
        title=title,
        tokens=[{"text": token["text"], "look": look(token["change"]), "told": _told(token)} for token in answer],
        largest=[{
            "text": token["text"], "base": percent(token["base"]), "adapter": percent(token["adapter"]),
            "instead": _alternatives(token["top_base"][:1]),
        } for token in largest if look(token["change"])],
        by=sizes["by"],
        **layer_map(sizes["cells"]),
    )


def look(change: float) -> str:
    """The class of a token: which way it was moved, and how far; empty for next to nothing."""
    level = sum(abs(change) >= step for step in STEPS)
    return f"st-{'up' if change > 0 else 'down'} st-by-{level}" if level else ""


def percent(logarithm: float) -> str:
    share = 100 * math.exp(logarithm)
    return f"{share:.0f}%" if share >= 9.5 else f"{share:.1f}%" if share >= 0.095 else "<0.1%"


def layer_map(cells: Sequence[dict]) -> dict:
    """Rows of layers and columns of modules, with each cell's share of the largest change."""
    most = max((cell["change"] for cell in cells), default=0) or 1
    modules = list(dict.fromkeys(cell["module"] for cell in cells if cell["layer"] is not None))
    found = {(cell["layer"], cell["module"]): cell["change"] for cell in cells}
    layers = sorted({cell["layer"] for cell in cells if cell["layer"] is not None})
    rows = [(layer, [_cell(found.get((layer, module)), most) for module in modules]) for layer in layers]
    others = [(cell["module"], _cell(cell["change"], most)) for cell in cells if cell["layer"] is None]
    return {"modules": [module.rsplit(".", 1)[-1] for module in modules], "rows": rows, "others": others}


def _cell(change: float | None, most: float) -> dict | None:
    return None if change is None else {"share": round(change / most, 3), "text": f"{100 * change:.2g}%"}


def _told(token: dict) -> str:
    return say("changes.token", adapter=percent(token["adapter"]), base=percent(token["base"]),
               adapter_top=_alternatives(token["top_adapter"]), base_top=_alternatives(token["top_base"]))


def _alternatives(top: Sequence[dict]) -> str:
    return ", ".join(f"{(other['text'].strip() or say('changes.space'))} {percent(other['logprob'])}" for other in top[:NAMED])
