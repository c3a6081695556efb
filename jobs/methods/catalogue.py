"""The entries of the catalogue, put together from what PEFT registers, the notes, and what trying has shown."""

from jobs.methods.base import TrainingMethod
from jobs.methods.full import FULL, full_method
from jobs.methods.library import installed_types
from jobs.methods.notes import NOTES
from jobs.methods.notes.base import Notes
from jobs.methods.schema import settings_schema
from jobs.methods.special import special_of
from jobs.methods.tried import tried

FIRST = ("LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "ADALORA", "VERA", "OFT")  # what most people look for


def read_catalogue() -> dict[str, TrainingMethod]:
    """Every entry by its name: LoRA, QLoRA, then the other types, those that people know best first, and full fine-tuning."""
    types = sorted(installed_types(), key=lambda found: FIRST.index(found["type"]) if found["type"] in FIRST else len(FIRST))
    entries: dict[str, TrainingMethod] = {}
    for found in types:
        entry = _entry(found)
        entries[entry.name] = entry
        if found["type"] == "LORA":
            entries["qlora"] = _qlora(entry)
    return {**entries, FULL: full_method(tried(FULL))}


def _entry(found: dict) -> TrainingMethod:
    name, notes = found["type"].lower().replace("_", "-"), NOTES.get(found["type"]) or _unknown(found)
    special = special_of(found["type"])
    return TrainingMethod(
        name=name, title=notes.title, family=notes.family, peft_type=found["type"],
        settings=settings_schema(found["type"], found["fields"], notes, special.settings), summary=notes.summary,
        choose_when=notes.choose_when, avoid_when=notes.avoid_when, paper=notes.paper, learning_rate=notes.learning_rate,
        special=special, is_prompt=found["is_prompt"], tried=tried(name))


def _unknown(found: dict) -> Notes:
    """What can be said of a type that nobody has written about: its own words."""
    numbers = [field["name"] for field in found["fields"] if set(field["kinds"]) & {"int", "float"}]
    return Notes(
        title=found["type"].replace("_", " ").capitalize(), family="prompt" if found["is_prompt"] else "other",
        summary=found["about"] or "A method of the installed PEFT that the studio has no notes about.",
        choose_when="You know this method: the studio has no notes about it.",
        avoid_when="You look for something tried: LoRA is.", shown=tuple(numbers[:2]))


def _qlora(lora: TrainingMethod) -> TrainingMethod:
    return TrainingMethod(
        name="qlora", title="QLoRA", family=lora.family, peft_type=lora.peft_type, settings=lora.settings,
        summary="LoRA on a base model held in 4 bits. Its weights take about a quarter of the memory.",
        choose_when="The base model does not fit otherwise. Nearly as good as LoRA.",
        avoid_when="The base model fits as it is: LoRA is faster.", paper="Dettmers et al. 2023, arXiv 2305.14314",
        learning_rate=lora.learning_rate, special=lora.special, quantizations=("nf4", "fp4"), tried=lora.tried)


METHODS: dict[str, TrainingMethod] = read_catalogue()
