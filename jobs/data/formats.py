"""The catalogue of data formats: what each is made of, how it is recognised, and how its rows become examples."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.data import examples, matching
from jobs.data.findings import all_of
from jobs.data.problems import FormatInvalid, FormatUnrecognised
from jobs.data.tables import Table, describe

GENERATION = "text-generation"
CLASSIFICATION = "text-classification"


@dataclass(frozen=True)
class Part:
    """A role that a column plays in a format."""

    name: str
    help: str
    required: bool = True


@dataclass(frozen=True)
class Format:
    """One entry of the catalogue."""

    name: str
    title: str
    help: str
    task: str
    parts: tuple[Part, ...]
    match: Callable[[Table], matching.Match | None]
    build: examples.Builder

    @property
    def part_names(self) -> list[str]:
        return [part.name for part in self.parts]

    @property
    def required(self) -> list[str]:
        return [part.name for part in self.parts if part.required]


@dataclass(frozen=True)
class Recognition:
    """What a table was taken for; `columns` goes from part to column, `task` is the task that it suits."""

    format: str
    task: str
    columns: dict[str, str]
    reason: str
    column_names: list[str]


def recognise(rows: list[dict], task: str | None = None) -> Recognition:
    """Recognise sampled rows, for one task or for any. Raises FormatUnrecognised where no format fits."""
    return recognise_table(describe(rows), formats_for(task))


def recognise_table(table: Table, formats: list[Format]) -> Recognition:
    """The best match of a described table among some formats; the catalogue's order decides between equals."""
    matches = [(match, entry) for entry in formats if (match := entry.match(table))]
    if not matches:
        needed = "; ".join(f"{entry.title} needs {all_of(entry.required)}" for entry in formats)
        raise FormatUnrecognised(needed, list(table.columns))
    match, entry = max(matches, key=lambda pair: pair[0].score)
    return Recognition(entry.name, entry.task, match.columns, match.reason, list(table.columns))


def formats_for(task: str | None) -> list[Format]:
    """The formats that a task can be trained on; all of them for None."""
    tasks = sorted({entry.task for entry in FORMATS.values()})
    if task is not None and task not in tasks:
        raise FormatInvalid(f"There is no data format for the task '{task}'. Choose one of {', '.join(tasks)}.")
    return [entry for entry in FORMATS.values() if task in (None, entry.task)]


def find_format(name: str, task: str | None = None) -> Format:
    """A format by its name. Raises FormatInvalid where it does not exist or does not go with the task."""
    usable = {entry.name: entry for entry in formats_for(task)}
    if name in usable:
        return usable[name]
    problem = f"does not go with the task {task}" if name in FORMATS else "does not exist"
    raise FormatInvalid(f"The data format '{name}' {problem}. Choose auto or one of {', '.join(usable)}.")


SYSTEM = Part("system", "What the model is told about itself before the conversation.", required=False)

FORMATS = {
    entry.name: entry
    for entry in (
        Format(
            "messages",
            "Chat messages",
            "Whole conversations: a list of turns in every row.",
            GENERATION,
            (Part("messages", "The list of turns, each with a role and its content."), SYSTEM),
            matching.match_messages,
            examples.messages_example,
        ),
        Format(
            "instruction",
            "Instructions",
            "An instruction, perhaps with an input to work on, and the wanted output.",
            GENERATION,
            (
                Part("instruction", "What the model is asked to do."),
                Part("input", "What it is asked to do it with; put below the instruction.", required=False),
                Part("output", "The answer that it learns to give."),
                SYSTEM,
            ),
            matching.match_instruction,
            examples.instruction_example,
        ),
        Format(
            "prompt-completion",
            "Questions and answers",
            "A prompt and the answer to it.",
            GENERATION,
            (
                Part("prompt", "What the model is asked."),
                Part("completion", "The answer that it learns to give."),
                SYSTEM,
            ),
            matching.match_prompt_completion,
            examples.prompt_completion_example,
        ),
        Format(
            "text",
            "Plain text",
            "Texts to go on writing like, learnt from the first word to the last.",
            GENERATION,
            (Part("text", "The text to learn from."),),
            matching.match_text,
            examples.text_example,
        ),
        Format(
            "classification",
            "Labelled texts",
            "Texts, each with the name of its class.",
            CLASSIFICATION,
            (Part("text", "The text to sort."), Part("label", "The class that it belongs to.")),
            matching.match_classification,
            examples.classification_example,
        ),
    )
}
