"""The form made from the schemas."""

from dataclasses import replace
from typing import Any, Literal

import gradio as gr
import pytest

from jobs.methods import METHODS, MethodSettings
from jobs.recipe import Recipe, TrainingSettings
from jobs.recipe_reader import read_recipe, read_recipe_file
from studio.field_values import default_of, from_form, is_asked, kind_of, rules_of, to_form
from studio.fields import field_component, looks
from studio.method_step import CARDS, MethodStep, about_method, listed_methods
from studio.recipe_form import SettingsForm, by_titles, read_validation, setting_title
from studio.text import ENGLISH
from studio.train_page import EXAMPLE, recipe_of_link

LoraSettings, Ia3Settings = METHODS["lora"].settings, METHODS["ia3"].settings
PromptTuningSettings = METHODS["prompt-tuning"].settings
EVERY_SETTING = [(entry.settings, name) for entry in METHODS.values() for name in entry.settings.model_fields]


class Inner(MethodSettings):
    rho: float = 2.0
    layers: list[str] | None = None


class MadeUp(MethodSettings):
    """One setting for each sort of type that a config can have."""

    start: Literal["gaussian"] | bool = True
    shape: Literal["mlp", "lstm"] | None = None
    word: Literal["a", "b"] | str = "a"
    maybe: bool | None = None
    layers: int | list[int] | None = None
    names: list[str] | str | None = None
    ranks: dict[str, Any] = {}
    tokens: list[int] | dict[str, Any] | None = None
    inner: Inner | None = None
    mixed: int | float | str = "auto"
    must: str


@pytest.fixture(scope="module")
def form():
    with gr.Blocks():
        form = SettingsForm()
        form.build("lora")
    return form


def held(form, updates: dict, before: dict | None = None) -> dict:
    """What the fields hold after these updates."""
    values = dict(before or {field: field.value for field in form.components})
    for field, update in updates.items():
        if not isinstance(update, dict):
            values[field] = update
        elif "value" in update:
            values[field] = update["value"]
    return values


def chosen(form, method: str) -> dict:
    return held(form, form.touched(held(form, {}), method))


def put(form, values: dict, name: str, value: Any) -> dict:
    """The fields with something typed for a setting of the method."""
    return values | {form.of_method.place(values, name): value}


def test_the_type_of_a_setting_decides_its_field():
    with gr.Blocks():
        kinds = {name: type(field_component(TrainingSettings, name)).__name__ for name in TrainingSettings.model_fields}
    assert kinds["epochs"] == kinds["learning_rate"] == kinds["max_length"] == "Number"
    assert kinds["schedule"] == kinds["optimizer"] == "Dropdown"
    assert kinds["gradient_checkpointing"] == kinds["keep_best"] == "Checkbox"
    assert kinds["best_by"] == "Dropdown" and kinds["patience"] == kinds["keep_checkpoints"] == "Number"


@pytest.mark.parametrize(
    ("schema", "name", "shown", "value"),
    [
        (LoraSettings, "target_modules", "all-linear", "all-linear"),
        (LoraSettings, "target_modules", "q_proj", ["q_proj"]),
        (LoraSettings, "target_modules", "q_proj, v_proj", ["q_proj", "v_proj"]),
        (Ia3Settings, "target_modules", "", None),
        (Ia3Settings, "target_modules", "k_proj", ["k_proj"]),
        (Ia3Settings, "target_modules", "all-linear", "all-linear"),
        (Ia3Settings, "target_modules", ".*\\.(q|v)_proj", ".*\\.(q|v)_proj"),
        (Ia3Settings, "target_modules", "[qv]_proj", "[qv]_proj"),
        (PromptTuningSettings, "prompt_tuning_init_text", "", None),
        (PromptTuningSettings, "prompt_tuning_init_text", "Be kind", "Be kind"),
        (TrainingSettings, "learning_rate", None, None),
        (TrainingSettings, "epochs", 2.5, 2.5),
        (MadeUp, "start", "True", True),
        (MadeUp, "start", "gaussian", "gaussian"),
        (MadeUp, "shape", "None", None),
        (MadeUp, "word", "quite another", "quite another"),
        (MadeUp, "maybe", "False", False),
        (MadeUp, "layers", "3", 3),
        (MadeUp, "layers", "0, 1", [0, 1]),
        (MadeUp, "layers", "[3]", [3]),
        (MadeUp, "names", '"q_proj"', "q_proj"),
        (MadeUp, "ranks", "q_proj: 8, v_proj:16", {"q_proj": 8, "v_proj": 16}),
        (MadeUp, "ranks", '".*q_proj": 8', {".*q_proj": 8}),
        (MadeUp, "tokens", "5, 6", [5, 6]),
        (MadeUp, "tokens", "embed_tokens: [5, 6]", {"embed_tokens": [5, 6]}),
        (MadeUp, "inner", "rho: 0.5, layers: [a, b]", {"rho": 0.5, "layers": ["a", "b"]}),
        (MadeUp, "inner", "{}", {}),
        (MadeUp, "mixed", "0.9", 0.9),
        (MadeUp, "mixed", "12", 12),
        (MadeUp, "must", " as it is ", " as it is "),
    ],
)
def test_a_value_goes_into_its_field_and_comes_back(schema, name, shown, value):
    assert from_form(schema, name, shown) == value
    assert from_form(schema, name, to_form(schema, name, value)) == value


@pytest.mark.parametrize("value", [[], "q_proj", [" a, b"], "", ["all-linear"]])
def test_a_value_that_would_be_read_as_another_is_written_so_that_it_is_not(value):
    assert from_form(MadeUp, "names", to_form(MadeUp, "names", value)) == value


def test_every_default_of_every_method_goes_through_the_form():
    assert len(EVERY_SETTING) > 400
    for schema, name in EVERY_SETTING:
        value = default_of(schema, name)
        assert from_form(schema, name, to_form(schema, name, value)) == value, (schema.__name__, name)


def test_what_cannot_be_read_goes_to_the_schema_as_it_is():
    assert from_form(MadeUp, "ranks", "eight") == "eight"
    assert from_form(MadeUp, "layers", "first") == ["first"]


def test_a_field_tells_its_limits_and_how_lists_are_written():
    assert looks(LoraSettings, "r")["placeholder"] == "1 to 512"
    assert looks(LoraSettings, "rank_pattern")["placeholder"] == "such as q_proj: 8, v_proj: 16"
    assert looks(LoraSettings, "target_modules")["placeholder"] == "such as q_proj, v_proj"
    assert kind_of(MadeUp, "word").takes_other_words() and not kind_of(MadeUp, "shape").takes_other_words()


def test_an_emptied_number_is_told_by_its_name_on_the_page(form):
    recipe = {
        "base_model": "demo-base",
        "dataset": {"source": "x"},
        "training": {"epochs": from_form(TrainingSettings, "epochs", None)},
    }
    with pytest.raises(Exception) as problem:
        read_recipe(recipe)
    assert by_titles(problem.value.problems) == ["Epochs is ''. It must be a number."]


def test_a_setting_is_called_as_its_method_calls_it():
    assert setting_title("method_settings.r") == "Rank"
    assert setting_title("method_settings.r", ["hra"]) == "Reflections"
    assert by_titles(["method_settings.r is 0. More."], ["hra"]) == ["Reflections is 0. More."]


def test_a_filled_form_reads_back_as_the_same_recipe(form):
    example = read_recipe_file(EXAMPLE)
    for method, entry in METHODS.items():
        settings = entry.settings()
        recipe = example.model_copy(update={"method": method, "quantization": entry.quantizations[0],
                                            "method_settings": settings.model_dump(mode="json")})
        again = form.read(held(form, form.fill(recipe)), method, {"task": recipe.task})
        assert entry.settings(**again["method_settings"]) == settings, method
        assert Recipe.model_validate({**recipe.model_dump(), **again, "method_settings": recipe.method_settings}) == recipe


def test_every_method_has_a_field_for_every_setting_that_does_something(form):
    for method, entry in METHODS.items():
        for name in entry.settings.model_fields:
            for other, wanted in rules_of(entry.settings, name) or [("", [None])]:
                for value in wanted:  # with the settings it depends on at values that it needs
                    settings = entry.settings().model_dump() | ({other: value} if other in entry.settings.model_fields else {})
                    values = held(form, form.of_method.fill(method, settings))
                    asked = {of for of in settings if is_asked(entry.settings, of, settings)}
                    places = {of: form.of_method.place(values, of) for of in asked}
                    assert None not in places.values() and len(set(places.values())) == len(places), method
    assert len(form.of_method.components) < 60, "the page has as many fields as one method needs, not all of them"


def test_choosing_a_method_renames_the_fields_and_hides_the_spare_ones(form):
    shown = form.touched(held(form, {}), "ia3")
    fields = {update["label"]: update["value"] for update in shown.values() if isinstance(update, dict) and "label" in update}
    assert fields["Feed-forward layers"] == "" and fields["Start neutral"] is True and "Rank" not in fields
    rank = form.of_method.place(held(form, {}), "r")
    assert shown[rank] == gr.update(visible=False)


def test_what_was_typed_stays_for_the_methods_that_have_it(form):
    values = put(form, held(form, {}), "lora_alpha", 77)
    there = held(form, form.touched(values, "adalora"), values)
    assert form.read(there, "adalora")["method_settings"]["lora_alpha"] == 77
    assert form.read(there, "adalora")["method_settings"]["init_r"] == default_of(METHODS["adalora"].settings, "init_r")
    elsewhere = held(form, form.touched(values, "ia3"), values)
    assert "lora_alpha" not in form.read(elsewhere, "ia3")["method_settings"]
    back = held(form, form.touched(elsewhere, "lora"), elsewhere)
    assert form.read(back, "lora")["method_settings"]["lora_alpha"] == 77


def test_fields_are_read_for_the_method_they_were_shown_for(form):
    """Start may be pressed before the answer to the choice of another method has come."""
    values = put(form, held(form, {}), "lora_alpha", 77)
    settings = form.read(values, "adalora")["method_settings"]
    assert settings["lora_alpha"] == 77 and "r" not in settings
    assert METHODS["adalora"].read_settings(settings)


def test_a_setting_that_does_nothing_has_no_field_and_is_not_in_the_recipe(form):
    values = chosen(form, "prompt-tuning")
    assert form.of_method.place(values, "prompt_tuning_init_text") is None
    assert "prompt_tuning_init_text" not in form.read(values, "prompt-tuning")["method_settings"]
    values = put(form, values, "prompt_tuning_init", "TEXT")
    values = held(form, form.touched(values, "prompt-tuning"), values)
    text = form.of_method.place(values, "prompt_tuning_init_text")
    values[text] = "Be kind"
    assert form.read(values, "prompt-tuning")["method_settings"]["prompt_tuning_init_text"] == "Be kind"
    without = put(form, values, "prompt_tuning_init", "RANDOM")
    shown = form.touched(without, "prompt-tuning")
    without = held(form, shown, without)
    assert shown[text] == gr.update(visible=False)
    assert "prompt_tuning_init_text" not in form.read(without, "prompt-tuning")["method_settings"]
    again = put(form, without, "prompt_tuning_init", "TEXT")
    shown = form.touched(again, "prompt-tuning")
    assert shown[text]["value"] == "Be kind", "what was typed comes back"
    settled = form.touched(held(form, shown, again), "prompt-tuning")
    assert settled.keys().isdisjoint(form.of_method.components), "nothing is sent twice"


def test_a_choice_says_what_it_is_and_brings_its_own_settings(form):
    values = held(form, {})
    variant = form.of_method.place(values, "variant")
    assert ("Plain LoRA", "plain") in variant.choices and variant.info.startswith("Starts neutral")
    values[variant] = "eva"
    shown = form.touched(values, "lora")
    assert shown[variant] == gr.update(info=ENGLISH["setting.LoraSettings.variant.about.eva"])
    values = held(form, shown, values)
    assert form.read(values, "lora")["method_settings"]["eva_rho"] == 2.0
    assert form.of_method.place(values, "velora_groups") is None


def test_a_setting_that_another_name_says_too_is_shown_where_a_recipe_has_it(form):
    own = {"variant": "plain", "velora_config": {"num_groups": 8}}
    assert form.of_method.place(held(form, {}), "velora_config") is None
    values = held(form, form.of_method.fill("lora", own))
    assert form.of_method.read(values, "lora")["velora_config"] == {"num_groups": 8}
    values = put(form, values, "velora_config", "")
    assert "velora_config" not in form.of_method.read(values, "lora")


def test_a_training_setting_depends_on_the_task(form):
    values, packing = held(form, {}), form.training.fields["packing"]
    assert form.touched(values, "lora", {"task": "text-generation"})[packing] == gr.update(visible=True)
    assert form.touched(values, "lora", {"task": "text-classification"})[packing] == gr.update(visible=False)
    values[packing] = True
    assert "packing" not in form.read(values, "lora", {"task": "text-classification"})["training"]
    assert form.read(values, "lora", {"task": "text-generation"})["training"]["packing"] is True


def test_what_depends_on_a_hidden_setting_is_hidden_too():
    psoft = METHODS["psoft"].settings
    chain = {"psoft_orth": True, "use_cayley_neumann": True}
    assert is_asked(psoft, "num_cayley_neumann_terms", chain)
    assert not is_asked(psoft, "num_cayley_neumann_terms", chain | {"psoft_orth": False})
    assert is_asked(psoft, "num_cayley_neumann_terms", {}), "nothing is known of the other one"


def test_a_learning_rate_of_a_method_gives_way_and_a_typed_one_stays(form):
    values = held(form, {})
    assert form.touched(values, "ia3")[form.rate] == METHODS["ia3"].learning_rate
    assert form.touched(values | {form.rate: None}, "ia3")[form.rate] == METHODS["ia3"].learning_rate
    assert form.touched(values | {form.rate: 0.005}, "ia3")[form.rate] == 0.005
    typed = METHODS["adalora"].learning_rate
    assert form.touched(values | {form.rate: typed}, "ia3")[form.rate] == typed, "it is another method's, but was typed here"


def test_card_and_list_name_the_same_method():
    with gr.Blocks():
        step = MethodStep()
        step.build("lora")
    assert {name for _, name in listed_methods()} == set(METHODS) and set(CARDS) < set(METHODS) and len(CARDS) <= 6
    chosen = {step.cards: "ia3", step.all: "lora"}
    assert step.chosen(chosen, "lora") == "ia3" and step.follow(chosen, "ia3", "text-generation", "none")[step.all] == "ia3"
    listed = {step.cards: "lora", step.all: "vera"}
    assert step.chosen(listed, "lora") == "vera" and step.follow(listed, "vera", "text-generation", "none")[step.cards] is None
    assert step.chosen({step.cards: None, step.all: "vera"}, "vera") == "vera"
    assert step.cards not in step.follow({step.cards: None, step.all: "vera"}, "vera", "text-generation", "none")


def test_a_method_says_what_it_can_and_why_it_does_not_serve(monkeypatch):
    tried = {"merge": "", "int8": "No bits.", "nf4": "No bits.", "mixed_batches": "One <b>.", "task text-classification": "Never."}
    monkeypatch.setitem(METHODS, "vera", replace(METHODS["vera"], tried=tried))
    html = about_method("vera", "text-classification", "nf4")
    assert "Merge into the base model" in html and "Not tried yet" in html
    assert "<strong>Base model in 8 bits, Base model in 4 bits (nf4)</strong>: No bits." in html
    assert "One &lt;b&gt;." in html and "https://arxiv.org/abs/2310.11454" in html
    assert html.count('class="st-warn"') == 2 and "VeRA does not serve this task (Text classification). Never." in html
    assert 'class="st-warn"' not in about_method("vera", "text-generation", "none")
    assert "QLoRA needs another quantization" in about_method("qlora", "text-generation", "int8")


def test_a_link_fills_in_a_method_and_its_settings():
    recipe = recipe_of_link({"method": "lora", "quantization": "nf4", "method_settings.r": "64", "base": "x",
                             "method_settings.use_rslora": "true", "training.batch_size": "1"})
    assert (recipe.method, recipe.quantization, recipe.training.batch_size) == ("lora", "nf4", 1)
    assert recipe.method_settings["r"] == 64 and recipe.method_settings["use_rslora"] is True
    for wrong in ({"method": "loraa"}, {"method": "lora", "quantization": "one"}, {"method": "lora", "training.epochs": "many"}):
        with pytest.raises(Exception, match="loraa|one|many"):
            recipe_of_link(wrong)


@pytest.mark.parametrize(
    ("typed", "value"), [("0.1", 0.1), ("200", 200), (" None ", "none"), ("val.csv", "val.csv"), (None, "")]
)
def test_validation_is_a_share_a_count_or_words(typed, value):
    assert read_validation(typed) == value
    assert type(read_validation(typed)) is type(value)


def test_every_setting_of_the_recipe_has_its_place_in_the_form():
    elsewhere = {"name", "base_model", "task", "dataset", "method", "start_from", "method_settings", "training"}
    assert set(Recipe.model_fields) - elsewhere == {"quantization", "chat_template", "seed"}
