"""Every failure has a class and a next step, and leaves its traceback in the run's log."""

import errno

import pytest

from jobs.failures import FAILURES, classify, next_recipe, next_step
from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from storage.problems import DataInvalid, LossDiverged, StudioError
from storage.records import RunState
from tests.small_disk import small_disk

CLASSES = {"user_config", "data_invalid", "gpu_oom", "host_oom", "disk_full", "network", "auth_hub", "artefact_corrupt", "timeout",
           "worker_lost", "bug"}


def test_every_class_says_what_it_is_and_what_to_do_next():
    assert set(FAILURES) == CLASSES
    for kind, known in FAILURES.items():
        assert known.title and known.next_step.endswith("."), kind


def raised(*links: BaseException) -> BaseException:
    """Errors as they are raised, each from the one before it."""
    for cause, error in zip(links, links[1:], strict=False):
        error.__cause__ = cause
    return links[-1]


def with_response(error: Exception, status: int) -> Exception:
    error.response = type("Response", (), {"status_code": status})()
    return error


def errors():
    import httpx
    import torch
    from safetensors import SafetensorError

    return [
        ("user_config", LossDiverged("The loss became nan.")),
        ("data_invalid", DataInvalid("No row can be used.")),
        ("gpu_oom", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")),
        ("gpu_oom", RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")),
        ("gpu_oom", raised(torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("a layer failed"))),
        ("host_oom", MemoryError()),
        ("host_oom", RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                                  "tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)")),
        ("disk_full", OSError(errno.ENOSPC, "No space left on device")),
        ("disk_full", SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")),
        ("artefact_corrupt", SafetensorError("Error while deserializing header: invalid JSON in header")),
        ("artefact_corrupt", raised(SafetensorError("header too large"), OSError("Unable to load weights from the checkpoint"))),
        ("network", httpx.ConnectError("Name or service not known")),
        ("network", ConnectionResetError(104, "Connection reset by peer")),
        ("timeout", httpx.ReadTimeout("The read operation timed out")),
        ("timeout", TimeoutError("timed out")),
        ("auth_hub", with_response(httpx.HTTPError("Client error '403 Forbidden'"), 403)),
        ("bug", ValueError("too many values to unpack")),
    ]


@pytest.mark.parametrize("kind, error", errors(), ids=lambda value: value if isinstance(value, str) else type(value).__name__)
def test_an_error_is_told_by_its_class(kind, error):
    failure = classify(error)
    assert failure.kind == kind
    assert failure.problem and "\n" not in failure.problem
    if isinstance(error, StudioError):
        assert failure.problem == str(error)


def test_memory_that_cannot_be_had_is_told_by_the_real_allocator():
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert classify(caught.value).kind == "host_oom"


def test_a_full_disk_is_told_apart_from_a_bug(tmp_path):
    import torch
    from safetensors.torch import save_file

    weights = {"weight": torch.zeros(1_000_000)}
    with small_disk(tmp_path / "full", megabytes=1) as full:
        for write in (lambda: save_file(weights, full / "a.safetensors"), lambda: torch.save(weights, full / "b.pt"),
                      lambda: (full / "c.txt").write_bytes(bytes(4_000_000))):
            with pytest.raises(Exception) as caught:
                write()
            assert classify(caught.value).kind == "disk_full", caught.value


def test_a_damaged_file_is_told_apart_from_a_full_disk(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    weights = {"weight": torch.zeros(1000)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "b.pt")
    for path, read in ((tmp_path / "a.safetensors", load_file), (tmp_path / "b.pt", torch.load)):
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(Exception) as caught:
            read(path)
        assert classify(caught.value).kind == "artefact_corrupt", caught.value


@pytest.fixture
def failed(services, tiny_llama, chats):
    def failed(kind: str, after_a_step: bool = False, longest_row: int | None = None):
        run = submit(services, read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                                            "training": {"learning_rate": 1e-3, "max_length": 128}}))
        run = services.leases.claim(run.id, "here")
        services.leases.beat(run.id, run.fence, **({"training_since": 1.0} if after_a_step else {}),
                             data={**run.data, "longest_row": longest_row})
        services.leases.end(run.id, run.fence, RunState.FAILED, problem="It failed.", problem_kind=kind)
        return services.runs.get(run.id)
    return failed


def test_a_run_again_changes_what_the_failure_asks_for(failed):
    assert next_recipe(failed("user_config", after_a_step=True)).training.learning_rate == pytest.approx(1e-4)
    assert next_recipe(failed("user_config")).training.learning_rate == 1e-3, "it never came to a loss"
    assert next_recipe(failed("gpu_oom")).training.max_length == 64
    assert next_recipe(failed("host_oom", longest_row=40)).training.max_length == 20
    run = failed("bug")
    assert next_recipe(run).model_dump() == run.recipe
    assert next_step(run) == FAILURES["bug"].next_step
