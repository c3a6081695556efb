"""The form made from the schemas."""

import gradio as gr
import pytest

from jobs.methods import METHODS
from jobs.methods.ia3 import Ia3Settings
from jobs.methods.lora import LoraSettings
from jobs.methods.prompt_tuning import PromptTuningSettings
from jobs.recipe import Recipe, TrainingSettings
from jobs.recipe_reader import read_recipe, read_recipe_file
from studio.fields import field_component, from_form, to_form
from studio.recipe_form import SettingsForm, by_titles, read_validation
from studio.train_page import EXAMPLE


@pytest.fixture
def form():
    with gr.Blocks():
        form = SettingsForm()
        form.build("lora")
    return form


def test_the_type_of_a_setting_decides_its_field():
    with gr.Blocks():
        kinds = {name: type(field_component(TrainingSettings, name)).__name__ for name in TrainingSettings.model_fields}
    assert kinds["epochs"] == kinds["learning_rate"] == kinds["max_length"] == "Number"
    assert kinds["schedule"] == kinds["optimizer"] == "Dropdown"
    assert kinds["gradient_checkpointing"] == "Checkbox"


@pytest.mark.parametrize(
    ("schema", "name", "shown", "value"),
    [
        (LoraSettings, "target_modules", "all-linear", "all-linear"),
        (LoraSettings, "target_modules", "q_proj", ["q_proj"]),
        (LoraSettings, "target_modules", "q_proj, v_proj", ["q_proj", "v_proj"]),
        (Ia3Settings, "target_modules", "", None),
        (Ia3Settings, "target_modules", "k_proj", ["k_proj"]),
        (PromptTuningSettings, "prompt_tuning_init_text", "", None),
        (PromptTuningSettings, "prompt_tuning_init_text", "Be kind", "Be kind"),
        (TrainingSettings, "learning_rate", None, None),
        (TrainingSettings, "epochs", 2.5, 2.5),
    ],
)
def test_a_value_goes_into_its_field_and_comes_back(schema, name, shown, value):
    assert from_form(schema, name, shown) == value
    assert from_form(schema, name, to_form(schema, name, value)) == value


def test_an_emptied_number_is_told_by_its_name_on_the_page(form):
    recipe = {
        "base_model": "demo-base",
        "dataset": {"source": "x"},
        "training": {"epochs": from_form(TrainingSettings, "epochs", None)},
    }
    with pytest.raises(Exception) as problem:
        read_recipe(recipe)
    assert by_titles(problem.value.problems) == ["Epochs is ''. It must be a number."]


@pytest.mark.parametrize("method", METHODS)
def test_a_filled_form_reads_back_as_the_same_recipe(form, method):
    recipe = METHODS[method].complete(
        read_recipe_file(EXAMPLE).model_copy(update={"method": method, "method_settings": {}})
    )
    filled = form.fill(recipe)
    values = {field: filled.get(field, field.value) for field in form.components}
    again = read_recipe({**recipe.model_dump(mode="json"), **form.read(values, method)})
    assert again == recipe


def test_a_learning_rate_of_a_method_gives_way_and_a_typed_one_stays(form):
    assert form.switch("ia3", METHODS["lora"].learning_rate)[form.rate] == METHODS["ia3"].learning_rate
    assert form.switch("ia3", None)[form.rate] == METHODS["ia3"].learning_rate
    assert form.switch("ia3", 0.005)[form.rate] == 0.005


def test_methods_with_the_same_settings_share_their_fields(form):
    assert len(form.of_method) == len({method.settings for method in METHODS.values()})


@pytest.mark.parametrize(
    ("typed", "value"), [("0.1", 0.1), ("200", 200), (" None ", "none"), ("val.csv", "val.csv"), (None, "")]
)
def test_validation_is_a_share_a_count_or_words(typed, value):
    assert read_validation(typed) == value
    assert type(read_validation(typed)) is type(value)


def test_every_setting_of_the_recipe_has_its_place_in_the_form():
    elsewhere = {"name", "base_model", "task", "dataset", "method", "method_settings", "training"}
    assert set(Recipe.model_fields) - elsewhere == {"quantization", "seed"}
