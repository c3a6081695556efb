"""Deleting runs, adapters and data: first what that would mean, then hidden at once, and after a while gone with their files."""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.data.findings import all_of
from jobs.playground.client import PlaygroundClient
from jobs.services import Services
from storage.faults import fault_point
from storage.problems import NotFound, StudioError
from storage.records import Adapter, Dataset, Run
from storage.trash import Kind, refuse_if_needed

NAMED = 3  # runs that a sentence names one by one


@dataclass(frozen=True)
class DeletionPlan:
    """What deleting something would mean. `depends`: sentences about what else depends on it."""

    kind: Kind
    id: str
    name: str
    bytes: int  # that come back
    depends: list[str]


@dataclass(frozen=True)
class DiskUse:
    """Bytes on the disk; what is deleted and not yet gone is in the first three too."""

    adapters: int
    checkpoints: int
    data: int
    free: int


def plan_deletion(services: Services, kind: Kind, id: str) -> DeletionPlan:
    """What depends on a run, an adapter or a dataset, and how many bytes come back once it is gone.

    Raises NotFound, or InUse where a waiting or running run needs it: then it cannot be deleted.
    """
    record = services.trash.find(kind, id)
    if record is None:
        raise NotFound(f"There is no {kind} '{id}'. The Library page lists what is there.")
    if isinstance(record, Run) and not record.state.is_end:
        raise NotFound(f"The run '{record.name}' is {record.state.value}. Cancel it before deleting it.")
    names = _names(services, kind, id)
    dependents = services.trash.dependents(kind, id, names)
    refuse_if_needed(kind, dependents, {id, *names})
    sentences = {"run": _run_sentences, "adapter": _adapter_sentences, "dataset": _dataset_sentences}[kind]
    return DeletionPlan(kind, id, record.name, bytes_of(services, kind, id), sentences(services, record, dependents))


def delete(services: Services, kind: Kind, id: str) -> None:
    """Hide it everywhere, a run with its adapter; `restore` undoes it. Raises as plan_deletion does."""
    if kind == "run" and not (run := services.runs.get(id)).state.is_end:
        raise NotFound(f"The run '{run.name}' is {run.state.value}. Cancel it before deleting it.")
    services.trash.delete(kind, id, _names(services, kind, id))


def restore(services: Services, kind: Kind, id: str) -> None:
    """Bring back what was deleted; raises NotFound where it is too late."""
    services.trash.restore(kind, id)


def delete_for_good(services: Services, kind: Kind, id: str) -> None:
    """Remove what was deleted, with its files. Called again, it finishes what a crash cut short; raises NotFound."""
    adapter = services.trash.mark_for_good(kind, id)
    fault_point("delete.marked")
    settings = services.settings
    if kind == "dataset":
        services.trash.forget_dataset(id, lambda path: remove_upload(settings.uploads_dir, path))
        return
    if adapter:
        remove_within(settings.adapters_dir, adapter.folder)
        remove_within(settings.adapters_dir, adapter.zip_name)
    if kind == "run":
        remove_within(settings.runs_dir, id)
    fault_point("delete.files")
    services.trash.forget(kind, id)


def bytes_of(services: Services, kind: Kind, id: str) -> int:
    """Bytes that come back once it is gone: a file that something else has too, or links to, does not."""
    settings = services.settings
    record = services.trash.find(kind, id)
    if isinstance(record, Dataset):
        shared = services.trash.other_files(id)
        paths = [settings.uploads_dir / file["path"] for file in record.files if file["path"] not in shared]
    else:
        adapter = services.trash.find("adapter", id)
        paths = [settings.adapters_dir / name for name in (adapter.folder, adapter.zip_name)] if adapter else []
        if kind == "run":
            paths.append(settings.runs_dir / id)
    return bytes_that_come_back(paths)


def disk_use(services: Services) -> DiskUse:
    """What takes up the disk, measured on the disk."""
    settings = services.settings
    return DiskUse(
        adapters=bytes_on_disk([settings.adapters_dir]),
        checkpoints=bytes_on_disk(Path(run.path, "checkpoints") for run in _entries(settings.runs_dir)),
        data=bytes_on_disk([settings.uploads_dir]),
        free=shutil.disk_usage(settings.home).free)


# ---- what else depends on it, in words


def _names(services: Services, kind: Kind, id: str) -> list[str]:
    """What a recipe may call an adapter besides its run's id: its folder."""
    adapter = services.trash.find("adapter", id) if kind != "dataset" else None
    return [str((services.settings.adapters_dir / adapter.folder).resolve())] if adapter else []


def _run_sentences(services: Services, run: Run, dependents: list[Run]) -> list[str]:
    sentences = []
    if adapter := services.adapters.find(run.id):
        sentences.append("Its adapter leaves the library and the playground with it.")
        sentences += _loaded(services, adapter)
    if go_on := [other for other in dependents if other.continues == run.id]:
        sentences.append(f"{_runs(go_on)} {'continues' if len(go_on) == 1 else 'continue'} from it: {_named(go_on)}.")
    if started := [other for other in dependents if other.continues != run.id]:
        sentences.append(f"{_runs(started)} started from its adapter, and cannot be repeated without it: {_named(started)}.")
    if run.sweep_id:
        others = len([other for other in services.runs.search(sweep_id=run.sweep_id, limit=10_000) if other.id != run.id])
        sweep = services.sweeps.get(run.sweep_id)
        sentences.append(f"It belongs to the sweep '{sweep.name}', which keeps its {_count(others, 'other run')}." if others else
                         f"It is the last run of the sweep '{sweep.name}'.")
    return sentences


def _adapter_sentences(services: Services, adapter: Adapter, dependents: list[Run]) -> list[str]:
    sentences = ["Its run stays in the lab book with its figures."]
    if dependents:
        sentences.append(f"{_runs(dependents)} started from it, and cannot be repeated without it: {_named(dependents)}.")
    return sentences + _loaded(services, adapter)


def _dataset_sentences(services: Services, dataset: Dataset, dependents: list[Run]) -> list[str]:
    sentences = ["No run used it."]
    if dependents:
        sentences = [f"{_runs(dependents)} used it, and cannot be repeated or resumed without it: {_named(dependents)}."]
    family = services.datasets.versions(dataset.family)[::-1]
    if made := [other for other in family if other.parent_id == dataset.id]:
        numbers = all_of(str(other.version) for other in made)
        sentences.append(f"Version {numbers}, which was made of it, stays." if len(made) == 1 else
                         f"Versions {numbers}, which were made of it, stay.")
    sentences += [f"'{other.name}' (version {other.version}) is measured with it." for other in family
                  if other.validation_id == dataset.id]
    return sentences


def _loaded(services: Services, adapter: Adapter) -> list[str]:
    playground = PlaygroundClient(services.settings.playground_socket, start_seconds=0)
    try:
        loaded = playground.state()["adapters"] if playground.runs() else []
    except StudioError:  # no playground runs
        return []
    folder = str(services.settings.adapters_dir / adapter.folder)
    return ["The playground has it in memory now."] if folder in [entry["folder"] for entry in loaded] else []


def _runs(runs: list[Run]) -> str:
    return _count(len(runs), "run")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _named(runs: list[Run]) -> str:
    names = [f"'{run.name}'" for run in runs[:NAMED]]
    if len(runs) > NAMED:
        return f"{', '.join(names)} and {len(runs) - NAMED:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# ---- files, measured and removed


def bytes_on_disk(paths: Iterable[Path]) -> int:
    """Bytes of all files under these paths; a file with several names counts once."""
    return sum({(file.st_dev, file.st_ino): file.st_size for file in _files(paths)}.values())


def bytes_that_come_back(paths: Iterable[Path]) -> int:
    """Bytes of those files whose every name is under these paths."""
    names: dict[tuple[int, int], int] = {}
    files = {}
    for file in _files(paths):
        key = (file.st_dev, file.st_ino)
        names[key], files[key] = names.get(key, 0) + 1, file
    return sum(file.st_size for key, file in files.items() if names[key] >= file.st_nlink)


def remove_within(folder: Path, name: str) -> None:
    """Remove one entry of a folder, with all that is in it. Of a link only the link goes, never what it leads to."""
    if not name or Path(name).name != name or name in (".", ".."):
        raise ValueError(f"'{name}' is not the name of one entry of {folder}")
    path = folder / name
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, onerror=_unless_it_went)


def remove_upload(uploads: Path, path: str) -> None:
    """Remove an uploaded file by its path in the uploads folder, and its folder once that is empty."""
    folder, _, name = path.partition("/")
    if (uploads / folder).is_symlink():
        return
    remove_within(uploads / folder, name)
    with contextlib.suppress(OSError):  # another file has the same beginning of its hash, or has just come
        (uploads / folder).rmdir()


def _unless_it_went(_function, _path, error) -> None:
    if not isinstance(error[1], FileNotFoundError):  # somebody else removes it too
        raise error[1]


def _files(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Every file under these paths; links are neither followed nor counted."""
    for path in paths:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            yield from _files_in(path)
        elif stat.S_ISREG(found.st_mode):
            yield found


def _files_in(folder: Path | str) -> Iterator[os.stat_result]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_in(entry.path)
        elif entry.is_file(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):  # it went while we were looking
                yield entry.stat(follow_symlinks=False)


def _entries(folder: Path | str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
