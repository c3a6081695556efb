"""Answers that are compared: a better and a worse one, or one with a verdict."""

from jobs.data.cells import turns_of
from jobs.data.likeness import begin_alike, length_ratio, share_of_rows, texts_begin_alike, word_overlap
from jobs.data.matching.base import Match, first_free, in_order, quoted, system_and_tools
from jobs.data.tables import Column, Table

CHOSEN_NAMES = (
    "chosen chosen_response chosen_answer response_chosen preferred preferred_output preferred_response response_j better "
    "better_response winner win accepted positive_response answer_chosen".split()
)
REJECTED_NAMES = (
    "rejected rejected_response rejected_answer response_rejected dispreferred dispreferred_response non_preferred_output "
    "response_k worse worse_response loser lose refused negative_response answer_rejected".split()
)
ASKED_NAMES = "prompt question instruction query input messages context user problem".split()
ANSWERED_NAMES = "completion response answer output reply messages conversations conversation".split()
VERDICT_NAMES = "label desirable kto_tag is_desirable thumbs_up thumb feedback liked is_good good preferred verdict".split()
TALK = ("text", "turns")
ALIKE_ROWS = 0.6  # of the rows must begin alike for a prompt to be found in them
PARAPHRASES = 0.2  # of the words that two answers to one question share, at least


def match_preference(table: Table) -> Match | None:
    chosen, rejected = table.named(CHOSEN_NAMES, TALK), table.named(REJECTED_NAMES, TALK)
    if chosen and rejected and chosen != rejected:
        return _named_preference(table, chosen, rejected)
    return _preference_in_turns(table) or _preference_in_texts(table) or _any_three(table)


def _named_preference(table: Table, chosen: str, rejected: str) -> Match | None:
    named = f"Columns {quoted([chosen, rejected])} are named like a better and a worse answer"
    columns = {"chosen": chosen, "rejected": rejected} | system_and_tools(table)
    prompt = table.named([name for name in ASKED_NAMES if table.named((name,), TALK) not in columns.values()], TALK)
    if prompt:
        return Match(0.99, {"prompt": prompt} | columns, f"{named} to '{prompt}'.")
    first, second = table.columns[chosen], table.columns[rejected]
    if first.holds == second.holds == "turns":
        return Match(0.99, columns, f"{named}; the prompt is the beginning that both conversations share.")
    if share_of_rows(first, second, texts_begin_alike) >= ALIKE_ROWS:
        return Match(0.98, columns, f"{named}; the prompt is the beginning that both texts share.")
    others = [column.name for column in table.texts("prompt") if column.name not in columns.values()]
    if others:
        reason = f"{named}, and '{others[0]}' is the first other text: read as the prompt."
        return Match(0.96, {"prompt": others[0]} | columns, reason)
    return None


def _preference_in_turns(table: Table) -> Match | None:
    turns = table.holding("turns")
    for number, first in enumerate(turns):
        for second in turns[number + 1:]:
            if share_of_rows(first, second, begin_alike) >= ALIKE_ROWS:
                columns = _in_places(table, first, second) | system_and_tools(table)
                seen = f"Columns '{first.name}' and '{second.name}' hold conversations that begin alike"
                reason = f"{seen}: what they share is the prompt, and '{columns['chosen']}' is read as the better one."
                return Match(0.98, columns, reason)
    texts = table.texts()
    if len(turns) == 3 and not texts:
        prompt, *answers = turns
        if all(_only_answers(column) for column in answers) and not _only_answers(prompt):
            columns = {"prompt": prompt.name} | _in_places(table, *answers)
            reason = f"Columns {quoted(column.name for column in answers)} hold two answers to '{prompt.name}'"
            return Match(0.99, columns, f"{reason}, and '{columns['chosen']}' is read as the better one.")
    return None


def _preference_in_texts(table: Table) -> Match | None:
    """Texts whose columns have names that say nothing: by what they have in common."""
    texts = table.texts()
    if not table.is_untouched:
        return None
    if len(texts) == 2 and share_of_rows(*texts, texts_begin_alike) >= 0.9 and texts[0].distinct > 1:
        columns = _in_places(table, *texts)
        reason = f"Columns {quoted(columns.values())} begin alike in nearly all rows: what they share is read as the prompt"
        return Match(0.62, columns, f"{reason}, and '{columns['chosen']}' as the better answer.")
    if len(texts) == 3:
        asked, first, second = texts
        shared = word_overlap(first, second)
        prompts_differ = asked.distinct > asked.filled / 3
        if (
            prompts_differ and shared >= PARAPHRASES and length_ratio(first, second) < 2
            and shared > 1.08 * max(word_overlap(asked, first), word_overlap(asked, second))
        ):
            columns = {"prompt": asked.name} | _in_places(table, first, second)
            seen = f"Columns '{first.name}' and '{second.name}' share {shared:.0%} of their words"
            reason = f"{seen}, as two answers to '{asked.name}' do. '{columns['chosen']}' is read as the better one."
            return Match(0.56, columns, reason)
    return None


def _any_three(table: Table) -> Match | None:
    found = first_free(table, [column.name for column in table.texts()], "prompt", "chosen", "rejected")
    return found and Match(0.1, found, in_order(found, "prompt, better and worse answer"))


def _in_places(table: Table, first: Column, second: Column) -> dict[str, str]:
    """The better and the worse answer, the other way round where a person chose so for one of them."""
    if first.alias == "rejected" or second.alias == "chosen":
        first, second = second, first
    return {"chosen": first.name, "rejected": second.name}


def _only_answers(column: Column) -> bool:
    from jobs.data.examples.turns import role_of

    first = [turns[0] for value in column.values if (turns := turns_of(value))]
    return sum(role_of(turn) == "assistant" for turn in first) > len(first) / 2


def match_binary_preference(table: Table) -> Match | None:
    label, sureness = _verdict(table)
    if not label:
        return None
    talk = [column for column in table.columns.values() if column.holds in TALK and not column.says_nothing]
    talk = [column for column in talk if column.name != label]
    if not talk:
        return None
    completion = table.named(ANSWERED_NAMES, TALK)
    asked = [name for name in ASKED_NAMES if table.named((name,), TALK) not in (completion, label)]
    prompt = table.named(asked, TALK)
    seen = f"Column '{label}' holds true and false"
    holds_turns = [column for column in talk if column.holds == "turns"]
    if completion and (prompt or table.columns[completion].holds == "turns"):
        columns = ({"prompt": prompt} if prompt else {}) | {"completion": completion, "label": label} | system_and_tools(table)
        score = 0.995 if holds_turns else 0.94
        return Match(score * sureness, columns, f"{seen}, which is read as the verdict on '{completion}'.")
    if len(holds_turns) == 1 and len(talk) == 1:
        columns = {"completion": holds_turns[0].name, "label": label} | system_and_tools(table)
        reason = f"{seen}, which is read as the verdict on the last answer of '{holds_turns[0].name}'."
        return Match(0.98 * sureness, columns, reason)
    pair = first_free(table, [column.name for column in talk], "prompt", "completion")
    if not pair:
        return None
    score = 0.99 if len(holds_turns) == 2 else 0.72 if len(talk) == 2 and table.columns[pair["completion"]].words >= 5 else 0.4
    reason = f"{seen}, which is read as the verdict on '{pair['completion']}', an answer to '{pair['prompt']}'."
    return Match(score * sureness, pair | {"label": label}, reason)


def _verdict(table: Table) -> tuple[str, float]:
    """The column with the verdicts, and how sure it is to be one: words for true and false are surer than ones and zeros."""
    kinds = ("text", "number")
    chosen = [column for column in table.columns.values() if column.alias == "label" and column.holds in kinds]
    named = [column for name in VERDICT_NAMES if (found := table.named([name], kinds)) and (column := table.columns[found])]
    others = [column for column in table.holding("number", "text", part="label") if column.is_truth and column.is_nameless]
    for column in chosen + named + others:
        if column.alias == "label":
            return column.name, 1.0
        if column.reads_as_truth:
            return column.name, 1.0 if column.is_truth else 0.97
    return "", 0.0
