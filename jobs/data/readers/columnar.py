"""Parquet and Arrow files. Their rows are counted, not their lines."""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from jobs.data.problems import ColumnarDamaged, FileEmpty
from jobs.data.readers.lines import Row
from jobs.data.readers.tables import distinct_names
from jobs.data.sniffing import COLUMNAR_TITLES, SourceFile

BUFFER = 1 << 20  # bytes of each column, so that a group of rows of any size is never held whole
QUICK_BYTES = 1 << 28  # that are read for a sample
BATCH_ROWS = 256  # few, for a value of a megabyte may stand in every one
FREE_ROWS = 1_000_000  # that a file may hold whatever its size
ROWS_PER_BYTE = 100  # more than that is a file made to fill disks


def read(source: SourceFile) -> Iterator[Row]:
    """Rows of a whole file. Raises ColumnarDamaged where it breaks off."""
    empty = True
    number = 1
    for batch in _batches(source):
        for row in _rows_of(batch, number):
            empty = False
            yield row
        number += batch.num_rows
    if empty:
        raise FileEmpty(source.name, "has columns but no rows")


def read_spread(source: SourceFile, parts: int, rows: int) -> Iterator[Row]:
    """Some rows of about as many parts of a file; only those of the first part know their place."""
    with _explained(source):
        batches = _parquet_parts(source, parts) if source.kind == "parquet" else _arrow_batches(source, parts)
        for number, batch in enumerate(batches):
            for row in _rows_of(batch.slice(0, rows), 1):
                yield row if number == 0 else Row(0, row.values, row.complaint)


def repeated_columns(source: SourceFile) -> list[str]:
    """Sentences about columns that go by one name."""
    for batch in _batches(source):
        return distinct_names(source.name, batch.schema.names)[1]
    return []


def _batches(source: SourceFile) -> Iterator:
    with _explained(source):
        if source.kind == "parquet":
            with _open_parquet(source) as table:
                yield from table.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
        else:
            yield from _arrow_batches(source)


def _parquet_parts(source: SourceFile, parts: int) -> Iterator:
    """Batches from all over a file: from groups of rows all over it, and in each as far as that is quick."""
    with _open_parquet(source) as table:
        groups = table.num_row_groups
        chosen = sorted({index * groups // parts for index in range(parts)})
        wanted = -(-parts // len(chosen))
        for group in chosen:
            about = table.metadata.row_group(group)
            is_quick = about.total_byte_size <= QUICK_BYTES // len(chosen)
            stride = max(1, about.num_rows // BATCH_ROWS // wanted) if is_quick else 1
            batches = table.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], use_threads=False)
            yield from islice(batches, 0, stride * wanted, stride)


def _open_parquet(source: SourceFile):
    from pyarrow import parquet  # here: a third of a second that other files need not wait

    table = parquet.ParquetFile(source.path, buffer_size=BUFFER, pre_buffer=False)
    _refuse_bomb(source, table.metadata.num_rows)
    return table


def _arrow_batches(source: SourceFile, parts: int = 0) -> Iterator:
    """Slices of a file's batches, which may hold the whole table each; what was read of the file is not kept in memory."""
    from pyarrow import BufferReader, ipc, py_buffer

    with source.path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    stream = BufferReader(py_buffer(content))
    if content[:6] == b"ARROW1":
        reader = ipc.open_file(stream)
        count = reader.num_record_batches
        chosen = range(count) if not 0 < parts < count else sorted({index * count // parts for index in range(parts)})
        batches = map(reader.get_batch, chosen)
    else:
        batches = iter(ipc.open_stream(stream))
    for batch in batches:
        step = max(BATCH_ROWS, batch.num_rows // parts) if parts else BATCH_ROWS
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, BATCH_ROWS)
            if start // BATCH_ROWS % 64 == 0:
                content.madvise(mmap.MADV_DONTNEED)


def _rows_of(batch, number: int) -> Iterator[Row]:
    """The rows of a batch; where a value in it cannot be read, each by itself."""
    from pyarrow import ArrowException

    try:
        rows = _values(batch)
    except (ArrowException, ValueError, OverflowError):
        rows = [_row_or_complaint(batch.slice(index, 1)) for index in range(batch.num_rows)]
    for index, values in enumerate(rows):
        yield Row(number + index, None, values) if isinstance(values, str) else Row(number + index, values)


def _row_or_complaint(row) -> dict | str:
    from pyarrow import ArrowException

    try:
        return _values(row)[0]
    except (ArrowException, ValueError, OverflowError) as error:
        if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError):
            return "a text whose bytes are not UTF-8"
        return f"a value that cannot be read ({_first_line(error)})"


def _values(batch) -> list[dict]:
    batch.validate(full=True)  # a file may say that its texts lie anywhere in memory
    return _readable(batch).to_pylist()


def _readable(batch):
    """Distinct names, and dates and times as text: Python has none of a thousand millionth of a second."""
    from pyarrow import ArrowException, RecordBatch, string, types

    names, _ = distinct_names("", batch.schema.names)
    columns = []
    for column in batch.columns:
        if types.is_timestamp(column.type) or types.is_time(column.type) or types.is_date(column.type):
            with suppress(ArrowException):  # one that cannot be told is left to the row that it stands in
                column = column.cast(string())
        columns.append(column)
    return RecordBatch.from_arrays(columns, names=names) if columns else batch


def _refuse_bomb(source: SourceFile, rows: int) -> None:
    if rows > FREE_ROWS and rows > ROWS_PER_BYTE * source.path.stat().st_size:
        claim = f"it claims to hold {rows:,} rows, far more than fit in it"
        raise ColumnarDamaged(source.name, COLUMNAR_TITLES[source.kind], claim)


class _explained:
    """Turns the library's errors into a sentence with the file's name."""

    def __init__(self, source: SourceFile):
        self.source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        from pyarrow import ArrowException

        if isinstance(error, (ArrowException, OSError, MemoryError, ValueError, OverflowError)):
            raise ColumnarDamaged(self.source.name, COLUMNAR_TITLES[self.source.kind], _first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["it is incomplete"])[0].rstrip(".")[:200]
