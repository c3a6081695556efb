"""Texts that belong together: pairs, triplets, translations and summaries."""

import re

from jobs.data.languages import language_named, language_of
from jobs.data.likeness import containment, length_ratio, word_overlap
from jobs.data.matching.base import SYSTEM_NAMES, Match, first_free, in_order, longest, optional_text, quoted
from jobs.data.tables import Column, Table

ANCHOR_NAMES = "anchor query question sent0 sentence1 premise".split()
POSITIVE_NAMES = "positive pos positive_passage positive_passages positive_text positive_doc sent1 entailment".split()
NEGATIVE_NAMES = (
    "negative neg negative_passage negative_passages negative_text negative_doc hard_neg hard_negative negative_1 "
    "contradiction".split()
)
FOUND_NAMES = "passage document title doc sentence".split()  # what belongs to a query where nothing else is there
TWIN_NAMES = [("premise", "hypothesis"), ("source_sentence", "target_sentence"), ("left", "right")]
SOURCE_NAMES = "source src source_text source_sentence input".split()
TARGET_NAMES = "target tgt target_text target_sentence translation translated".split()
DOCUMENT_NAMES = "document article dialogue dialog text report body content bill transcript paper".split()
SUMMARY_NAMES = "summary highlights abstract tldr tl;dr summaries summarisation summarization headline".split()
PARAPHRASE = 0.4  # of the words that a text and its paraphrase share, at least
LONG_TEXT, SHORT_TEXT = 50, 5  # words on average of a document and of a summary, at least
_NUMBERED = re.compile(r"(.+?)[_ ]?(?:[012]|a|b)")


def twins(texts: list[Column]) -> tuple[str, str] | None:
    """Two columns of text whose names go together, such as sentence1 and sentence2, or premise and hypothesis."""
    by_name = {column.own_name: column.name for column in texts}
    for first, second in TWIN_NAMES:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    stems: dict[str, list[str]] = {}
    for column in texts:
        if found := _NUMBERED.fullmatch(column.own_name):
            stems.setdefault(found[1], []).append(column.name)
    pair = next((names for stem, names in stems.items() if len(names) == 2 and len(stem) > 2), None)
    return (pair[0], pair[1]) if pair else None


def match_pairs(table: Table) -> Match | None:
    texts = table.texts()
    anchor, positive = table.named(ANCHOR_NAMES, ("text",)), table.named(POSITIVE_NAMES, ("text",))
    if anchor and positive and anchor != positive:
        reason = f"Columns {quoted([anchor, positive])} are named like texts that belong together."
        return Match(0.9 if table.named(NEGATIVE_NAMES) else 0.96, {"anchor": anchor, "positive": positive}, reason)
    if table.is_untouched and (pair := twins(texts)):
        columns = dict(zip(("anchor", "positive"), pair, strict=True))
        return Match(0.91, columns, f"Columns {quoted(pair)} are named like two texts that belong together.")
    found = table.named(FOUND_NAMES, ("text",))
    asked = table.named(["query", "question"], ("text",))
    if found and asked and len(texts) == 2:
        return Match(0.86, {"anchor": asked, "positive": found}, f"Column '{found}' is named like what belongs to '{asked}'.")
    if len(texts) == 2 and table.is_untouched:
        shared = word_overlap(*texts)
        if shared >= PARAPHRASE and length_ratio(*texts) < 2 and all(column.words >= 3 for column in texts):
            columns = {"anchor": texts[0].name, "positive": texts[1].name}
            reason = f"Columns {quoted(columns.values())} share {shared:.0%} of their words, as texts that mean the same do."
            return Match(0.6, columns, reason)
    pair = first_free(table, [column.name for column in texts], "anchor", "positive")
    return pair and Match(0.15, pair, in_order(pair, "texts that belong together"))


def match_triplets(table: Table) -> Match | None:
    texts = table.texts()
    names = {"anchor": ANCHOR_NAMES, "positive": POSITIVE_NAMES, "negative": NEGATIVE_NAMES}
    columns = {part: name for part, wanted in names.items() if (name := table.named(wanted, ("text",)))}
    if len(set(columns.values())) == 3:
        named = f"Columns {quoted(columns.values())} are named like a text"
        return Match(0.97, columns, f"{named}, one that belongs to it and one that does not.")
    if len(texts) == 3 and table.is_untouched:
        anchor, positive, negative = texts
        near, far = word_overlap(anchor, positive), word_overlap(anchor, negative)
        alike = max(length_ratio(anchor, positive), length_ratio(anchor, negative)) < 3
        if alike and near >= PARAPHRASE / 2 and near > 1.3 * max(far, word_overlap(positive, negative)):
            columns = dict(zip(names, (column.name for column in texts), strict=True))
            reason = (
                f"Column '{anchor.name}' shares {near:.0%} of its words with '{positive.name}' and {far:.0%} with "
                f"'{negative.name}': a text, one that belongs to it and one that does not."
            )
            return Match(0.57, columns, reason)
    found = first_free(table, [column.name for column in texts], "anchor", "positive", "negative")
    return found and Match(0.12, found, in_order(found, "a text, one that belongs to it and one that does not"))


def match_translation(table: Table) -> Match | None:
    texts = table.holding("text")
    if named := _by_language_names(texts):
        return _translation(table, 0.96, *named, "are named by languages")
    source, target = table.named(SOURCE_NAMES, ("text",)), table.named(TARGET_NAMES, ("text",))
    contents = table.texts()
    pair = None
    if source and target and source != target:
        pair = source, target
    elif len(contents) == 2 and table.is_untouched:
        pair = contents[0].name, contents[1].name
    if pair:
        languages = [language_of(str(value) for value in table.columns[name].values) for name in pair]
        if all(languages) and languages[0] != languages[1]:
            return _translation(table, 0.93 if source and target else 0.75, *pair, "hold texts in two languages")
    found = first_free(table, [column.name for column in contents], "source", "target")
    return found and Match(0.12, found, in_order(found, "a text and its translation"))


def _translation(table: Table, score: float, source: str, target: str, why: str) -> Match:
    columns = {"source": source, "target": target} | _system(table)
    return Match(score, columns, f"Columns '{source}' and '{target}' {why}: read as a text and its translation.")


def _by_language_names(texts: list[Column]) -> tuple[str, str] | None:
    """Two columns such as en and ro, translation.en and translation.ro, text_en and text_ro, or English and Romanian."""
    groups: dict[str, dict[str, str]] = {}
    for column in texts:
        words = column.plain_name.split("_")
        for place in {0, len(words) - 1}:
            language = language_named(words[place])
            rest = ".".join([column.name.rpartition(".")[0], *words[:place], "", *words[place + 1:]])
            if language and not (column.plain_name == "id" and "." not in column.name):
                groups.setdefault(rest, {}).setdefault(language, column.name)
    for languages in groups.values():
        if len(languages) >= 2:
            first, second, *_ = languages.values()
            return first, second
    return None


def match_summarisation(table: Table) -> Match | None:
    document, summary = table.named(DOCUMENT_NAMES, ("text",)), table.named(SUMMARY_NAMES, ("text",))
    if document and summary and document != summary:
        columns = {"document": document, "summary": summary} | _system(table)
        if table.columns[summary].mean_length < table.columns[document].mean_length:
            return Match(0.93, columns, f"Columns {quoted([document, summary])} are named like a document and its summary.")
    texts = table.texts()
    if len(texts) == 2 and table.is_untouched:
        whole = longest(texts)
        part = next(column for column in texts if column is not whole)
        shared = containment(part, whole)
        if whole.words >= LONG_TEXT and part.words >= SHORT_TEXT and whole.words >= 3 * part.words and shared >= 0.5:
            reason = (
                f"Column '{part.name}' is much shorter than '{whole.name}', which has {shared:.0%} of its words: "
                "read as a document and its summary."
            )
            return Match(0.72, {"document": whole.name, "summary": part.name}, reason)
    found = first_free(table, [column.name for column in texts], "document", "summary")
    return found and Match(0.11, found, in_order(found, "a document and its summary"))


def _system(table: Table) -> dict[str, str]:
    return optional_text(table, system=SYSTEM_NAMES)
