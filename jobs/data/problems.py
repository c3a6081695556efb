"""What can be wrong with a dataset. Every message names the file and the value, and says what to do next."""

from pathlib import Path

from storage.problems import DataInvalid

READABLE = "CSV, TSV, JSON, JSONL, Parquet, Arrow, CoNLL or plain text, or a zip or gzip of these"
NAMED_COLUMNS = 20  # in one sentence
LONGEST_NAME = 60


def readable_name(path: Path) -> str:
    """A file's name as text; some are no text in any encoding."""
    return Path(path).name.encode(errors="surrogateescape").decode(errors="replace")


class FileMissing(DataInvalid):
    """A data file that is not there."""

    def __init__(self, path):
        super().__init__(f"There is no file {_as_text(path)}. Check its name and folder, or upload it again.")


class NoFiles(DataInvalid):
    """No file at all, or a folder or an archive without one that can be read."""

    def __init__(self, where: str = ""):
        problem = f"{where} holds no data file" if where else "No data file was given"
        super().__init__(f"{problem}. Choose a file: {READABLE}.")


class FileEmpty(DataInvalid):
    """A file without a single row."""

    def __init__(self, file: str, detail: str = "is empty"):
        super().__init__(f"{file} {detail}. Upload a file with at least one row.")


class WrongFileKind(DataInvalid):
    """A file that is not a table or text."""

    def __init__(self, file: str, kind: str, advice: str = f"Upload {READABLE}."):
        super().__init__(f"{file} is {kind}, not a table. {advice}")


class TextUnreadable(DataInvalid):
    """A text file whose bytes are in no encoding that we know."""

    def __init__(self, file: str, line: int, byte: int, encoding: str):
        super().__init__(
            f"{file}, line {line:,}: the byte 0x{byte:02X} is not valid {encoding}. "
            "Save the file as UTF-8, then upload it again."
        )


class BrokenJson(DataInvalid):
    """A JSON document that does not parse, or does not hold one list of objects."""


class HeaderInvalid(DataInvalid):
    """A table whose line of column names cannot be read, or has far too many."""

    def __init__(self, file: str, line: int, complaint: str):
        super().__init__(f"{file}, line {line:,}: the line of column names has {complaint}. Mend it, then upload again.")


class ColumnsTooMany(DataInvalid):
    """Rows that have far more columns than a table has."""

    def __init__(self, file: str, most: int):
        super().__init__(
            f"{file} has more than {most:,} different columns. Every row needs the same few: "
            "put values, not names of columns, where rows differ, then upload again."
        )


class ColumnarDamaged(DataInvalid):
    """A Parquet or Arrow file that does not open or breaks off."""

    def __init__(self, file: str, kind: str, detail: str):
        article = "an" if kind[0] in "AEIOU" else "a"
        super().__init__(
            f"{file} is {article} {kind} file that cannot be read: damaged or cut short ({detail}). "
            "Write or download it again, then upload it."
        )


class ArchiveInvalid(DataInvalid):
    """An archive that is damaged, or that holds what is not taken from one."""


class ColumnMissing(DataInvalid):
    """Columns that were asked for by name and are not in the file."""

    def __init__(self, missing: list[str], found: list[str], file: str | None = None):
        names = " and ".join(f"'{name}'" for name in missing)
        one = len(missing) == 1
        super().__init__(
            f"{file or 'The dataset'} has no column{'' if one else 's'} {names}, only {_some(found)}. "
            f"Choose {'one' if one else 'some'} of these, or rename the column{'' if one else 's'} in the file."
        )


class FilesDiffer(DataInvalid):
    """Several files that cannot be read as one table."""

    def __init__(self, file: str, columns: list[str], first_file: str, first_columns: list[str]):
        super().__init__(
            f"{file} has other columns ({_some(columns)}) than {first_file} ({_some(first_columns)}). "
            "Upload files with the same columns, or use them one at a time."
        )


class FormatInvalid(DataInvalid):
    """A format or a part that does not exist, or that does not go with the task."""


class FormatUnrecognised(DataInvalid):
    """Columns in which no format was found."""

    def __init__(self, needed: str, found: list[str]):
        super().__init__(
            f"No data format was recognised in the columns {_some(found)}: {needed}. "
            "Choose by hand which column plays which part, or rename the columns in the file."
        )


class NoUsableRows(DataInvalid):
    """A dataset of which nothing, or less than half, can be used."""

    def __init__(self, files: str, rows: int, left_out: int, reasons: str, all_of_them: bool = True, broken: bool = False):
        share = "None" if left_out == rows else f"Only {rows - left_out:,}"
        seen = "" if all_of_them else " that were looked at"
        super().__init__(
            f"{share} of the {rows:,} rows of {files}{seen} can be used: {reasons}. "
            + ("Mend the file, then upload it again." if broken else
               "Fill in what is missing, or choose other columns, then try again.")
        )


class LabelsEmpty(DataInvalid):
    """A label column without a value."""

    def __init__(self, files: str, column: str):
        super().__init__(
            f"The label column '{column}' is empty in every row of {files}. "
            "Fill it in, or choose another column as the label."
        )


class LabelsTooMany(DataInvalid):
    """A label column that is none."""

    def __init__(self, column: str, most: int):
        super().__init__(
            f"Column '{column}' has more than {most:,} different labels, so it is none. Choose another column as the label."
        )


class OneClass(DataInvalid):
    """Labels that are all the same."""

    def __init__(self, label: str, column: str):
        super().__init__(
            f"Every row has the label '{label}' (column '{column}'). Classification needs at least two labels: "
            "add rows with another label, or choose another column."
        )


class ValidationInvalid(DataInvalid):
    """A validation share or count that the data cannot give."""


class SeveralProblems(DataInvalid):
    """Everything that is wrong with a set of files, one line each."""

    def __init__(self, problems: list[DataInvalid]):
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def _some(columns: list[str]) -> str:
    names = ", ".join(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…" for name in columns[:NAMED_COLUMNS])
    return names if len(columns) <= NAMED_COLUMNS else f"{names} and {len(columns) - NAMED_COLUMNS:,} more"


def _as_text(path: object) -> str:
    return str(path).encode(errors="surrogateescape").decode(errors="replace")
