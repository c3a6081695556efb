"""How to deal with a network that fails: which faults may pass, how long to wait, and how to end while nothing comes."""

import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from jobs.models.problems import HubTokenMalformed

STALL_SECONDS = 30  # without a byte, after which a connection counts as gone
RETRY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds
RETRIED = (408, 429, 500, 502, 503, 504)  # HTTP statuses that may pass
LONGEST_WAIT = 300  # seconds; the Hub counts requests over five minutes
LOOK_SECONDS = 1.0
QUEUED = 16  # items that are fetched ahead

Item = TypeVar("Item")


class Patience:
    """The waits between tries, each broken off by what `look` raises."""

    def __init__(self, waits: Sequence[float], look: Callable[[], None] = lambda: None):
        self.waits, self._look = tuple(waits), look
        self.refresh()

    def refresh(self) -> None:
        """Start the waits afresh, since the last try brought something."""
        self._left = list(self.waits)

    def wait_after(self, problem: Exception, passes: bool | None = None) -> None:
        """Wait before the next try; raises the problem where it will not pass or no wait is left."""
        asked = asked_wait(problem)
        if not (may_pass(problem) if passes is None else passes) or not self._left or asked > LONGEST_WAIT:
            raise problem
        until = time.monotonic() + max(asked, self._left.pop(0))
        while (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, LOOK_SECONDS / 2))
            self._look()


def sparingly(look: Callable[[], None]) -> Callable[[], None]:
    """`look`, but called at most every LOOK_SECONDS however often it is asked."""
    looked_at = time.monotonic()

    def look_sparingly() -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at >= LOOK_SECONDS:
            looked_at = time.monotonic()
            look()

    return look_sparingly


def may_pass(problem: Exception) -> bool:
    """Whether trying again can help: the network failed, or the server says that it is busy or has a fault."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(problem, HfHubHTTPError):
        return problem.response.status_code in RETRIED
    return isinstance(problem, httpx2.TransportError)


def asked_wait(problem: Exception) -> int:
    """The seconds that the server asks to wait, in a Retry-After header or the Hub's own; 0 where it asks for none."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import parse_ratelimit_headers

    if not isinstance(problem, HfHubHTTPError):
        return 0
    headers = problem.response.headers
    limit = parse_ratelimit_headers(headers)
    if problem.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds
    retry_after = headers.get("Retry-After", "").strip()
    return int(retry_after) if retry_after.isdecimal() else 0


def watched(blocking: Callable[[], Iterable[Item]], look: Callable[[], None]) -> Iterator[Item]:
    """The items of an iterable that may block on the network, with `look` called all the while.

    What `look` raises ends us at once. The blocked thread ends by itself, at its next item or its time limit, and since
    only we handle its items, nothing happens to them any more.
    """
    items: queue.Queue = queue.Queue(maxsize=QUEUED)
    left = threading.Event()

    def hand_over(kind: str, value: object) -> bool:
        while not left.is_set():
            try:
                items.put((kind, value), timeout=LOOK_SECONDS)
                return True
            except queue.Full:
                pass
        return False

    def fetch() -> None:
        try:
            for item in blocking():
                if not hand_over("item", item):
                    return
        except BaseException as problem:
            hand_over("problem", problem)
        else:
            hand_over("end", None)

    threading.Thread(target=fetch, daemon=True, name="hub").start()
    try:
        while True:
            look()
            try:
                kind, value = items.get(timeout=LOOK_SECONDS / 2)
            except queue.Empty:
                continue
            if kind == "problem":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        left.set()


def clean_token(token: str | None) -> str | None:
    """The token without the spaces around it; None for none. Raises where a header cannot carry it.

    Else httpx2 would refuse it in a message that holds the token, which then would be in records and logs.
    """
    token = (token or "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise HubTokenMalformed
    return token or None
