"""Prompts from a file: a text file with one on each line, or a table with a column of them."""

from pathlib import Path

from jobs.data.reading import read_rows
from storage.problems import DataInvalid

MOST = 2000
COLUMN = "prompt"


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file in its order, empty ones left out. Raises DataInvalid."""
    prompts = _lines(path) if path.suffix.lower() in (".txt", ".text", "") else _column(path)
    found = [prompt.strip() for prompt in prompts if prompt.strip()]
    if not found:
        raise DataInvalid(f"There is no prompt in '{path.name}'. Write one on each line of a text file, or in a column "
                          f"'{COLUMN}'.")
    if len(found) > MOST:
        raise DataInvalid(f"'{path.name}' has {len(found):,} prompts, and {MOST:,} are the most for one list. Split the file.")
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataInvalid(f"'{path.name}' is not a text file in UTF-8. Save it as UTF-8 text, CSV or JSON lines.") from error


def _column(path: Path) -> list[str]:
    found, seen = [], {}
    for row in read_rows(path):
        if row.values is None:
            raise DataInvalid(f"Line {row.line} of '{path.name}' has {row.complaint}. Mend it and choose the file again.")
        seen |= dict.fromkeys(row.values)
        name = next((name for name in row.values if name.strip().lower() == COLUMN), None)
        value = row.values.get(name)
        if isinstance(value, str):
            found.append(value)
        elif value is not None:
            raise DataInvalid(f"The prompt on line {row.line} of '{path.name}' is not a text. Write each prompt as one text.")
    if not any(name.strip().lower() == COLUMN for name in seen):
        columns = ", ".join(f"'{name}'" for name in list(seen)[:20]) or "none"
        raise DataInvalid(f"'{path.name}' has no column '{COLUMN}'. Its columns are {columns}; rename the one with the prompts.")
    return found
