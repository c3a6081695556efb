"""What can be wrong with a dataset. Every message names the file and the value, and says what to do next."""

from dataclasses import dataclass

from storage.problems import DataInvalid

READABLE = "CSV, TSV, JSON, JSONL, Parquet or plain text"


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be read, and why."""

    line: int
    complaint: str


class FileMissing(DataInvalid):
    """A data file that is not there."""

    def __init__(self, path):
        super().__init__(f"There is no file {path}. Check its name and folder, or upload it again.")


class NoFiles(DataInvalid):
    """No file at all, or a folder without one that can be read."""

    def __init__(self, folder=None):
        where = f"The folder {folder} holds no data file" if folder else "No data file was given"
        super().__init__(f"{where}. Choose a file: {READABLE}.")


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


class EncodingUnmarked(DataInvalid):
    """UTF-16 text that does not say so."""

    def __init__(self, file: str):
        super().__init__(
            f"{file} seems to be UTF-16 text without a byte order mark. Save it as UTF-8, then upload it again."
        )


class BrokenJson(DataInvalid):
    """A JSON document that does not parse, or does not hold one list of objects."""


class BrokenJsonLines(DataInvalid):
    """JSON lines that do not parse: the first few, and how many there are."""

    def __init__(self, file: str, first: list[BadLine], total: int):
        if total == 1:
            bad = first[0]
            message = f"{file}, line {bad.line:,}: this is not valid JSON ({bad.complaint}). Mend or remove that line"
        else:
            message = (
                f"{file} has {total:,} lines that are not valid JSON: {_listed(first, total)}. Mend or remove them"
            )
        super().__init__(f"{message}, then upload again.")


class BrokenTableLines(DataInvalid):
    """Lines of a CSV or TSV file that do not fit its header: the first few, and how many there are."""

    def __init__(self, file: str, header: list[str], first: list[BadLine], total: int):
        columns = f"the header's {len(header)} column{'s' if len(header) > 1 else ''} ({', '.join(header)})"
        if total == 1:
            message = f"{file}, line {first[0].line:,} does not fit {columns}: {first[0].complaint}"
        else:
            message = f"{file} has {total:,} lines that do not fit {columns}: {_listed(first, total)}"
        super().__init__(
            f"{message}. Put quotation marks around values that contain the separator or a line break, "
            "and double those inside, then upload again."
        )


class HeaderInvalid(DataInvalid):
    """A table whose first line names a column twice."""

    def __init__(self, file: str, column: str):
        super().__init__(f"{file} has two columns named '{column}'. Rename or remove one of them, then upload again.")


class ParquetDamaged(DataInvalid):
    """A Parquet file that does not open or breaks off."""

    def __init__(self, file: str, detail: str):
        super().__init__(f"{file} is a damaged Parquet file ({detail}). Write or download it again, then upload it.")


class ColumnMissing(DataInvalid):
    """Columns that were asked for by name and are not in the file."""

    def __init__(self, missing: list[str], found: list[str], file: str | None = None):
        names = " and ".join(f"'{name}'" for name in missing)
        one = len(missing) == 1
        super().__init__(
            f"{file or 'The dataset'} has no column{'' if one else 's'} {names}, only {', '.join(found)}. "
            f"Choose {'one' if one else 'some'} of these, or rename the column{'' if one else 's'} in the file."
        )


class FilesDiffer(DataInvalid):
    """Several files that cannot be read as one table."""

    def __init__(self, file: str, columns: list[str], first_file: str, first_columns: list[str]):
        super().__init__(
            f"{file} has other columns ({', '.join(columns)}) than {first_file} ({', '.join(first_columns)}). "
            "Upload files with the same columns, or use them one at a time."
        )


class FormatInvalid(DataInvalid):
    """A format or a part that does not exist, or that does not go with the task."""


class FormatUnrecognised(DataInvalid):
    """Columns in which no format was found."""

    def __init__(self, needed: str, found: list[str]):
        super().__init__(
            f"No data format was recognised in the columns {', '.join(found)}: {needed}. "
            "Choose by hand which column plays which part, or rename the columns in the file."
        )


class NoUsableRows(DataInvalid):
    """A dataset of which nothing, or less than half, can be used."""

    def __init__(self, files: str, rows: int, left_out: int, reasons: str):
        share = "None" if left_out == rows else f"Only {rows - left_out:,}"
        super().__init__(
            f"{share} of the {rows:,} rows of {files} can be used: {reasons}. "
            "Fill in what is missing, or choose other columns, then try again."
        )


class LabelsEmpty(DataInvalid):
    """A label column without a value."""

    def __init__(self, files: str, column: str):
        super().__init__(
            f"The label column '{column}' is empty in every row of {files}. "
            "Fill it in, or choose another column as the label."
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


def _listed(first: list[BadLine], total: int) -> str:
    lines = ", ".join(f"line {bad.line:,} ({bad.complaint})" for bad in first)
    return lines if total <= len(first) else f"{lines} and {total - len(first):,} more"
