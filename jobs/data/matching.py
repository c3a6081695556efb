"""How a table is recognised: by what its columns hold first, then by what they are called."""

from dataclasses import dataclass

from jobs.data.findings import all_of
from jobs.data.tables import Column, Table

TEXT_NAMES = "text content sentence review comment tweet utterance query document article body story".split()
LABEL_NAMES = "label_text label_name label labels category class intent sentiment topic tag emotion target".split()
PROMPT_NAMES = "prompt question query input user human problem ask source document article dialogue text".split()
COMPLETION_NAMES = (
    "completion answer response output reply assistant solution target summary highlights translation chosen".split()
)
INSTRUCTION_NAMES = "instruction instructions task".split()
INPUT_NAMES = "input context".split()
OUTPUT_NAMES = "output response answer completion target".split()
SYSTEM_NAMES = "system system_prompt system_message".split()
MESSAGES_NAMES = "messages conversations conversation chat turns dialog dialogue".split()
LONGEST_LABEL = 60  # characters on average; longer values are texts, not names of classes


@dataclass(frozen=True)
class Match:
    """How surely a table is of a format (0 to 1), which column plays which part, and why."""

    score: float
    columns: dict[str, str]
    reason: str


def match_messages(table: Table) -> Match | None:
    turns = [column.name for column in table.columns.values() if column.holds == "turns"]
    if not turns or (table.named(("prompt",), ("turns",)) and table.named(COMPLETION_NAMES, ("turns",))):
        return None
    column = table.named(MESSAGES_NAMES, ("turns",)) or turns[0]
    columns = {"messages": column} | _named_parts(table, system=SYSTEM_NAMES)
    return Match(1.0, columns, f"Column '{column}' holds lists of turns, each with a role and what was said.")


def match_instruction(table: Table) -> Match | None:
    instruction = table.named(INSTRUCTION_NAMES)
    output = table.named(OUTPUT_NAMES)
    if not instruction or not output:
        return None
    columns = {"instruction": instruction} | _named_parts(table, input=INPUT_NAMES) | {"output": output}
    columns |= _named_parts(table, system=SYSTEM_NAMES)
    return Match(0.95, columns, f"Columns {_quoted(columns.values())} are named like an instruction and its answer.")


def match_prompt_completion(table: Table) -> Match | None:
    kinds = ("text", "number", "empty", "turns")
    completion = table.named(COMPLETION_NAMES, kinds)
    prompt = table.named([name for name in PROMPT_NAMES if table.named((name,), kinds) != completion], kinds)
    system = _named_parts(table, system=SYSTEM_NAMES)
    if prompt and completion:
        columns = {"prompt": prompt, "completion": completion} | system
        return Match(0.9, columns, f"Columns {_quoted([prompt, completion])} are named like a question and its answer.")
    texts = [column.name for column in table.texts() if column.name not in system.values()]
    if len(texts) < 2:
        return None
    prompt, completion = texts[:2]
    score = 0.5 if len(texts) == 2 else 0.3
    reason = f"Column '{prompt}' is the first with text, '{completion}' the second: read as question and answer."
    return Match(score, {"prompt": prompt, "completion": completion} | system, reason)


def match_text(table: Table) -> Match | None:
    texts = table.texts()
    if not texts:
        return None
    if len(texts) == 1:
        return Match(0.6, {"text": texts[0].name}, f"Column '{texts[0].name}' is the only one with text.")
    if column := table.named(TEXT_NAMES, ("text",)):
        return Match(0.4, {"text": column}, f"Column '{column}' is named like a text.")
    return Match(0.2, {"text": _longest(texts).name}, f"Column '{_longest(texts).name}' has the longest texts.")


def match_classification(table: Table) -> Match | None:
    named_label = table.named(LABEL_NAMES)
    labels = [column for column in table.texts() if _reads_as_label(column)]
    label = named_label or (min(labels, key=lambda column: column.distinct).name if labels else None)
    texts = [column for column in table.texts() if column.name != label]
    if not label or not texts:
        return None
    named_text = table.named([name for name in TEXT_NAMES if table.named((name,)) != label], ("text",))
    text = named_text or _longest(texts).name
    column = table.columns[label]
    if _cannot_be_label(column):
        score = 0.35  # only its name speaks for it
    elif named_label:
        score = 0.92 if named_text else 0.7
    else:
        score = 0.6 if named_text else 0.55
    values = f"{column.distinct:,} different value{'s' if column.distinct != 1 else ''} in {table.rows:,} rows"
    reason = f"Column '{label}' has {values} and reads as the label of '{text}'."
    return Match(score, {"text": text, "label": label}, reason)


def _reads_as_label(column: Column) -> bool:
    """Few, short values that come back again and again."""
    return column.distinct >= 2 and column.filled >= 3 * column.distinct and column.mean_length <= LONGEST_LABEL


def _cannot_be_label(column: Column) -> bool:
    nearly_all_differ = column.distinct > 20 and column.distinct > column.filled / 2
    return column.distinct < 2 or nearly_all_differ or column.mean_length > LONGEST_LABEL


def _longest(columns: list[Column]) -> Column:
    return max(columns, key=lambda column: column.mean_length)


def _named_parts(table: Table, **parts: list[str]) -> dict[str, str]:
    """Optional parts whose columns are there and not empty."""
    found = {part: table.named(names, ("text",)) for part, names in parts.items()}
    return {part: column for part, column in found.items() if column}


def _quoted(names) -> str:
    return all_of([f"'{name}'" for name in names])
