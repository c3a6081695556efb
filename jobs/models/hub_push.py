"""Pushes an adapter to the Hub in one commit, and whatever the network does, never the same content in two.

Two things see to that. Before every try the head of the branch is looked at, and an adapter that is there already is done.
And each commit names the head that was looked at as its parent, so that a try whose answer was lost and which comes through
later does not add to the one after it: the Hub takes one of them and refuses the other.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.checksums import check_adapter
from jobs.models.hub import HUB_ID, hub_endpoint
from jobs.models.hub_patience import RETRIED, RETRY_WAITS, STALL_SECONDS, Patience, asked_wait, clean_token, may_pass
from jobs.models.hub_transfer import content_hashes
from jobs.models.problems import (
    HubBusy,
    HubCardRefused,
    HubNameRefused,
    HubOffline,
    HubPushCut,
    HubPushFailed,
    HubPushRefused,
    HubTokenMissing,
)
from jobs.services import Services

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MOVED_ON = (409, 412)  # HTTP statuses of a commit whose parent is no longer the head
CARD = "Invalid metadata in README.md"  # how huggingface_hub begins a ValueError of its own


def push_adapter(
    services: Services,
    run_id: str,
    repo_id: str,
    token: str | None,
    private: bool = True,
    retry_waits: Sequence[float] = RETRY_WAITS,
    stall_seconds: float = STALL_SECONDS,
) -> str:
    """Put what the zip of a run's adapter holds into a model repository on the Hub; returns the address of its page.

    A repository that does not exist yet is made, `private` or not. Content that is there already is not committed again.
    Raises a HubProblem, NotFound or ArtefactCorrupt.
    """
    if not HUB_ID.fullmatch(repo_id):
        raise HubNameRefused(repo_id, "a name looks like org/name")
    adapter = services.adapters.get(run_id)
    folder = check_adapter(services.settings.adapters_dir, adapter)
    token = clean_token(token)
    if token is None:
        raise HubTokenMissing(repo_id)
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise HubOffline(repo_id)

    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub_endpoint(), token=token)
    files = [_File(folder, entry["name"]) for entry in adapter.files]
    message = f"Add the adapter {adapter.name}"
    _use_a_session_that_ends(stall_seconds)
    with _explained(repo_id, api.endpoint, token):
        _push(api, repo_id, files, private, message, Patience(retry_waits), stall_seconds)
    return f"{api.endpoint}/{repo_id}"


def _push(api: "HfApi", repo_id: str, files: list["_File"], private: bool, message: str, patience: Patience,
          stall_seconds: float) -> None:
    import httpx2
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError

    there = False
    while True:
        try:
            if not there:
                api.create_repo(repo_id, private=private, exist_ok=True)
                there = True
            head = api.model_info(repo_id, files_metadata=True, timeout=stall_seconds)
            listed = {sibling.rfilename: sibling for sibling in head.siblings or []}
            if all(file.is_in(listed) for file in files):
                return
            operations = [CommitOperationAdd(file.name, str(file.path)) for file in files]
            api.create_commit(repo_id, operations, commit_message=message, parent_commit=head.sha)
            return
        except (httpx2.TransportError, HfHubHTTPError, RuntimeError) as problem:
            reason = _reason(problem)
            moved_on = isinstance(reason, HfHubHTTPError) and reason.response.status_code in MOVED_ON
            patience.wait_after(reason, passes=moved_on or may_pass(reason))


def _reason(problem: Exception) -> Exception:
    """The fault of the network behind the RuntimeError that huggingface_hub makes of those in an upload."""
    return problem.__cause__ if isinstance(problem, RuntimeError) and isinstance(problem.__cause__, Exception) else problem


class _File:
    """A file to push, with the hashes that the Hub names contents by."""

    def __init__(self, folder: Path, name: str):
        self.name, self.path = name, folder / name
        self.size = self.path.stat().st_size
        self.sha256, self.git_sha1 = content_hashes(self.path)

    def is_in(self, listed: dict) -> bool:
        """Whether the Hub lists this very content under this name. `listed` holds RepoSiblings by their names."""
        sibling = listed.get(self.name)
        if sibling is None or sibling.size != self.size:
            return False
        return sibling.lfs.sha256 == self.sha256 if sibling.lfs else sibling.blob_id == self.git_sha1


def _use_a_session_that_ends(stall_seconds: float) -> None:
    """Give huggingface_hub an HTTP session with a time limit; its own waits for ever.

    A server that is busy or has a fault becomes an exception at once, so that all waits are ours, and large files go by
    the same session: the Xet transfer brings one of its own, which has other waits and gets the token too.
    """
    import httpx2
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import hf_raise_for_status

    def raise_what_may_pass(response: httpx2.Response) -> None:
        if response.status_code in RETRIED:
            response.read()
            hf_raise_for_status(response)

    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.HF_HUB_DISABLE_XET = True
    set_client_factory(lambda: httpx2.Client(
        follow_redirects=True, timeout=stall_seconds, event_hooks={"response": [raise_what_may_pass]}))


@contextmanager
def _explained(repo_id: str, endpoint: str, token: str) -> Iterator[None]:
    """Turn what huggingface_hub and httpx2 raise into the studio's problems. What a server says is quoted without the token."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as problem:
        status = problem.response.status_code
        said = (problem.server_message or "").replace(token, "…")
        if status in (401, 403, 404):
            raise HubPushRefused(repo_id, endpoint, status) from problem
        if status == 400 and problem.response.request.url.path.endswith("/repos/create"):
            raise HubNameRefused(repo_id, said) from problem
        if status == 429:
            raise HubBusy(endpoint, asked_wait(problem)) from problem
        raise HubPushFailed(repo_id, endpoint, status, said) from problem
    except (httpx2.TransportError, httpx2.DecodingError, httpx2.TooManyRedirects) as problem:
        raise HubPushCut(repo_id, endpoint, str(problem) or type(problem).__name__) from problem
    except ValueError as problem:
        if not str(problem).startswith(CARD):
            raise
        raise HubCardRefused(repo_id, str(problem).replace(token, "…")) from problem
