"""What all builders of examples share: the row's values, and the words for what is wrong with one."""

from collections.abc import Callable

from jobs.data.cells import is_empty, lone

Values = dict[str, object]
Built = tuple[dict, str | None]  # an example, and what was changed to make it, if anything
Builder = Callable[[Values], Built]

KINDS = {list: "a list", dict: "an object", bytes: "bytes"}


class LeaveOut(Exception):
    """A row that no example can be made of."""


def text_of(value, noun: str) -> str:
    """The value as text, kept as it is: spaces at its ends may matter, to code for one."""
    value = lone(value)
    if is_empty(value):
        raise LeaveOut(f"no {noun}")
    return written(value, noun)


def written(value, noun: str) -> str:
    """The value as text, which may be blank; nothing is an empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise LeaveOut("half a character (a lone surrogate), which no tokenizer takes") from None
        return value
    if isinstance(value, (int, float)):
        return str(value)
    kind = KINDS.get(type(value), type(value).__name__)
    raise LeaveOut(f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} that is {kind}, not text")


def name_of(value, noun: str) -> str:
    """A label or tag as text, without spaces around it."""
    value = lone(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is how spreadsheets and Parquet write class 1 in a column with gaps
    return text_of(value, noun).strip()
