"""Conversations, instructions, questions and answers, and plain text."""

from jobs.data.cells import is_transcript, turns_of
from jobs.data.examples.turns import role_of
from jobs.data.matching.base import SYSTEM_NAMES, Match, first_free, in_order, longest, optional_text, quoted, system_and_tools
from jobs.data.matching.preferences import CHOSEN_NAMES, REJECTED_NAMES
from jobs.data.tables import Table

TEXT_NAMES = "text content sentence review comment tweet utterance query document article body story".split()
PROMPT_NAMES = "prompt question query input user human problem ask source document article dialogue text".split()
COMPLETION_NAMES = (
    "completion answer response output reply assistant solution target summary highlights translation chosen".split()
)
INSTRUCTION_NAMES = "instruction instructions task".split()
QUESTION_NAMES = "question query prompt".split()
INPUT_NAMES = "input context".split()
CONTEXT_NAMES = "context passage".split()
OUTPUT_NAMES = "output response answer completion target".split()
ANSWER_NAMES = "answer answer_text text response output".split()
MESSAGES_NAMES = "messages conversations conversation chat turns dialog dialogue".split()
BESIDE_A_TEXT = "title author name subject section language lang domain domains".split()
ANY_KIND = ("text", "number", "empty", "turns")


def match_messages(table: Table) -> Match | None:
    turns = table.holding("turns", part="messages")
    if not turns or (table.named(("prompt",), ("turns",)) and table.named(COMPLETION_NAMES, ("turns",))):
        return None
    column = table.named(MESSAGES_NAMES, ("turns",)) or turns[0].name
    columns = {"messages": column} | {
        part: name for part, name in system_and_tools(table).items() if name != column
    }
    if table.columns[column].mostly(lambda value: isinstance(value, str) and is_transcript(value)):
        reason = f"Column '{column}' holds conversations written as text, with 'Human:' and 'Assistant:' before what each said."
    else:
        reason = f"Column '{column}' holds lists of turns, each with a role and what was said."
    if "tools" in columns:
        reason += f" Column '{columns['tools']}' lists the tools that the assistant may call."
    return Match(0.97, columns, reason)


def match_instruction(table: Table) -> Match | None:
    instruction = table.named(INSTRUCTION_NAMES)
    output = table.named(OUTPUT_NAMES)
    if instruction and output:
        columns = {"instruction": instruction} | optional_text(table, input=INPUT_NAMES) | {"output": output}
        columns |= optional_text(table, system=SYSTEM_NAMES)
        return Match(0.95, columns, f"Columns {quoted(columns.values())} are named like an instruction and its answer.")
    return _question_about_a_text(table) or _instruction_by_content(table)


def _question_about_a_text(table: Table) -> Match | None:
    question = table.named(["instruction", *QUESTION_NAMES], ("text",))
    context = table.named(["input", *CONTEXT_NAMES], ("text",))
    answer = table.named(["output", *ANSWER_NAMES], ("text", "number"))
    if not question or not context or not answer or len({question, context, answer}) < 3 or table.columns[answer].is_truth:
        return None
    columns = {"instruction": question, "input": context, "output": answer}
    columns |= optional_text(table, system=SYSTEM_NAMES)
    named = f"Columns {quoted([question, context, answer])} are named like a question"
    return Match(0.93, columns, f"{named}, the text that it is about, and its answer.")


def _instruction_by_content(table: Table) -> Match | None:
    texts = table.texts()
    if len(texts) == 3 and table.is_untouched:
        gaps = [column for column in texts[:2] if column.filled < 0.9 * table.rows]
        if len(gaps) == 1 and texts[2].filled >= 0.9 * table.rows:
            given = gaps[0]
            asked = next(column for column in texts[:2] if column is not given)
            columns = {"instruction": asked.name, "input": given.name, "output": texts[2].name}
            reason = (
                f"Column '{given.name}' is empty in {table.rows - given.filled:,} of {table.rows:,} rows, as an input is, "
                f"beside an instruction in '{asked.name}' and an answer in '{texts[2].name}'."
            )
            return Match(0.65, columns, reason)
    pair = first_free(table, [column.name for column in texts], "instruction", "output")
    return pair and Match(0.1, pair, in_order(pair, "instruction and answer"))


def match_prompt_completion(table: Table) -> Match | None:
    columns = system_and_tools(table)
    if talk := _turns_and_turns(table):
        reason = f"Columns {quoted(talk.values())} hold lists of turns, and those in the second only answer."
        return Match(0.975, talk | columns, reason)
    completion = table.named(COMPLETION_NAMES, ANY_KIND)
    prompt = table.named([name for name in PROMPT_NAMES if table.named((name,), ANY_KIND) != completion], ANY_KIND)
    if prompt and completion:
        columns = {"prompt": prompt, "completion": completion} | columns
        return Match(0.9, columns, f"Columns {quoted([prompt, completion])} are named like a question and its answer.")
    texts = [column.name for column in table.texts() if column.name not in columns.values()]
    pair = first_free(table, texts, "prompt", "completion")
    if not pair:
        return None
    with_title = any(table.columns[name].plain_name in BESIDE_A_TEXT for name in pair.values())
    score = 0.3 if len(texts) > 2 else 0.38 if with_title else 0.5
    return Match(score, pair | columns, in_order(pair, "question and answer"))


def _turns_and_turns(table: Table) -> dict[str, str] | None:
    """Two columns of turns of which the second only answers, so that they are no two conversations."""
    turns = table.holding("turns")
    prompt = table.named(("prompt",), ("turns",)) or (turns[0].name if len(turns) == 2 else None)
    completion = table.named([name for name in COMPLETION_NAMES if name not in CHOSEN_NAMES], ("turns",))
    if not completion and len(turns) == 2 and not table.named(CHOSEN_NAMES) and not table.named(REJECTED_NAMES):
        completion = turns[1].name
    if not prompt or not completion or prompt == completion:
        return None
    answers = [read[0] for value in table.columns[completion].values if (read := turns_of(value))]
    if sum(role_of(answer) == "assistant" for answer in answers) <= len(answers) / 2:
        return None
    return {"prompt": prompt, "completion": completion}


def match_text(table: Table) -> Match | None:
    texts = table.texts("text")
    if not texts:
        return None
    others = [column for column in texts if column.plain_name not in BESIDE_A_TEXT]
    chosen = others if others and any(column.plain_name in TEXT_NAMES for column in others) else texts
    if len(chosen) == 1:
        only = "is the only one with text" if chosen is texts or len(texts) == 1 else "holds the texts, others only name them"
        return Match(0.6, {"text": chosen[0].name}, f"Column '{chosen[0].name}' {only}.")
    if column := table.named(TEXT_NAMES, ("text",)):
        return Match(0.4, {"text": column}, f"Column '{column}' is named like a text.")
    return Match(0.2, {"text": longest(texts).name}, f"Column '{longest(texts).name}' has the longest texts.")
