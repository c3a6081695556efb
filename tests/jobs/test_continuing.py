"""Going on from ended runs, and starting from adapters."""

import json
import shutil

import pytest

from jobs import checkpoints
from jobs.continuing import can_continue, continue_run
from jobs.devices import DeviceFacts
from jobs.export import copy_zip
from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from storage.problems import ArtefactCorrupt, CannotContinue, RecipeInvalid
from storage.records import Request, RunState
from tests.in_process import strike, train_here, weights_of

STEPS = {"max_steps": 8, "batch_size": 8, "learning_rate": 1e-2, "save_steps": 3}


@pytest.fixture
def recipe(tiny_llama, chats):
    def recipe(**changes):
        return read_recipe({"name": "try", "base_model": str(tiny_llama), "dataset": {"source": str(chats)}, "training": STEPS,
                            "method_settings": {"r": 8, "lora_dropout": 0.1}, **changes})
    return recipe


@pytest.fixture
def trained(services, recipe):
    """A run that has ended by itself."""
    def trained(**changes):
        run = submit(services, recipe(**changes))
        train_here(services)
        run = services.runs.get(run.id)
        assert (run.state, run.problem) == (RunState.FINISHED, "")
        return run
    return trained


def stop_at(monkeypatch, services, step: int) -> None:
    """Ask the running run to stop, at that step exactly."""
    from jobs.training.report import Report

    progress = Report.progress

    def asking(report, now, total):
        progress(report, now, total)
        if now == step:
            services.queue.ask(report.run.id, Request.STOP)
            report.flush()

    monkeypatch.setattr(Report, "progress", asking)


def test_a_run_that_was_stopped_and_continued_ends_as_one_that_never_was(services, recipe, trained, monkeypatch):
    whole = trained()
    old = submit(services, recipe())
    with monkeypatch.context() as patch:
        stop_at(patch, services, 5)
        train_here(services)
    old = services.runs.get(old.id)
    assert (old.state, old.step) == (RunState.STOPPED, 5) and can_continue(services, old)

    new = continue_run(services, old.id, submission_key="once")
    assert continue_run(services, old.id, submission_key="once").id == new.id
    assert (new.state, new.continues, new.step, new.sweep_id) == (RunState.QUEUED, old.id, 5, None)
    assert {run.parent.parent.name for run in services.settings.runs_dir.glob("*/checkpoints/*")} == {whole.id, old.id, new.id}
    train_here(services)
    new = services.runs.get(new.id)
    assert (new.state, new.problem, new.step, new.attempts) == (RunState.FINISHED, "", 8, 1)
    here, there = weights_of(services, new.id), weights_of(services, whole.id)
    assert all((here[name] == there[name]).all() for name in there) and here.keys() == there.keys()
    assert new.eval_loss == whole.eval_loss and new.eval_loss_before == whole.eval_loss_before
    for name in ("loss", "eval_loss"):
        assert services.runs.metrics(new.id, [name]) == services.runs.metrics(whole.id, [name])
    assert services.runs.get(old.id) == old, "an end is an end"
    assert f"Continues the run 'try' ({old.id}) from step 5." in [line.text for line in services.runs.log_lines(new.id)]


def test_a_run_goes_on_in_the_number_format_that_it_began_in(services, recipe, monkeypatch):
    """Whatever its processor was measured to be quicker with meanwhile."""
    monkeypatch.setattr("jobs.training.process.device_facts", lambda device: DeviceFacts("cpu", bf16=True, bf16_from=1))
    old = submit(services, recipe())
    with monkeypatch.context() as patch:
        stop_at(patch, services, 5)
        train_here(services)
    assert services.runs.get(old.id).environment["precision"] == "bf16"
    monkeypatch.setattr("jobs.training.process.device_facts", lambda device: DeviceFacts("cpu", bf16=True, bf16_from=0))
    new, other = continue_run(services, old.id), submit(services, recipe())
    train_here(services)
    train_here(services)
    gone_on, begun = (services.runs.get(run.id).environment for run in (new, other))
    assert gone_on["precision"] == gone_on["base_precision"] == "bf16" and begun["precision"] == "fp32"
    assert any("wide enough to be faster" in line.text for line in services.runs.log_lines(new.id))


def test_a_finished_run_goes_on_for_more_when_it_is_said_how_far(services, trained):
    old = trained(training={**STEPS, "max_steps": 0, "epochs": 1})
    with pytest.raises(CannotContinue, match=f"has finished, at step 5 after 1 epochs. .* runs resume {old.id} --epochs 2"):
        continue_run(services, old.id)
    with pytest.raises(CannotContinue, match="has seen 1 epochs, so it cannot go on to 0.5"):
        continue_run(services, old.id, epochs=0.5)
    with pytest.raises(CannotContinue, match="is at step 5, so it cannot go on to step 5"):
        continue_run(services, old.id, max_steps=5)
    new = continue_run(services, old.id, epochs=2)
    train_here(services)
    new = services.runs.get(new.id)
    assert (new.state, new.problem, new.step, new.total_steps) == (RunState.FINISHED, "", 10, 10)
    assert new.eval_loss < old.eval_loss
    assert [point.step for point in services.runs.metrics(new.id, ["loss"])] == list(range(1, 11))
    third = continue_run(services, new.id, max_steps=12)
    train_here(services)
    assert services.runs.get(third.id).step == 12
    card = (services.settings.adapters_dir / services.adapters.get(third.id).folder / "README.md").read_text()
    assert f"the run {new.id}" in card


def test_a_run_that_has_not_ended_or_left_nothing_is_not_continued(services, recipe):
    run = submit(services, recipe())
    with pytest.raises(CannotContinue, match="is queued. Stop it first"):
        continue_run(services, run.id)
    services.queue.ask(run.id, Request.CANCEL)
    assert not can_continue(services, services.runs.get(run.id))
    with pytest.raises(CannotContinue, match="was cancelled, and its checkpoints were thrown away. Run it again"):
        continue_run(services, run.id)


@pytest.fixture
def own_base(tiny_llama, tmp_path):
    """A base model that a test may change."""
    return shutil.copytree(tiny_llama, tmp_path / "own-base")


def change_base(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))


def change_data(services) -> None:
    path = next(services.settings.uploads_dir.glob("*/chats.jsonl"))
    path.write_text(path.read_text().replace("apple", "other"))


def test_continuing_is_refused_when_the_base_model_or_the_data_changed(services, trained, own_base):
    run = trained(base_model=str(own_base))
    content = next(services.settings.uploads_dir.glob("*/chats.jsonl")).read_bytes()
    change_data(services)
    with pytest.raises(ArtefactCorrupt, match="The file 'chats.jsonl' .* is not what was uploaded"):
        continue_run(services, run.id, max_steps=9)
    next(services.settings.uploads_dir.glob("*/chats.jsonl")).write_bytes(content)
    change_base(own_base)
    with pytest.raises(ArtefactCorrupt, match="The base model 'own-base' was changed since this run began"):
        continue_run(services, run.id, max_steps=9)
    assert services.queue.count() == 0


@pytest.mark.parametrize("what", ["base", "data"])
def test_a_later_attempt_is_refused_when_the_base_model_or_the_data_changed(services, recipe, own_base, monkeypatch, tmp_path,
                                                                                what):
    run = submit(services, recipe(base_model=str(own_base)))
    strike(monkeypatch, "training.forward:5", "oom", once=tmp_path / "struck")
    claim = services.leases.claim_next

    def change_then_claim(*values):
        if services.runs.get(run.id).attempts == 1:
            change_base(own_base) if what == "base" else change_data(services)
        return claim(*values)

    monkeypatch.setattr(services.leases, "claim_next", change_then_claim)
    train_here(services)
    ended = services.runs.get(run.id)
    assert (ended.state, ended.problem_kind, ended.attempts) == (RunState.FAILED, "artefact_corrupt", 2)
    assert ("base model 'own-base' was changed" if what == "base" else "'chats.jsonl'") in ended.problem


# ---- starting from an adapter


@pytest.mark.parametrize("method", ["lora", "ia3", "prompt-tuning"])
def test_a_run_trains_on_from_an_adapter_with_its_settings_and_says_so(services, trained, recipe, method):
    settings = {"r": 4, "target_modules": ["q_proj"]} if method == "lora" else {}
    training = {**STEPS, "max_steps": 20, "learning_rate": 2e-2}
    first = trained(method=method, method_settings=settings, training=training)
    again = submit(services, recipe(method=method, method_settings={}, start_from=first.id,
                                    training={**training, "learning_rate": 1e-9, "schedule": "constant", "warmup": 0}))
    if method == "lora":
        assert again.recipe["method_settings"]["r"] == 4 and again.recipe["method_settings"]["target_modules"] == ["q_proj"]
    train_here(services)
    again = services.runs.get(again.id)
    assert (again.state, again.problem) == (RunState.FINISHED, "")
    assert again.eval_loss == pytest.approx(first.eval_loss, abs=1e-3), "it starts where the other ended"
    assert again.eval_loss_before == pytest.approx(first.eval_loss_before, abs=1e-5), "before is the base model alone"
    adapter = services.adapters.get(again.id)
    card = (services.settings.adapters_dir / adapter.folder / "README.md").read_text()
    assert f"the adapter try, SHA-256 `{again.base['adapter']['sha256']}`" in card
    assert first.id not in (services.settings.adapters_dir / adapter.folder / "recipe.yaml").read_text()


def test_an_unpacked_zip_can_be_started_from_and_a_classifier_keeps_its_head(services, tiny_bert, labelled, tmp_path):
    values = {"base_model": str(tiny_bert), "task": "text-classification", "dataset": {"source": str(labelled)},
              "training": {"epochs": 8, "learning_rate": 0.02}}
    first = submit(services, read_recipe(values))
    train_here(services)
    first = services.runs.get(first.id)
    shutil.unpack_archive(copy_zip(services, first.id, tmp_path), tmp_path / "unpacked")
    again = submit(services, read_recipe({**values, "start_from": str(tmp_path / "unpacked"),
                                          "training": {"max_steps": 1, "learning_rate": 1e-9}}))
    train_here(services)
    again = services.runs.get(again.id)
    assert (again.state, again.problem) == (RunState.FINISHED, "")
    assert again.eval_loss == pytest.approx(first.eval_loss, abs=1e-3)
    folder = services.settings.adapters_dir / services.adapters.get(again.id).folder
    assert str(tmp_path) not in (folder / "recipe.yaml").read_text()

    other = tmp_path / "other.csv"
    other.write_text("text,label\n" + "\n".join(f"row {row},{'yes' if row % 2 else 'no'}" for row in range(30)))
    with pytest.raises(RecipeInvalid, match="knows the labels down, flat, up, and the data has no, yes"):
        submit(services, read_recipe({**values, "dataset": {"source": str(other)}, "start_from": first.id}))


def test_an_adapter_that_does_not_fit_is_refused_with_all_the_reasons(services, trained, recipe, own_base, tmp_path):
    first = trained()
    change_base(own_base)
    with pytest.raises(RecipeInvalid) as caught:
        submit(services, recipe(start_from=first.id, method="ia3", method_settings={}, base_model=str(own_base)))
    assert "which is LORA, and method is 'ia3' (IA3)" in str(caught.value)
    assert "was trained on another base model" in str(caught.value)
    with pytest.raises(RecipeInvalid, match="start_from is 'nowhere', which is neither"):
        submit(services, recipe(start_from="nowhere"))


def test_an_adapter_that_was_changed_after_the_run_was_accepted_is_not_trained_on(services, trained, recipe, tmp_path):
    first = trained()
    folder = shutil.copytree(services.settings.adapters_dir / services.adapters.get(first.id).folder, tmp_path / "mine")
    run = submit(services, recipe(start_from=str(folder)))
    weights = bytearray((folder / "adapter_model.safetensors").read_bytes())
    weights[-5] ^= 1
    (folder / "adapter_model.safetensors").write_bytes(weights)
    train_here(services)
    ended = services.runs.get(run.id)
    assert (ended.state, ended.problem_kind) == (RunState.FAILED, "artefact_corrupt")
    assert checkpoints.newest(services.settings.runs_dir / run.id / "checkpoints") is None
