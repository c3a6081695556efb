"""Datasets on the Hub: `owner/name`, `owner/name:split` or `owner/name:config:split`, perhaps with @revision behind it.

They are pinned to a commit and kept as any other files. No code that comes with a dataset is ever fetched or run.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from jobs.data import SUFFIXES
from jobs.hub_problems import (
    HubDataBroken,
    HubDataFailed,
    HubDataGated,
    HubDataMissing,
    HubDataOffline,
    HubDataRefused,
    HubDataRevisionMissing,
    HubDataUnreachable,
    HubDataWithCode,
    HubDataWithoutFiles,
    HubPartUnknown,
)
from jobs.models.hub import HUB_ID, REVISION, hub_endpoint
from jobs.models.hub_patience import RETRY_WAITS, STALL_SECONDS, Patience, clean_token
from jobs.models.hub_transfer import HubFile, Progress, Source, fetch_file
from jobs.processes import take_lock
from jobs.services import Services
from jobs.uploads import check_free_space, dataset_paths, keep_files
from storage.problems import HubProblem, NotFound
from storage.records import Dataset
from storage.settings import REPOSITORY

PART = r"[^:@\s]+"
REFERENCE = re.compile(rf"(?P<id>{PART})(?::(?P<first>{PART}))?(?::(?P<second>{PART}))?(?:@(?P<revision>[^:@\s]+))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
RESOLVE_SECONDS = 300
LOCK_SECONDS = 3600  # that another process may take to fetch the same

OnProgress = Callable[[int, int], None]  # is told the bytes that have come, and all


@dataclass(frozen=True)
class HubReference:
    """What somebody asked for: of a `first` without a `second` it is open whether it is a split or a config."""

    hub_id: str
    first: str = ""
    second: str = ""
    revision: str = ""

    def __str__(self) -> str:
        parts = ":".join(part for part in (self.hub_id, self.first, self.second) if part)
        return f"{parts}@{self.revision}" if self.revision else parts


def read_reference(text: str) -> HubReference | None:
    """What a text asks of the Hub; None where it has not the form of a dataset there."""
    match = REFERENCE.fullmatch(text.strip())
    if not match or not HUB_ID.fullmatch(match["id"]) or (match["revision"] and not REVISION.fullmatch(match["revision"])):
        return None
    return HubReference(match["id"], match["first"] or "", match["second"] or "", match["revision"] or "")


def keep_hub_data(services: Services, reference: HubReference, on_progress: OnProgress = lambda done, total: None) -> Dataset:
    """Fetch one split of a dataset and keep its files; a download that was cut goes on where it stopped.

    A reference with config, split and commit that is kept already needs no network. Raises a HubProblem or DiskFull.
    """
    if known := _kept_before(services, reference):
        return known
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise HubDataOffline(str(reference))
    from huggingface_hub import HfApi, constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    api = HfApi(endpoint=hub_endpoint(), token=clean_token(os.environ.get("HF_TOKEN")))
    with _explained(reference, api.endpoint):
        info = api.dataset_info(reference.hub_id, revision=reference.revision or None, files_metadata=True, timeout=STALL_SECONDS)
    if not COMMIT.fullmatch(info.sha or "") or any(sibling.size is None for sibling in info.siblings or []):
        raise HubDataUnreachable(api.endpoint, "it does not speak the Hub's protocol")
    part = _resolve(services, reference, info.sha)
    pinned = HubReference(reference.hub_id, part["config"], part["split"], info.sha)
    files = _files_of(pinned, part["files"], info.siblings or [])
    folder = services.settings.temporary_dir / f"hub-{hashlib.sha256(str(pinned).encode()).hexdigest()[:24]}"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        take_lock(lock, LOCK_SECONDS)
        if known := _kept_before(services, pinned):
            return known
        _fetch(services, api, pinned, files, folder, on_progress)
        origin = {"kind": "hub", "hub_id": pinned.hub_id, "config": pinned.first, "split": pinned.second, "revision": info.sha}
        dataset = keep_files(services, [folder / name for name in files], str(replace(pinned, revision="")), origin, own=True)
        shutil.rmtree(folder, ignore_errors=True)
    return dataset


def pinned_reference(dataset: Dataset) -> str:
    """How a recipe names a dataset from the Hub so that it is always the same; empty for any other."""
    origin = dataset.origin
    if origin.get("kind") != "hub":
        return ""
    return str(HubReference(origin["hub_id"], origin["config"], origin["split"], origin["revision"]))


def _kept_before(services: Services, reference: HubReference) -> Dataset | None:
    if not (reference.second and COMMIT.fullmatch(reference.revision)):
        return None
    for dataset in services.datasets.all():
        if pinned_reference(dataset) == str(reference):
            with contextlib.suppress(NotFound):  # somebody removed a file: it is fetched again
                dataset_paths(services, dataset)
                return dataset
    return None


def _resolve(services: Services, reference: HubReference, commit: str) -> dict:
    """Config, split and files of what was asked for, worked out in a process of its own (see jobs/hub_splits.py)."""
    question = {"hub_id": reference.hub_id, "commit": commit, "first": reference.first, "second": reference.second}
    with tempfile.TemporaryDirectory(prefix="hub-cache-", dir=services.settings.temporary_dir) as cache:
        caches = dict.fromkeys(("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_XET_CACHE"), cache)
        environ = {**os.environ, **caches, "HF_UPDATE_DOWNLOAD_COUNTS": "0", "HF_HUB_DISABLE_TELEMETRY": "1",
                   "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        try:
            done = subprocess.run([sys.executable, "-m", "jobs.hub_splits"], cwd=REPOSITORY, env=environ, text=True,
                                  input=json.dumps(question), capture_output=True, timeout=RESOLVE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise HubDataUnreachable(hub_endpoint(), f"no answer within {RESOLVE_SECONDS} s") from error
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise HubDataBroken(reference.hub_id, done.stderr.strip()[-300:] or f"exit code {done.returncode}") from error
    if "unknown" in answer:
        raise HubPartUnknown(reference.hub_id, answer["unknown"], answer["asked"], answer["names"], answer.get("config", ""))
    if "problem" in answer:
        raise _problem(reference.hub_id, answer["problem"], answer["detail"])
    return answer


def _problem(hub_id: str, kind: str, detail: str) -> HubProblem:
    """What the datasets library raised, in our words."""
    if "scripts are no longer supported" in detail:
        return HubDataWithCode(hub_id)
    if kind in ("EmptyDatasetError", "DataFilesNotFoundError"):
        return HubDataWithoutFiles(hub_id, [])
    if kind == "DatasetNotFoundError":
        return HubDataGated(hub_id, hub_endpoint()) if "gated" in detail else HubDataMissing(hub_id)
    if kind in ("ConnectionError", "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "OfflineModeIsEnabled"):
        return HubDataUnreachable(hub_endpoint(), " ".join(detail.split())[:200])
    return HubDataBroken(hub_id, detail)


def _files_of(reference: HubReference, wanted: list[str], listed: list) -> dict[str, tuple[str, HubFile]]:
    """The data files by the name that they are kept under, each with its path in the repository."""
    siblings = {sibling.rfilename: sibling for sibling in listed}
    paths = [path for path in wanted if path in siblings and path.lower().endswith(tuple(SUFFIXES))]
    if not paths or len(paths) < len(wanted):
        raise HubDataWithoutFiles(reference.hub_id, [path for path in wanted if path not in paths])
    names = [PurePosixPath(path).name for path in paths]
    if len(set(names)) < len(names):
        names = [path.replace("/", "_") for path in paths]
    files = {}
    for name, path in zip(names, paths, strict=True):
        sibling = siblings[path]
        files[name] = path, HubFile(name, sibling.size, sibling.lfs.sha256 if sibling.lfs else None,
                                    None if sibling.lfs else sibling.blob_id)
    return files


def _fetch(services: Services, api, reference: HubReference, files: dict[str, tuple[str, HubFile]], folder: Path,
           on_progress: OnProgress) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    total = sum(file.size for _, file in files.values())
    progress = Progress(total, on_progress, done=sum(file.bytes_in(folder) for _, file in files.values()))
    check_free_space(services, total - progress.done)
    progress.report()
    patience = Patience(RETRY_WAITS)
    for path, file in files.values():
        url = hf_hub_url(reference.hub_id, path, repo_type="dataset", revision=reference.revision, endpoint=api.endpoint)
        source = Source(url, build_hf_headers(token=api.token), patience, lambda: None, STALL_SECONDS)
        with _explained(reference, api.endpoint):
            fetch_file(file, source, folder, reference.hub_id, progress)
    progress.report()


@contextlib.contextmanager
def _explained(reference: HubReference, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub and httpx2 raise into the studio's problems."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as problem:
        raise HubDataGated(reference.hub_id, endpoint) from problem
    except errors.RevisionNotFoundError as problem:
        raise HubDataRevisionMissing(reference.hub_id, reference.revision or "main") from problem
    except errors.RepositoryNotFoundError as problem:
        raise HubDataMissing(reference.hub_id) from problem
    except errors.HfHubHTTPError as problem:
        status = problem.response.status_code
        raise (HubDataRefused if status in (401, 403) else HubDataFailed)(reference.hub_id, endpoint, status) from problem
    except errors.OfflineModeIsEnabled as problem:
        raise HubDataOffline(str(reference)) from problem
    except (httpx2.TransportError, httpx2.DecodingError, httpx2.TooManyRedirects) as problem:
        raise HubDataUnreachable(endpoint, str(problem) or type(problem).__name__) from problem
    except json.JSONDecodeError as problem:  # the log-in page of a hotel, for example
        raise HubDataUnreachable(endpoint, "it does not speak the Hub's protocol") from problem
