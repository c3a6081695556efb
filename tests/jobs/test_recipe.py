import pytest
import yaml

from jobs.methods import METHODS, describe, find_method
from jobs.recipe import DatasetChoice, Recipe, TrainingSettings
from jobs.recipe_reader import read_recipe, read_recipe_file
from storage.problems import RecipeInvalid

SMALLEST = {"base_model": "demo-base", "dataset": {"source": "data.jsonl"}}


def test_the_smallest_recipe_is_a_model_and_data():
    recipe = read_recipe(SMALLEST)
    assert (recipe.method, recipe.task, recipe.training.learning_rate) == ("lora", "text-generation", 2e-4)


def test_a_recipe_survives_its_way_through_yaml():
    recipe = read_recipe({**SMALLEST, "method": "ia3", "training": {"learning_rate": "2e-4", "epochs": 1}})
    assert read_recipe(yaml.safe_load(recipe.to_yaml())) == recipe
    assert recipe.training.learning_rate == 2e-4


def test_everything_wrong_is_said_at_once_with_the_value_and_what_to_do():
    with pytest.raises(RecipeInvalid) as caught:
        read_recipe({"base_model": "", "dataset": {"source": "x", "fromat": "auto"}, "task": "poetry", "quantization": "nf3",
                     "training": {"batch_size": 0, "lerning_rate": 1, "epochs": "many"}, "seed": -1})
    assert caught.value.problems == [
        "base_model is empty. Fill it in.",
        "task is 'poetry'. Choose one of text-generation, text-classification, token-classification or sentence-similarity.",
        "'dataset.fromat' is not a setting. Did you mean 'format'?",
        "quantization is 'nf3'. Choose one of none, int8, nf4 or fp4.",
        "training.epochs is 'many'. It must be a number.",
        "training.batch_size is 0. It must be at least 1.",
        "'training.lerning_rate' is not a setting. Did you mean 'learning_rate'?",
        "seed is -1. It must be at least 0."]


@pytest.mark.parametrize("change, said", [
    ({"method": "lorra"}, "method is 'lorra', which is not in the catalogue. Did you mean 'lora'?"),
    ({"method_settings": {"r": 0}}, "method_settings.r is 0. It must be at least 1."),
    ({"method_settings": {"layers_to_transform": [1, "x"]}}, "layers_to_transform is 'x'. It must be a whole number."),
    ({"method_settings": {"rank_pattern": "8"}}, "method_settings.rank_pattern is '8'. It must be names with values"),
    ({"method_settings": {"rnk": 8}}, "'method_settings.rnk' is not a setting."),
    ({"method": "qlora", "quantization": "int8"}, "quantization is 'int8', and QLoRA takes only nf4, fp4."),
    ({"method": "prompt-tuning", "method_settings": {"prompt_tuning_init": "TEXT"}}, "prompt_tuning_init_text is empty"),
    ({"training": {"learning_rate": float("inf")}}, "training.learning_rate is 'inf'. It must be a number."),
    ({"dataset": None}, "'dataset' is missing. Add it to the recipe."),
])
def test_a_wrong_value_is_named(change, said):
    with pytest.raises(RecipeInvalid) as caught:
        read_recipe({**SMALLEST, **change})
    assert said in str(caught.value)


def test_qlora_takes_four_bits_by_itself():
    assert read_recipe({**SMALLEST, "method": "qlora"}).quantization == "nf4"


def test_paths_in_a_recipe_file_are_found_beside_it(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n")
    (tmp_path / "mine.yaml").write_text("base_model: demo-base\ndataset: {source: rows.csv, validation: none}\ntraining:\n")
    recipe = read_recipe_file(tmp_path / "mine.yaml")
    assert recipe.dataset.source == str(tmp_path / "rows.csv")
    assert (recipe.name, recipe.base_model, recipe.dataset.validation) == ("mine", "demo-base", "none")


@pytest.mark.parametrize("content, said", [
    (None, "There is no file"), ("a: [", "is not a YAML file"), ("just text", "not a list of settings")])
def test_a_file_that_is_no_recipe_is_said_to_be_none(tmp_path, content, said):
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeInvalid, match=said):
        read_recipe_file(path)


@pytest.mark.parametrize("schema", [Recipe, DatasetChoice, TrainingSettings, *(method.settings for method in METHODS.values())],
                         ids=lambda schema: schema.__name__)
def test_every_setting_has_a_title_and_explains_itself(schema):
    for name, field in schema.model_fields.items():
        if name not in ("dataset", "training"):
            assert field.title and field.description, name


@pytest.mark.parametrize("name", METHODS)
def test_every_method_describes_itself(name):
    described = describe(find_method(name))
    assert described["summary"].endswith(".") and described["choose_when"].endswith(".")
    assert set(described["capabilities"]["quantizations"]) <= {"none", "int8", "nf4", "fp4"}
