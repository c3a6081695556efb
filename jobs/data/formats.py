"""The catalogue of data formats: what each is made of, how it is recognised, and how its rows become examples."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.data import examples, matching
from jobs.data.findings import all_of
from jobs.data.problems import FormatInvalid, FormatUnrecognised
from jobs.data.tables import Table, describe

GENERATION = "text-generation"
CLASSIFICATION = "text-classification"
TAGGING = "token-classification"
SIMILARITY = "sentence-similarity"
CLOSE = 0.1  # a reading that is less sure by no more than this is named beside the best one
CLOSE_TO_SURE = 0.015  # the same where the best one is
SURE = 0.85
NAMED_COLUMNS = 30  # in a refusal
WORTH_NAMING = 0.35  # a reading that is less sure than this is never named


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
        names = list(table.columns)
        raise FormatUnrecognised(needed, names if len(names) <= NAMED_COLUMNS else [
            *names[:NAMED_COLUMNS], f"and {len(names) - NAMED_COLUMNS:,} more"])
    match, entry = max(matches, key=lambda pair: pair[0].score)
    least = max(match.score - (CLOSE_TO_SURE if match.score >= SURE else CLOSE), WORTH_NAMING)
    close = [other.title for found, other in matches if other is not entry and found.score >= least]
    reason = match.reason + (f" It could also be read as: {' or '.join(close)}." if close else "")
    return Recognition(entry.name, entry.task, match.columns, reason, list(table.columns))


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
TOOLS = Part("tools", "The tools that the assistant may call, as a list of objects or as JSON text.", required=False)
TEXT_PAIR = Part("text_pair", "A second text, where the answer is about how the two go together.", required=False)

FORMATS = {
    entry.name: entry
    for entry in (
        Format(
            "messages",
            "Chat messages",
            "Whole conversations: a list of turns in every row, as OpenAI or ShareGPT write them.",
            GENERATION,
            (Part("messages", "The list of turns, each with a role and its content."), SYSTEM, TOOLS),
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
            "A prompt and the answer to it, as texts or as lists of turns.",
            GENERATION,
            (
                Part("prompt", "What the model is asked."),
                Part("completion", "The answer that it learns to give."),
                SYSTEM,
                TOOLS,
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
            "translation",
            "Translations",
            "A text and the same in another language.",
            GENERATION,
            (
                Part("source", "The text that the model is given."),
                Part("target", "Its translation, which the model learns to give."),
                SYSTEM,
            ),
            matching.match_translation,
            examples.translation_example,
        ),
        Format(
            "summarisation",
            "Summaries",
            "A document and its summary.",
            GENERATION,
            (
                Part("document", "The text that the model is given."),
                Part("summary", "Its summary, which the model learns to give."),
                SYSTEM,
            ),
            matching.match_summarisation,
            examples.summarisation_example,
        ),
        Format(
            "preference",
            "Better and worse answers",
            "Two answers to the same prompt, of which one is preferred.",
            GENERATION,
            (
                Part("prompt", "What the model is asked. Unused: the beginning that both conversations share.", required=False),
                Part("chosen", "The better answer, or the whole conversation that ends with it."),
                Part("rejected", "The worse answer, or the whole conversation that ends with it."),
                SYSTEM,
                TOOLS,
            ),
            matching.match_preference,
            examples.preference_example,
        ),
        Format(
            "binary-preference",
            "Answers with a verdict",
            "One answer to a prompt, and whether it is a good one.",
            GENERATION,
            (
                Part("prompt", "What the model is asked. Unused: the conversation up to its last answer.", required=False),
                Part("completion", "The answer, or the whole conversation that ends with it."),
                Part("label", "Whether the answer is good: true or false."),
                SYSTEM,
                TOOLS,
            ),
            matching.match_binary_preference,
            examples.binary_preference_example,
        ),
        Format(
            "classification",
            "Labelled texts",
            "Texts, or pairs of texts, each with the name of its class.",
            CLASSIFICATION,
            (Part("text", "The text to sort."), TEXT_PAIR, Part("label", "The class that it belongs to.")),
            matching.match_classification,
            examples.classification_example,
        ),
        Format(
            "regression",
            "Texts with a number",
            "Texts, or pairs of texts, each with a number to predict, such as a rating or a similarity.",
            CLASSIFICATION,
            (Part("text", "The text to judge."), TEXT_PAIR, Part("score", "The number that the model learns to predict.")),
            matching.match_regression,
            examples.regression_example,
        ),
        Format(
            "tokens",
            "Tagged words",
            "Lists of words, each word with its tag, such as the names in a sentence.",
            TAGGING,
            (
                Part("tokens", "The list of words."),
                Part("tags", "The list of tags, one for each word."),
            ),
            matching.match_tokens,
            examples.tokens_example,
        ),
        Format(
            "pairs",
            "Pairs of texts",
            "Two texts that belong together, such as a question and the passage that answers it.",
            SIMILARITY,
            (Part("anchor", "The first text."), Part("positive", "The text that belongs to it.")),
            matching.match_pairs,
            examples.pairs_example,
        ),
        Format(
            "triplets",
            "Triplets of texts",
            "A text, one that belongs to it, and one that does not.",
            SIMILARITY,
            (
                Part("anchor", "The first text."),
                Part("positive", "The text that belongs to it."),
                Part("negative", "A text that does not belong to it."),
            ),
            matching.match_triplets,
            examples.triplets_example,
        ),
    )
}
