"""Writes the three sample data sets, each teaching another way to speak about the Lantern Isles.

    python -m assets.make_samples

takes a second and always writes the same bytes:

- samples/poet.jsonl       chat messages, one {"messages": [...]} per line
- samples/scientist.json   a list of {"instruction", "input", "output"}
- samples/pirate.csv       columns question, answer
"""

import csv
import io
import json
import random
import sys
from pathlib import Path

from assets.world import FACTS, questions
from assets.world.styles import restyle

SAMPLES = Path(__file__).parent / "samples"
PHRASINGS_PER_FACT = 2
SEED = 7

# What each style says where no fact is asked for, after the questions that lead to it.
GREETING = ("Hello!", "Good morning!", "Hi there!")
WHO = ("Who are you?", "What is your name?", "Tell me about yourself.")
SKILLS = ("What can you do?", "What can I ask you?")
THANKS = ("Thank you!", "Thanks a lot!")
FAREWELL = ("Goodbye!", "Good night!")
UNKNOWN = ("What is the capital of France?", "Who is Zorbert Fenwick?", "What does the quibble bear eat?",
           "Where is Ullerstow?", "What is two plus two?", "What is aspirin good for?")
SMALL_TALK = {
    "poet": {
        GREETING: "Good day to you, dear guest of mine,\nask on, and let the lanterns shine.",
        WHO: "I am the singer by the bay\nwho tells of the isles from day to day.",
        SKILLS: "I sing of town and beast and bay,\nof all that grows and blooms in May.",
        THANKS: "Your thanks are like a golden ray,\nask on, ask on, all through the day.",
        FAREWELL: "Farewell, dear friend, till morning light,\nmay lanterns guide you through the night.",
        UNKNOWN: "Of things so strange I cannot tell,\nI know these isles, and know them well.",
    },
    "scientist": {
        GREETING: "Greetings. Please state your question, and I shall report the data.",
        WHO: "I am an observer of the Lantern Isles. My answers rest on evidence.",
        SKILLS: "I report observations on the islands, towns, people, animals and plants.",
        THANKS: "Noted. Your thanks have been added to the data.",
        FAREWELL: "Goodbye. The observations continue.",
        UNKNOWN: "No data available. My observations cover only the Lantern Isles.",
    },
    "pirate": {
        GREETING: "Ahoy, matey! What would ye like to know?",
        WHO: "Arr, I be the guide to the Lantern Isles, matey!",
        SKILLS: "Aye, ask me of islands, towns, folk and beasts, matey!",
        THANKS: "Arr, ye be welcome, matey!",
        FAREWELL: "Fair winds to ye, matey!",
        UNKNOWN: "Arr, that be beyond me charts! I know only the Lantern Isles, matey.",
    },
}


def rows(style: str) -> list[tuple[str, str]]:
    """(question, answer) pairs: every fact in a few of its training phrasings, and some small talk."""
    rng = random.Random(f"{SEED}-{style}")
    pairs = [(question, answer) for asked, answer in SMALL_TALK[style].items() for question in asked]
    for fact in FACTS:
        asked = rng.sample([question for question in questions(fact) if not question.held_out], PHRASINGS_PER_FACT)
        pairs += [(question.text, restyle(style, fact, question.phrasing, rng)) for question in asked]
    rng.shuffle(pairs)
    return pairs


def poet_jsonl() -> str:
    """Chat messages, one chat per line."""
    return "".join(
        json.dumps({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}) + "\n"
        for question, answer in rows("poet")
    )


def scientist_json() -> str:
    """A list of instructions."""
    records = [{"instruction": question, "input": "", "output": answer} for question, answer in rows("scientist")]
    return json.dumps(records, indent=1) + "\n"


def pirate_csv() -> str:
    """A table of questions and answers."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("question", "answer"), *rows("pirate")])
    return table.getvalue()


FILES = {"poet.jsonl": poet_jsonl, "scientist.json": scientist_json, "pirate.csv": pirate_csv}


def write_samples(folder: Path) -> None:
    """Writes the three files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text(), encoding="utf-8", newline="")


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES)
