"""Checkpoint folders: which are trusted, which stay, and which go."""

import json

import pytest

from jobs import checkpoints


@pytest.fixture
def folder(tmp_path):
    def make(attempt: int, step: int, sealed: bool = True, **notes):
        folder = tmp_path / f"attempt-{attempt}" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(b"weights of %d" % step)
        if sealed:
            checkpoints.seal(folder, {"tokens": step, **notes})
        return folder
    return make


def left(checkpoints_dir) -> set[str]:
    return {str(path.relative_to(checkpoints_dir)) for path in checkpoints_dir.glob("*/*")}


def test_the_newest_is_the_one_with_the_most_steps_and_attempts_count_as_numbers(folder, tmp_path):
    folder(2, 20)
    newest = folder(10, 20)
    folder(9, 20)
    folder(11, 10)
    assert checkpoints.newest(tmp_path) == newest
    assert checkpoints.step_of(newest) == 20 and checkpoints.notes_of(newest) == {"tokens": 20}


@pytest.mark.parametrize("damage", ["partial", "flipped", "shorter", "gone", "manifest cut", "manifest empty"])
def test_a_damaged_or_partial_folder_is_ignored(folder, tmp_path, damage):
    whole = folder(1, 10)
    broken = folder(1, 20, sealed=damage != "partial")
    weights, manifest = broken / "adapter_model.safetensors", broken / checkpoints.MANIFEST
    if damage == "flipped":
        weights.write_bytes(b"Weights of 20")
    elif damage == "shorter":
        weights.write_bytes(b"weights")
    elif damage == "gone":
        weights.unlink()
    elif damage == "manifest cut":
        manifest.write_text(manifest.read_text()[:-5])
    elif damage == "manifest empty":
        manifest.write_text(json.dumps([]))
    assert checkpoints.newest(tmp_path) == whole
    assert checkpoints.of_step(tmp_path, 20) is None


def test_of_all_attempts_the_newest_few_stay_and_the_best_beside_them(folder, tmp_path):
    for step in (10, 20, 30):
        folder(1, step)
    folder(2, 40)
    sealed = folder(10, 50)
    checkpoints.rotate(sealed, keep=2, best_step=10)
    assert left(tmp_path) == {"attempt-10/checkpoint-50", "attempt-2/checkpoint-40", "attempt-1/checkpoint-10"}


def test_one_kept_checkpoint_is_the_last_one_and_not_a_damaged_one_before_it(folder, tmp_path):
    damaged = folder(1, 50)
    (damaged / "adapter_model.safetensors").unlink()
    folder(1, 40)
    folder(1, 45, sealed=False)
    sealed = folder(2, 42)
    checkpoints.rotate(sealed, keep=1, best_step=None)
    assert left(tmp_path) == {"attempt-2/checkpoint-42"}


def test_a_late_attempt_leaves_a_later_ones_folders_alone(folder, tmp_path):
    folder(2, 30)
    folder(2, 40, sealed=False)
    folder(1, 10)
    checkpoints.rotate(folder(1, 35), keep=1, best_step=None)
    assert left(tmp_path) == {"attempt-1/checkpoint-35", "attempt-2/checkpoint-30", "attempt-2/checkpoint-40"}


@pytest.mark.parametrize("with_best", [False, True])
def test_an_ended_run_keeps_its_last_whole_state_and_a_stopped_one_its_best_too(folder, tmp_path, with_best):
    folder(1, 5)
    folder(1, 10)
    folder(2, 20, adapter_step=10)
    folder(3, 30, sealed=False)
    checkpoints.keep_last(tmp_path, with_best)
    assert left(tmp_path) == {"attempt-2/checkpoint-20"} | ({"attempt-1/checkpoint-10"} if with_best else set())


def test_the_adapter_takes_the_best_checkpoints_weights_while_they_are_there(folder, tmp_path):
    best = folder(1, 10)
    last = folder(2, 30, adapter_step=10)
    assert checkpoints.for_adapter(last) == best
    (best / "adapter_model.safetensors").unlink()
    assert checkpoints.for_adapter(last) == last
    assert checkpoints.for_adapter(folder(2, 40)) == tmp_path / "attempt-2/checkpoint-40"
