"""Texts with a class, a number, or a tag for each word."""

from jobs.data.cells import number_of
from jobs.data.likeness import length_ratio, share_of_rows
from jobs.data.matching.base import Match, longest, quoted
from jobs.data.matching.chats import TEXT_NAMES
from jobs.data.matching.sentences import twins
from jobs.data.tables import Column, Table

LABEL_NAMES = (
    "label_text label_name label_names label labels category class intent sentiment topic tag emotion target polarity".split()
)
LABEL_ENDS = ("_label", "_class", "_category", "_sentiment", "_intent", "_emotion")
OTHER_TEXT_NAMES = (
    "comment_text review_text review_body reviewtext tweet_text clean_text cleaned_text headline message email description utt "
    "post question title abstract prompt input".split()
)
# texts of which a label says how they go together, beside those that are twins by name
ASKED_ABOUT = {
    "question": "sentence answer passage context",
    "query": "passage document answer title",
    "claim": "evidence abstract",
    "context": "response hypothesis",
    "text": "hypothesis",
}
PAIR_LABELS = ("label", "labels", "label_text", "label_name", "gold_label", "is_duplicate", "entailment", "relation", "judgment")
SCORE_NAMES = (
    "score scores similarity similarity_score similarity_scores relatedness_score relatedness rating value label labels target "
    "y stars grade".split()
)
SCORE_ENDS = ("_score", "_rating", "_similarity")
TOKEN_NAMES = "tokens words token tokenized tokenised_text tokenized_text sentence text".split()
TAG_NAMES = (
    "tags ner_tags_text ner_tags_str ner_tags ner_tag ner ner_labels labels label tag slots slot bio_tags iob_tags iob entities "
    "pos_tags upos pos xpos chunk_tags chunk".split()
)
LONGEST_LABEL = 60  # characters on average; longer values are texts, not names of classes
COMPARED_ITEMS, COMPARED_CHARACTERS = 1000, 5000  # of each list, for what kinds of values it has
MANY_VALUES = 20  # different whole numbers, from which on they may be amounts and not classes


def match_classification(table: Table) -> Match | None:
    named_label = table.named(LABEL_NAMES) or _label_by_a_part_of_its_name(table)
    label = named_label or _label_by_content(table)
    texts = [column for column in table.texts() if column.name != label and column.alias in ("", "text", "text_pair")]
    if not label or not texts:
        return None
    column = table.columns[label]
    score, columns, what = _texts_of(table, label, texts, bool(named_label))
    if _cannot_be_label(column):
        score = 0.35  # only its name speaks for it
    elif not named_label and score > 0.5:
        contents = [other for other in table.holding("text", "number", "turns") if not other.says_nothing]
        # nothing else in the table speaks for it; one of many columns may just come with the text
        score = score + 0.06 if len(contents) == 2 else score if len(contents) == 3 else 0.35
    values = f"{column.distinct:,} different value{'s' if column.distinct != 1 else ''} in {table.rows:,} rows"
    return Match(score, columns | {"label": label}, f"Column '{label}' has {values} and reads as the label of {what}.")


def _texts_of(table: Table, label: str, texts: list[Column], is_named: bool) -> tuple[float, dict[str, str], str]:
    """The text, or the two texts, that a label belongs to, and how sure that is."""
    if pair := _pair_by_name(table, label, texts):
        return 0.95, pair, f"the pair of {quoted(pair.values())}"
    named_text = table.named([name for name in TEXT_NAMES if table.named((name,)) != label], ("text",))
    if pair := None if named_text else _pair_by_content(texts):
        return 0.7, pair, f"the pair of {quoted(pair.values())}"
    also = table.named([name for name in OTHER_TEXT_NAMES if table.named((name,)) != label], ("text",))
    text = named_text or also or longest(texts).name
    score = (0.92 if named_text else 0.7) if is_named else (0.6 if named_text else 0.55)
    return score, {"text": text}, f"'{text}'"


def _pair_by_name(table: Table, label: str, texts: list[Column]) -> dict[str, str] | None:
    if pair := _twins(texts):
        return pair
    if table.columns[label].plain_name not in PAIR_LABELS and not table.columns[label].plain_name.startswith("is_"):
        return None
    by_name = {column.own_name: column.name for column in texts}
    for first, seconds in ASKED_ABOUT.items():
        second = next((name for name in seconds.split() if name in by_name), None)
        if first in by_name and second:
            return _as_chosen(texts, by_name[first], by_name[second])
    return None


def _twins(texts: list[Column]) -> dict[str, str] | None:
    pair = twins(texts)
    return _as_chosen(texts, *pair) if pair else None


def _as_chosen(texts: list[Column], first: str, second: str) -> dict[str, str] | None:
    """The two texts, the other way round where a person chose so for one of them; None where another one was chosen."""
    chosen = {column.alias: column.name for column in texts if column.alias}
    if chosen.get("text") == second or chosen.get("text_pair") == first:
        first, second = second, first
    return {"text": first, "text_pair": second} if set(chosen.values()) <= {first, second} else None


def _pair_by_content(texts: list[Column]) -> dict[str, str] | None:
    """Two texts that are much alike in length, and no third."""
    texts = [column for column in texts if not _reads_as_label(column)]
    if len(texts) != 2 or any(column.alias or column.words < 2.5 or column.plain_name in OTHER_TEXT_NAMES for column in texts):
        return None
    return {"text": texts[0].name, "text_pair": texts[1].name} if length_ratio(*texts) <= 4 else None


def match_regression(table: Table) -> Match | None:
    texts = [column for column in table.texts() if column.alias in ("", "text", "text_pair")]
    numbers = [column for column in table.holding("number", part="score") if not column.says_nothing and not column.reads_as_truth]
    chosen = next((column for column in table.columns.values() if column.alias == "score"), None)
    if not texts or not (numbers or chosen):
        return None
    names = [column for name in SCORE_NAMES for column in numbers if column.plain_name == name]
    names += [column for column in numbers if column.plain_name.endswith(SCORE_ENDS)]
    fitting = [column for column in names if _many_numbers(column)] or [column for column in numbers if _many_numbers(column)]
    score = chosen or next(iter(fitting), None)
    if not score:
        score = next(iter(names), numbers[0])
        return Match(0.3, _texts_of_number(table, texts, score.name), f"Column '{score.name}' holds numbers.")
    columns = _texts_of_number(table, texts, score.name)
    contents = [column for column in table.holding("text", "number", "turns") if not column.says_nothing]
    with_others = len(contents) > len(columns)
    if score in names:
        sureness = 0.94 if not with_others else 0.45
        if "text_pair" in columns:
            sureness = max(sureness, 0.94)
    else:
        sureness = 0.25 if with_others else 0.7 if score.is_nameless else 0.58  # such as how long each text is
    what = quoted([columns[part] for part in ("text", "text_pair") if part in columns])
    seen = f"Column '{score.name}' holds {score.distinct:,} different numbers in {table.rows:,} rows"
    return Match(sureness, columns, f"{seen} and reads as a score of {what}.")


def _texts_of_number(table: Table, texts: list[Column], score: str) -> dict[str, str]:
    texts = [column for column in texts if column.name != score]
    pair = _twins(texts)
    if not pair and not table.named(TEXT_NAMES, ("text",)):
        pair = _pair_by_content(texts)
    text = table.named([*TEXT_NAMES, *OTHER_TEXT_NAMES], ("text",)) or longest(texts).name
    return {**(pair or {"text": text}), "score": score}


def _many_numbers(column: Column) -> bool:
    """Whether numbers measure something: fractions, or many whole numbers that hardly come back."""
    if column.distinct < 3 or column.counts_up:
        return False
    if not column.is_whole:
        return True
    return column.distinct > MANY_VALUES and column.distinct > column.filled / 4


def match_tokens(table: Table) -> Match | None:
    if found := _lists_of_one_length(table.holding("list")):
        tokens, tags = found
        kinds = _kinds(tags)
        held = "lists of the same length in each row"
    elif found := _words_and_slots(table):
        tokens, tags = found
        kinds = {tag for value in tags.values for tag in str(value).split()}
        held = "as many words in each row"
    else:
        return None
    bare = " The tags are numbers without names." if all(number_of(kind) is not None for kind in kinds) else ""
    seen = f"Columns '{tokens.name}' and '{tags.name}' hold {held}, the second with {len(kinds):,} different values"
    return Match(0.96, {"tokens": tokens.name, "tags": tags.name}, f"{seen}: words and their tags.{bare}")


def _lists_of_one_length(lists: list[Column]) -> tuple[Column, Column] | None:
    variety = {column.name: len(_kinds(column)) for column in lists}
    tokens = [column for column in lists if variety[column.name] and column.alias in ("", "tokens") and not _all_numbers(column)]
    if not tokens:
        return None
    by_name = {column.plain_name: column for column in reversed(tokens)}
    words = next((by_name[name] for name in TOKEN_NAMES if name in by_name), max(tokens, key=lambda column: variety[column.name]))
    fitting = [
        column for column in lists
        if column is not words and column.alias in ("", "tags") and 0 < variety[column.name] <= max(variety[words.name], 3)
        and _mostly_as_long(words, column)
    ]
    by_name = {column.plain_name: column for column in reversed(fitting)}
    fewest = min(fitting, key=lambda column: variety[column.name], default=None)
    tags = next((by_name[name] for name in TAG_NAMES if name in by_name), fewest)
    return (words, tags) if tags else None


def _words_and_slots(table: Table) -> tuple[Column, Column] | None:
    """A text and its tags with spaces between them: "show flights to Boston" and "O O O B-city"."""
    texts = table.texts()
    for tags in texts:
        if not tags.mostly(_reads_as_tags):
            continue
        words = next((text for text in texts if text is not tags and share_of_rows(text, tags, _as_many_words) > 0.5), None)
        if words:
            return words, tags
    return None


def _reads_as_tags(value) -> bool:
    return all(tag == "O" or tag[:2] in ("B-", "I-", "E-", "S-") for tag in str(value)[:COMPARED_CHARACTERS].split())


def _mostly_as_long(one: Column, other: Column) -> bool:
    pairs = [(first, second) for first, second in zip(one.lists, other.lists, strict=True) if first and second]
    return sum(len(first) == len(second) for first, second in pairs) > len(pairs) / 2


def _as_many_words(first, second) -> bool:
    return len(str(first).split()) == len(str(second).split())


def _kinds(column: Column) -> set[str]:
    return {str(item) for items in column.lists for item in (items or ())[:COMPARED_ITEMS]}


def _all_numbers(column: Column) -> bool:
    return all(isinstance(item, (int, float)) for items in column.lists for item in (items or ())[:COMPARED_ITEMS])


def _reads_as_label(column: Column) -> bool:
    """Few, short values that come back again and again."""
    if column.holds == "number" and not column.is_whole:
        return False
    return column.distinct >= 2 and column.filled >= 3 * column.distinct and column.mean_length <= LONGEST_LABEL


def _cannot_be_label(column: Column) -> bool:
    nearly_all_differ = column.distinct > 20 and column.distinct > column.filled / 2
    fractions = column.holds == "number" and not column.is_whole
    return column.distinct < 2 or nearly_all_differ or column.mean_length > LONGEST_LABEL or fractions


def _label_by_content(table: Table) -> str | None:
    columns = [column for column in table.holding("text", "number", part="label") if not column.says_nothing]
    labels = [column for column in columns if _reads_as_label(column)]
    return min(labels, key=lambda column: (column.holds == "number", column.distinct)).name if labels else None


def _label_by_a_part_of_its_name(table: Table) -> str | None:
    columns = [column for column in table.holding("text", "number") if not column.alias]
    fitting = (column.name for column in columns if column.plain_name.endswith(LABEL_ENDS) or
               (column.plain_name.startswith("is_") and _reads_as_label(column)))
    return next(fitting, None)
