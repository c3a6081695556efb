import pytest

from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, load_examples, submit
from jobs.uploads import keep_files
from storage.problems import DiskFull, NotFound, RecipeInvalid
from storage.records import RunState


@pytest.fixture
def recipe(tiny_llama, chats):
    def recipe(**changes):
        return read_recipe({"name": "try", "base_model": str(tiny_llama), "dataset": {"source": str(chats)}, **changes})
    return recipe


def test_an_accepted_run_waits_with_all_that_is_needed_to_repeat_it(services, recipe):
    run = submit(services, recipe())
    assert run.state == RunState.QUEUED and services.bell.pending() == 1
    assert run.data["rows"] == 40 and run.data["train_rows"] == 36 and run.data["validation_rows"] == 4
    assert run.recipe["dataset"]["format"] == "messages" and len(run.data["sha256"]) == 64
    assert run.base["architecture"] == "LlamaForCausalLM"
    data, train, validation = load_examples(services, read_recipe(run.recipe))
    assert (len(train), len(validation)) == (36, 4)


def test_the_data_outlives_the_file_it_came_from(services, tiny_llama, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text("question,answer\n" + "\n".join(f"what is {n}?,it is {n}" for n in range(30)))
    run = submit(services, read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(source)}}))
    source.unlink()
    assert len(load_examples(services, read_recipe(run.recipe))[1]) == 27


def test_the_same_content_is_kept_once(services, chats, tmp_path):
    twin = tmp_path / chats.name
    twin.write_bytes(chats.read_bytes())
    assert keep_files(services, [chats]).id == keep_files(services, [twin]).id


def test_every_problem_is_said_at_once_and_nothing_is_queued(services, recipe):
    with pytest.raises(RecipeInvalid) as caught:
        submit(services, recipe(base_model="nowhere-model", dataset={"source": "missing.csv"}, task="text-classification",
                                training={"packing": True}))
    text = str(caught.value)
    assert "nowhere-model" in text and "missing.csv" in text and "packing" in text
    assert services.runs.search() == [] and services.bell.pending() == 0


def test_a_model_that_does_not_serve_the_task_is_refused(services, tiny_bert, chats):
    with pytest.raises(RecipeInvalid, match="does not serve the task 'text-generation'"):
        check_recipe(services, read_recipe({"base_model": str(tiny_bert), "dataset": {"source": str(chats)}}))


def test_a_longest_row_beyond_the_model_means_the_model_s_own(services, recipe):
    checked = check_recipe(services, recipe(training={"max_length": 100_000}))
    assert checked.recipe.training.max_length == checked.facts.context_length == 256


def test_a_full_disk_is_said_before_anything_is_queued(tmp_path, recipe):
    from jobs.services import open_services
    from storage.settings import StudioSettings

    services = open_services(StudioSettings.from_env(
        {"STUDIO_HOME": str(tmp_path), "STUDIO_FREE_SPACE_FLOOR": str(10**18)}))
    with pytest.raises(RecipeInvalid, match="GB free, and .* GB are needed. Delete runs or data"):
        submit(services, recipe())
    with pytest.raises(DiskFull):
        keep_files(services, [tmp_path / "studio.db"])


def test_an_upload_that_somebody_removed_is_named(services, recipe):
    run = submit(services, recipe())
    for path in services.settings.uploads_dir.rglob("*.jsonl"):
        path.unlink()
    with pytest.raises(NotFound, match="chats.jsonl"):
        load_examples(services, read_recipe(run.recipe))
