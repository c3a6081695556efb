"""Fetches a base model from the Hub: checked before, pinned to a commit, resumed after a cut, verified after.

huggingface_hub is imported inside functions: it takes long to import, and most visits to the page never need it.
"""

import datetime
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.models import model_files
from jobs.models.hashing import write_json
from jobs.models.hub_patience import RETRY_WAITS, STALL_SECONDS, Patience, asked_wait, clean_token, sparingly, watched
from jobs.models.hub_transfer import HubFile, Progress, Source, fetch_file
from jobs.models.inspect import inspect_base_model
from jobs.models.problems import (
    ConfigMissing,
    DiskFilled,
    HubBusy,
    HubFailed,
    HubIdInvalid,
    HubModelGated,
    HubModelMissing,
    HubOffline,
    HubRevisionMissing,
    HubTokenRefused,
    HubUnreachable,
    NoRoomForModel,
    TokenizerMissing,
    WeightsMissing,
)
from jobs.units import size
from storage.problems import BaseModelRefused

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RECORD = "studio.json"
PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
HUB_ID = re.compile(rf"(?=.{{3,96}}$)(?!.*(?:--|\.\.))({PART})/({PART})(?<!\.git)", re.ASCII)
REVISION = re.compile(r"(?!.*(?:\.\.|//))\w[\w./-]{0,199}", re.ASCII)
# Flat names only: transformers needs no folder, and a name without a slash cannot leave ours. No .py, no pickle.
WANTED = re.compile(r"\w[\w.-]*\.(?:json|safetensors|txt|model|jinja|md)|LICEN[SC]E", re.ASCII)
KEEP_FREE = 500 * 1024**2  # bytes
LOCK_SECONDS = 0.5


@dataclass(frozen=True)
class HubRecord:
    """What is remembered of a download (its studio.json). Written last: a folder without one is not finished."""

    hub_id: str
    commit: str
    revision: str | None  # as it was asked for; None: the newest
    files: dict[str, dict]  # name -> size, sha256
    downloaded_at: str  # ISO 8601, UTC


def split_hub_id(text: str) -> tuple[str, str | None] | None:
    """("org/name", revision) of `org/name` or `org/name@revision`; None where the text is no Hub id."""
    hub_id, at, revision = text.strip().partition("@")
    if not HUB_ID.fullmatch(hub_id) or (at and not REVISION.fullmatch(revision)):
        return None
    return hub_id, revision or None


def hub_endpoint() -> str:
    """The address of the Hub: HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_folder(models_dir: Path, hub_id: str) -> Path:
    """Where the commits of a Hub model are kept, one folder each."""
    return Path(models_dir) / "hub" / hub_id.replace("/", "--")


def read_record(folder: Path) -> HubRecord | None:
    """The record of a finished download; None where it is not finished."""
    path = folder / RECORD
    return HubRecord(**json.loads(path.read_text())) if path.is_file() else None


def download(
    repo_id: str,
    models_dir: Path,
    revision: str | None = None,
    token: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done_bytes, total_bytes: None,
    keep_free: int = KEEP_FREE,
    retry_waits: Sequence[float] = RETRY_WAITS,
    look: Callable[[], None] = lambda: None,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """Fetch `org/name` (or `org/name@revision`) and return the folder of the commit it is pinned to.

    A download that was cut goes on where it stopped. `look` is called about once a second, whatever the network does. An
    exception from it or from `on_progress` ends the download, and what came is kept. Without `token`, HF_TOKEN
    is used. Raises a HubProblem, a BaseModelRefused or a DiskFull.
    """
    parsed = split_hub_id(repo_id if revision is None else f"{repo_id}@{revision}")
    if parsed is None:
        raise HubIdInvalid(repo_id if revision is None else f"{repo_id}@{revision}")
    hub_id, revision = parsed
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise HubOffline(hub_id)

    from huggingface_hub import HfApi, constants

    # Else it describes this machine to the Hub, and asks huggingface.co for a list whatever HF_ENDPOINT says.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    endpoint = hub_endpoint()
    api = HfApi(endpoint=endpoint, token=clean_token(token or os.environ.get("HF_TOKEN")))
    look = sparingly(look)
    patience = Patience(retry_waits, look)
    with _explained(hub_id, revision, endpoint):
        # few waits: nothing has come yet, and a host that cannot be reached should be told soon
        info = _described(api, hub_id, revision, Patience(retry_waits[:2], look), look, stall_seconds)
    siblings = info.siblings or []
    if not re.fullmatch(r"[0-9a-f]{40}", info.sha or "") or any(sibling.size is None for sibling in siblings):
        raise HubUnreachable(endpoint, "it does not speak the Hub's protocol")
    folder = hub_folder(models_dir, hub_id) / info.sha
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), look):  # two people may ask for the same model at once
        if read_record(folder) is None:
            fetch = _Fetch(api, hub_id, revision, info.sha, folder, patience, look, stall_seconds)
            try:
                fetch.run([_hub_file(sibling) for sibling in siblings], on_progress, keep_free)
            except BaseModelRefused:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            except OSError as problem:
                if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise DiskFilled(hub_id, folder) from problem
                raise
    return folder


@dataclass
class _Fetch:
    api: "HfApi"
    hub_id: str
    revision: str | None
    commit: str
    folder: Path
    patience: Patience
    look: Callable[[], None]
    stall_seconds: float

    def run(self, listed: list[HubFile], on_progress: Callable[[int, int], None], keep_free: int) -> None:
        files = {file.name: file for file in listed if WANTED.fullmatch(file.name) and file.name != RECORD}
        if model_files.CONFIG not in files:
            raise ConfigMissing(self.hub_id)
        if not {model_files.WEIGHTS, model_files.WEIGHTS_INDEX} & files.keys():
            model_files.refuse_weights(self.hub_id, (file.name for file in listed))
        if not files.keys() & set(model_files.TOKENIZERS):
            raise TokenizerMissing(self.hub_id)

        # The small files that may lead to a refusal come first, before gigabytes of weights.
        first = (model_files.CONFIG, model_files.TOKENIZER_CONFIG, model_files.WEIGHTS_INDEX)
        quiet = Progress(0, lambda done_bytes, total_bytes: None)
        self.folder.mkdir(exist_ok=True)
        for name in first:
            if name in files:
                self._fetch(files[name], quiet)
        model_files.read_config(self.folder, model=self.hub_id)
        chosen = self._chosen(files)

        total = sum(file.size for file in chosen)
        progress = Progress(total, on_progress, done=sum(file.bytes_in(self.folder) for file in chosen))
        needed, free = total - progress.done, shutil.disk_usage(self.folder).free
        if needed + keep_free > free:
            raise NoRoomForModel(self.hub_id, needed, free, keep_free, self.folder)
        progress.report()
        hashes = {file.name: self._fetch(file, progress) for file in chosen if not file.name.endswith(".safetensors")}
        model_files.check_tokenizer(self.folder)
        hashes |= {file.name: self._fetch(file, progress) for file in chosen if file.name.endswith(".safetensors")}
        progress.report()

        inspect_base_model(self.folder)
        record = HubRecord(
            hub_id=self.hub_id,
            commit=self.commit,
            revision=self.revision,
            files={file.name: {"size": file.size, "sha256": hashes[file.name]} for file in chosen},
            downloaded_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        )
        write_json(self.folder / RECORD, asdict(record))

    def _chosen(self, files: dict[str, HubFile]) -> list[HubFile]:
        """All but the weights that transformers would not load: a repository may hold them several times over."""
        if model_files.WEIGHTS in files:
            weights = [model_files.WEIGHTS]
        else:
            weights = model_files.shards_of(self.folder / model_files.WEIGHTS_INDEX)
        if missing := [name for name in weights if name not in files]:
            raise WeightsMissing(self.hub_id, f", and {', '.join(missing)} named in its index is missing")
        return [file for name, file in files.items() if name in weights or not name.endswith(".safetensors")]

    def _fetch(self, file: HubFile, progress: Progress) -> str:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(self.hub_id, file.name, revision=self.commit, endpoint=self.api.endpoint)
        source = Source(url, build_hf_headers(token=self.api.token), self.patience, self.look, self.stall_seconds)
        with _explained(self.hub_id, self.revision, self.api.endpoint, progress):
            return fetch_file(file, source, self.folder, self.hub_id, progress)


def _described(api, hub_id: str, revision: str | None, patience: Patience, look: Callable[[], None], stall_seconds: float):
    """What the Hub says of the model, its files with sizes and hashes."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    def ask() -> list:
        return [api.model_info(hub_id, revision=revision, files_metadata=True, timeout=stall_seconds)]

    while True:
        try:
            return next(watched(ask, look))
        except (httpx2.TransportError, HfHubHTTPError) as problem:
            patience.wait_after(problem)


@contextmanager
def _locked(path: Path, look: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file; `look` is called while another process has it."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    with ExitStack() as held:
        while True:
            try:
                held.enter_context(WeakFileLock(path, timeout=LOCK_SECONDS))
                break
            except Timeout:
                look()
        yield


def _hub_file(sibling) -> HubFile:
    """Our picture of a huggingface_hub RepoSibling."""
    return HubFile(
        name=sibling.rfilename,
        size=sibling.size,
        sha256=sibling.lfs.sha256 if sibling.lfs else None,
        git_sha1=None if sibling.lfs else sibling.blob_id,
    )


@contextmanager
def _explained(hub_id: str, revision: str | None, endpoint: str, progress: Progress | None = None) -> Iterator[None]:
    """Turn what huggingface_hub and httpx2 raise into the studio's problems."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as problem:
        raise HubModelGated(hub_id, endpoint) from problem
    except errors.RevisionNotFoundError as problem:
        raise HubRevisionMissing(hub_id, revision or "main") from problem
    except errors.RepositoryNotFoundError as problem:
        raise HubModelMissing(hub_id) from problem
    except errors.HfHubHTTPError as problem:
        status = problem.response.status_code
        if status in (401, 403):
            raise HubTokenRefused(hub_id, status) from problem
        if status == 429:
            raise HubBusy(endpoint, asked_wait(problem)) from problem
        raise HubFailed(hub_id, endpoint, status) from problem
    except errors.OfflineModeIsEnabled as problem:
        raise HubOffline(hub_id) from problem
    except (httpx2.TransportError, httpx2.DecodingError, httpx2.TooManyRedirects) as problem:
        kept = f" {size(progress.done)} of {size(progress.total)} are kept." if progress and progress.done else ""
        raise HubUnreachable(endpoint, str(problem) or type(problem).__name__, kept) from problem
    except json.JSONDecodeError as problem:  # the log-in page of a hotel, for example
        raise HubUnreachable(endpoint, "it does not speak the Hub's protocol") from problem
