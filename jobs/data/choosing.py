"""Which column plays which part: what a person chose, filled up with what is recognised."""

from dataclasses import replace

from jobs.data.formats import Format, Recognition, find_format, formats_for, recognise_table
from jobs.data.problems import ColumnMissing, FormatInvalid
from jobs.data.tables import Table


def choose_columns(table: Table, format: str, columns: dict[str, str] | None, task: str | None) -> Recognition:
    """Settle format and columns. `columns` goes from part to column; where it names all that a format requires, it is
    taken as it is, else the rest is recognised. Raises ColumnMissing, FormatInvalid or FormatUnrecognised."""
    chosen = {part: column for part, column in (columns or {}).items() if column}
    if missing := [column for column in chosen.values() if column not in table.columns]:
        raise ColumnMissing(missing, list(table.columns))
    formats = formats_for(task) if format == "auto" else [find_format(format, task)]
    if not chosen:
        return recognise_table(table, formats)
    _refuse_double(chosen)
    fitting = [entry for entry in formats if set(chosen) <= set(entry.part_names)]
    if not fitting:
        known = "; ".join(f"{entry.name} has {', '.join(entry.part_names)}" for entry in formats)
        raise FormatInvalid(
            f"No data format has the parts {' and '.join(chosen)}: {known}. Name the columns of one of these."
        )
    for entry in fitting:
        if set(entry.required) <= set(chosen):
            return Recognition(entry.name, entry.task, _in_order(entry, chosen), "Chosen by hand.", list(table.columns))
    return _fill_up(table, chosen, fitting)


def _fill_up(table: Table, chosen: dict[str, str], formats: list[Format]) -> Recognition:
    parts = {column: part for part, column in chosen.items()}
    renamed = {name: replace(column, alias=parts.get(name, "")) for name, column in table.columns.items()}
    found = recognise_table(Table(renamed, table.rows), formats)
    entry = find_format(found.format)
    merged = {
        part: column
        for part, column in found.columns.items()
        if parts.get(column, part) == part or part in entry.required
    }
    merged = _in_order(entry, merged | chosen)
    _refuse_double(merged)
    return replace(found, columns=merged)


def _in_order(entry: Format, columns: dict[str, str]) -> dict[str, str]:
    return {part: columns[part] for part in entry.part_names if part in columns}


def _refuse_double(columns: dict[str, str]) -> None:
    for part, column in columns.items():
        others = [other for other, name in columns.items() if name == column and other != part]
        if others:
            raise FormatInvalid(
                f"Column '{column}' cannot be both {part} and {others[0]}. Choose another column for one of them."
            )
