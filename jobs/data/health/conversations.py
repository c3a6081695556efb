"""The order of roles in conversations: what many chat templates refuse, and what no model was made for."""

from array import array
from functools import lru_cache

from jobs.data.health.batches import Batch
from jobs.data.health.found import Findings, verb

MISTAKES = {  # kind: (severity, sentence about "12 of 99 rows" with one and several, what follows)
    "no_user": ("warning", "has no user turn", "have no user turn", "The model learns to speak without being asked."),
    "assistant_first": ("warning", "begins with the assistant", "begin with the assistant",
                        "Many chat templates want the user to speak first, and refuse such rows."),
    "role_repeated": ("warning", "has two turns of one role in a row", "have two turns of one role in a row",
                      "Many chat templates want user and assistant to take turns, and refuse such rows."),
    "system_late": ("warning", "has a system message after the beginning", "have a system message after the beginning",
                    "Many chat templates refuse it there, or leave it out."),
    "tool_uncalled": ("warning", "has an answer of a tool that nobody called", "have an answer of a tool that nobody called",
                      "The model learns to trust answers that it did not ask for."),
}
SHOWN_TURNS = 8


class Roles:
    """For chats, and for prompts that are lists of turns."""

    def __init__(self):
        self.rows = {kind: array("Q") for kind in MISTAKES}

    def see(self, batch: Batch) -> None:
        for row, example in enumerate(batch.examples, batch.first):
            turns = example.get("messages")
            if turns is None:
                if "prompt" not in example:
                    return
                turns = example["prompt"] + example.get("chosen", example.get("completion", []))
            for kind in mistakes_in(tuple([turn["role"] for turn in turns])):
                self.rows[kind].append(row)

    def report(self, findings: Findings) -> None:
        for kind, rows in self.rows.items():
            if rows:
                severity, one, several, why = MISTAKES[kind]
                findings.add(kind, severity, f"{findings.of(len(rows))} {verb(len(rows), one, several)}. {why}", rows, ("drop",),
                             note=lambda row: _order(findings.examples[row]))


@lru_cache(maxsize=10_000)
def mistakes_in(roles: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the MISTAKES in an order of roles."""
    found = set()
    spoken = [role for role in roles if role != "system"]
    if "user" not in spoken:
        found.add("no_user")
    elif spoken[0] == "assistant":
        found.add("assistant_first")
    for before, role in zip(["", *spoken], spoken, strict=False):
        if role == before and role != "tool":
            found.add("role_repeated")
        if role == "tool" and before not in ("assistant", "tool"):
            found.add("tool_uncalled")
    if "system" in roles[1:]:
        found.add("system_late")
    return tuple(kind for kind in MISTAKES if kind in found)


def _order(example: dict) -> str:
    turns = example.get("messages") or example["prompt"] + example.get("chosen", example.get("completion", []))
    roles = [turn["role"] for turn in turns]
    return ", ".join(roles[:SHOWN_TURNS]) + (f" and {len(roles) - SHOWN_TURNS} more" if len(roles) > SHOWN_TURNS else "")
