"""How long every row is in a base model's tokens."""

import contextlib
import signal
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs.data.health.found import Findings, verb
from jobs.data.health.report import TokenCounts
from storage.problems import DataInvalid

TEMPLATE_SECONDS = 60  # for one batch, in which a template renders thousands of conversations where it comes to an end
EXACT, STEP = 4096, 64  # lengths are counted one by one up to the first, then rounded up to multiples of the second
LOST = 0.01            # share of rows that a length may cut and still be recommended


class TemplateEndless(DataInvalid):
    """A chat template that does not come to an end."""

    def __init__(self, seconds: int):
        super().__init__(f"The chat template did not come to an end within {seconds} s for a few hundred rows. Look for a loop in "
                         "it, or choose another template.")


def count_tokens(findings: Findings, base_path: Path, chat_template: str = "", max_length: int = 0,
                 on_progress: Callable[[float], None] = lambda done: None) -> TokenCounts:
    """The lengths of all rows, with findings about rows that are cut at `max_length` (0: only at the base model's own limit).

    Raises TemplateEndless for a chat template that does not come to an end.
    """
    from jobs.preparing.encoding import encode_batch, in_batches, load_tokenizer, settle_template  # imports transformers

    tokenizer = load_tokenizer(base_path)
    template, _ = settle_template(tokenizer, chat_template)
    lengths, refused = array("L"), {}
    examples = findings.examples
    for batch in in_batches(examples):
        with _limited(TEMPLATE_SECONDS):
            encoded = encode_batch(batch, tokenizer, findings.data.format, template)
        for rows in encoded:
            if problem := next((row.problem for row in rows.values() if row.problem), ""):
                refused[len(lengths)] = problem
            lengths.append(max(len(row.ids) for row in rows.values()))
        on_progress(len(lengths) / max(1, len(examples)))
    counts = TokenCounts(base=Path(base_path).name, lengths=_histogram(lengths, refused))
    _report_refused(findings, refused)
    _report_cut(findings, counts, lengths, max_length, _limit_of(base_path))
    return counts


def _report_refused(findings: Findings, refused: dict[int, str]) -> None:
    if refused:
        count, why = len(refused), next(iter(refused.values()))
        findings.add("template_refuses", "problem",
                     f"{findings.of(count)} cannot be trained on: {verb(count, 'it has', 'they have')} {why}" + (
                         "." if len(set(refused.values())) == 1 else ", or the like."), list(refused), ("drop",), note=refused.get)


def _report_cut(findings: Findings, counts: TokenCounts, lengths: array, max_length: int, limit: int) -> None:
    chosen = min(filter(None, (max_length, limit)), default=0)
    if not chosen or not (share := counts.cut_share(chosen)):
        return
    rows = [row for row, length in enumerate(lengths) if length > chosen]
    enough = counts.limit_for(LOST)
    what = "the length that is chosen" if chosen == max_length else "which is all that the base model can read"
    advice = (f" {enough:,} tokens would cut less than {LOST:.0%} of the rows." if enough > chosen and chosen == max_length and (
        not limit or enough <= limit) else " Shorten or split them, or drop them.")
    findings.add("cut_rows", "warning" if share >= LOST else "note",
                 f"{findings.of(len(rows))} ({_percent(share)}) {verb(len(rows), 'is', 'are')} longer than {chosen:,} tokens, "
                 f"{what}, and {verb(len(rows), 'loses its', 'lose their')} end.{advice}", rows, ("drop",),
                 note=lambda row: f"{lengths[row]:,} tokens")


def _histogram(lengths: array, refused: dict[int, str]) -> list[tuple[int, int]]:
    counts = Counter(length if length <= EXACT else -(-length // STEP) * STEP for length in lengths)
    for row in refused:
        counts[lengths[row]] -= 1
    return sorted((length, count) for length, count in counts.items() if count)


def _limit_of(base_path: Path) -> int:
    """Tokens that a base model can read at once; 0 where its files do not say."""
    from jobs.models.inspect import inspect_base_model
    from storage.problems import BaseModelRefused

    try:
        return inspect_base_model(Path(base_path)).context_length or 0
    except BaseModelRefused:
        return 0


class _TooLong(BaseException):
    """No Exception: what renders a template answers every one of those as the template's own mistake."""


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Interrupt what takes longer; only a main thread can be interrupted, and checks run in one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def too_long(_number, _frame):
        raise _TooLong

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    except _TooLong:
        raise TemplateEndless(seconds) from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"
