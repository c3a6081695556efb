"""Certificates of adapters for every kind of task, trained for a few steps on tiny models, and what goes wrong on the way."""

import json
import threading
import zipfile

import pytest

from jobs.certificate.certifying import FILE, Certifier, ask_certificate, certify_here, execute_certificate
from jobs.certificate.wanted import Wanted, read_wanted
from jobs.checksums import check_adapter, first_damaged, written_sums
from jobs.export import checked_zip, remove_published
from jobs.janitor import ADAPTER_NAME as JANITOR
from jobs.recipe_reader import read_recipe
from jobs.services import open_services
from jobs.submit import submit
from storage.problems import StudioError
from storage.settings import StudioSettings
from tests.in_process import strike, train_here

SMALL = {"rows": 8, "answers": 2, "answer_tokens": 4}
WORDS = ["apple", "river", "stone", "cloud", "lamp", "bread", "train", "glass"]
ROWS = {
    "preference": [{"prompt": f"Say {word}", "chosen": f"{word}!", "rejected": "no"} for word in WORDS] * 2,
    "classification": [{"text": f"{kind} {word}", "label": kind} for word in WORDS for kind in ("good", "bad")],
    "regression": [{"text": f"number {number}", "score": number / 4} for number in range(16)],
    "tokens": [{"tokens": ["a", word], "tags": ["O", "B-thing"]} for word in WORDS] * 2,
    "pairs": [{"anchor": f"what is {word}?", "positive": f"a {word}"} for word in WORDS] * 2,
}
TASKS = {"preference": "text-generation", "classification": "text-classification", "regression": "text-classification",
         "tokens": "token-classification", "pairs": "sentence-similarity"}
SCORES = {"preference": ["reward_accuracy"], "classification": ["accuracy", "macro_f1"], "regression": ["rmse"],
          "tokens": ["f1", "accuracy"], "pairs": ["accuracy"]}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """One home for all tests here, which is what makes one training enough for most of them."""
    return open_services(StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("certificates"))}))


def trained(services, base, source, format="messages", **more):
    columns = {part: part for part in ROWS[format][0]} if format in ROWS else {}
    dataset = {"source": str(source), "format": format, "columns": columns, "validation": 6}
    recipe = read_recipe({"base_model": str(base), "dataset": dataset, "seed": 1, **more,
                          "training": {"max_steps": 3, "batch_size": 4, "max_length": 64, "learning_rate": 0.01}})
    run = submit(services, recipe)
    train_here(services)
    run = services.runs.get(run.id)
    assert run.state == "finished", run.problem
    return run


@pytest.fixture(scope="module")
def chatting(services, tiny_llama, chats):
    return trained(services, tiny_llama, chats)


def files_of(services, run_id: str) -> set[str]:
    return {path.name for path in services.settings.adapters_dir.iterdir() if path.name.startswith((run_id, "."))}


@pytest.mark.parametrize("format", ROWS)
def test_every_task_is_measured_by_its_own_scores(services, tiny_llama, tiny_bert, tmp_path, format):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS[format]))
    task = TASKS[format]
    run = trained(services, tiny_llama if task == "text-generation" else tiny_bert, source, format, task=task)
    made = certify_here(services, run.id, Wanted(**SMALL))
    scores = [figure for figure in made.report["figures"] if figure["name"] == "score"]
    assert [figure["score"] for figure in scores][:len(SCORES[format])] == SCORES[format]
    assert all(figure["rows"] == 6 for figure in scores)
    checks = {check["name"]: check for check in made.report["checks"]}
    assert checks["score"]["passed"] is not None
    writes = task == "text-generation"
    assert (checks["forgetting"]["passed"] is None, checks["empty"]["passed"] is None) == (not writes, not writes)


def test_the_loss_is_that_of_the_training(services, chatting):
    made = certify_here(services, chatting.id, Wanted(**SMALL))
    figure = made.report["figures"][0]
    assert figure["measured"] == pytest.approx(chatting.eval_loss, rel=0.01)
    assert figure["base"] == pytest.approx(chatting.eval_loss_before, rel=0.01)


def test_a_certificate_is_in_the_folder_the_zip_and_the_card_and_made_anew_in_its_place(services, chatting):
    adapters = services.settings.adapters_dir
    wanted = read_wanted({**SMALL, "prompts": [{"prompt": "Say lamp", "expected": "zzz"}], "groups": [["Say lamp", "Say: lamp"]]})
    for _ in range(2):
        before = services.adapters.get(chatting.id)
        made = certify_here(services, chatting.id, wanted)
        adapter = services.adapters.get(chatting.id)
        assert adapter.folder != before.folder
        assert files_of(services, chatting.id) == {adapter.folder, adapter.zip_name}
        folder = check_adapter(adapters, adapter)
        assert not first_damaged(folder, written_sums(folder)) and len(written_sums(folder)) == len(adapter.files) - 1
        assert json.loads((folder / FILE).read_text()) == made.report
        assert (folder / "README.md").read_text().count("## Certificate") == 1
        with zipfile.ZipFile(checked_zip(services, adapter)) as archive:
            assert sorted(archive.namelist()) == sorted(file["name"] for file in adapter.files)
    assert made.passed is False and [check["name"] for check in made.report["checks"] if check["passed"] is False][-1] != "score"
    assert [(one["found"], one["group"]) for one in made.report["answers"]] == [(False, None), (None, 0), (None, 0)]


@pytest.mark.parametrize("point", ["certificate.progress:2", "republish.zipped:1", "republish.folder:1", "certificate.published:1"])
def test_what_breaks_off_leaves_the_adapter_as_it_was(services, chatting, monkeypatch, point):
    before = services.adapters.get(chatting.id)
    strike(monkeypatch, point, "raise")
    with pytest.raises(StudioError, match="could not be made"):
        certify_here(services, chatting.id, Wanted(**SMALL))
    assert services.certificates.find(chatting.id).state == "failed"
    assert services.adapters.get(chatting.id) == before and checked_zip(services, before)
    more = files_of(services, chatting.id) - {before.folder, before.zip_name}
    for name in more:  # which the janitor removes
        assert point.startswith("certificate.published") and JANITOR.fullmatch(name)
        remove_published(services.settings.adapters_dir, {"folder": name, "zip_name": name})


def test_who_asks_anew_meanwhile_is_served_and_the_earlier_measurement_thrown_away(services, chatting):
    asked = services.certificates.ask(chatting.id, Wanted(**SMALL).model_dump(mode="json"), here=True)
    assert services.certificates.waiting() == [], "nobody else takes it up"
    before = services.adapters.get(chatting.id)
    anew = ask_certificate(services, chatting.id, Wanted(**SMALL))
    execute_certificate(services, asked, "cpu")
    assert services.certificates.find(chatting.id) == anew and services.adapters.get(chatting.id) == before
    claimed = services.certificates.claim(chatting.id)
    execute_certificate(services, claimed, "cpu")
    assert services.certificates.find(chatting.id).state == "finished"


def test_a_process_that_dies_fails_its_certificate_with_a_sentence(services, chatting):
    certifier = Certifier(services, threading.Event(), {"cpu": threading.Lock()})
    asked = services.certificates.ask(chatting.id, {}, here=True)
    certifier._answer_crash(asked, -9)
    failed = services.certificates.find(chatting.id)
    assert failed.state == "failed" and "was ended by signal 9. The memory may be too small" in failed.problem
    certifier._answer_crash(asked, 1)
    assert services.certificates.find(chatting.id) == failed, "it has ended already"


def test_a_damaged_file_and_data_that_is_gone_are_told(services, chatting):
    for dataset in services.datasets.all():
        services.trash.delete("dataset", dataset.id)
    made = certify_here(services, chatting.id, Wanted(**SMALL))
    score = made.report["checks"][0]
    assert score["passed"] is None and "validation data cannot be read" in score["words"]
    adapter = services.adapters.get(chatting.id)
    (services.settings.adapters_dir / adapter.folder / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(StudioError, match="is damaged or gone"):
        certify_here(services, chatting.id, Wanted(**SMALL))
