"""What the Train page says of memory before the start: its words, its changes, and the starts that it refuses."""

import re
from html import unescape

import gradio as gr
import pytest

from jobs.devices import DeviceFacts
from jobs.forecast.asking import devices_of, question_for
from jobs.forecast.result import PARTS, Forecast, Seconds, Suggestion
from jobs.services import open_services
from storage.settings import StudioSettings
from studio.forecast_part import Told
from studio.views import forecast_view
from studio.views.forecast_view import Answer

GB = 10**9


def answer(peak: float, memory: float, kind: str = "cuda", name: str = "NVIDIA L4", **more) -> Answer:
    parts = dict.fromkeys(PARTS, 0) | {"base weights": int(peak * GB / 4), "activations": int(peak * GB * 3 / 4)}
    forecast = Forecast(kind, int(peak * GB), parts, "", 1_300_000, 4_800_000, 5_400_000, 32_000_000,
                        device_memory_bytes=int(memory * GB), fits=peak <= memory if memory else None, **more)
    return Answer(DeviceFacts(kind, name, int(memory * GB)), forecast)


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.parametrize(("peak", "memory", "verdict"), [(8, 24, "Fits"), (23, 24, "Tight"), (30, 24, "Does not fit"),
                                                         (8, 0, "Memory not known")])
def test_a_verdict_and_the_parts_of_the_peak(peak, memory, verdict):
    said = text(forecast_view.told(1, [answer(peak, memory)], several=False))
    assert f"{verdict} NVIDIA L4 {peak}.0 GB" in said and ("6.0 GB more than there is" in said) == (peak == 30)
    assert f"Activations {peak * 3 / 4:.1f} GB" in said and "Gradients" not in said  # what is nothing is not shown
    assert "1.3 M of 4.8 M (27%)" in said and "5.4 MB" in said and "32.0 MB" in said


def test_the_bar_is_as_long_as_the_memory_or_marks_where_it_ends():
    fits, large = forecast_view.shown(answer(6, 24)), forecast_view.shown(answer(30, 24))
    assert [part["share"] for part in fits["parts"]] == [6.25, 18.75] and fits["ends"] is None
    assert sum(part["share"] for part in large["parts"]) == 100 and large["ends"] == 80


def test_each_kind_of_device_has_its_own_line_and_time_is_told_where_it_is_known():
    known = answer(8, 24, step_seconds=Seconds(0.5, 0.4, 0.8), run_seconds=Seconds(600, 480, 900))
    said = text(forecast_view.told(1, [known, answer(8, 6, "cpu", "Xeon")], several=True))
    assert "Fits NVIDIA L4" in said and "Does not fit CPU" in said
    assert "about 10 min (8 min to 15 min)" in said and "settings above" in said
    assert "choose one that is large enough" in said
    assert "whole run" not in text(forecast_view.told(1, [answer(8, 24)], several=False))


def test_a_start_is_refused_only_where_no_device_is_large_enough():
    large, small = answer(30, 24), answer(30, 8, "cpu", "Xeon")
    assert forecast_view.refused([answer(8, 24), small]) == []
    assert forecast_view.refused([answer(8, 0)]) == []
    assert forecast_view.refused([large, small]) == ["It needs 30.0 GB, and NVIDIA L4 has 24.0 GB.",
                                                     "It needs 30.0 GB, and a training on this CPU may take 8.0 GB."]


def test_changes_are_buttons_that_carry_what_they_change():
    html = forecast_view.changes([Suggestion({"training.batch_size": 4}, 1, True, "4 rows at a time: …")], False, True)
    assert "data-ask=\"{&#34;training.batch_size&#34;:4}\"" in html
    assert "No change of the settings is enough" in forecast_view.changes([], False, True)
    assert forecast_view.changes([], True, False) == ""


# ---- the part on its page


@pytest.fixture
def values(page):
    """The example's form as a server gets it."""
    filled = {**page.example_clicked(), page.page_key: "the page's key"}
    components = [*page._inputs(), page.forecast.due]
    held = {component: filled.get(component, component.value) for component in components}
    held = {component: value.get("value") if gr.utils.is_prop_update(value) else value for component, value in held.items()}
    return {component: value.value if isinstance(value, gr.components.Component) else value for component, value in held.items()}


def test_a_form_without_data_is_forecast_and_a_path_is_never_read(page, values, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("text,label\na,b\n")
    for source in ("", str(secret)):
        recipe = page.forecast._recipe({**values, page.data.dataset: source})
        assert recipe.dataset.source == "-" and recipe.method == "lora"
    assert [dataset.name for dataset in page.services.datasets.all()] == ["poet.jsonl"]


def test_what_keeps_a_forecast_from_being_made_is_said_quietly(page, values):
    form = page.settings.training.fields

    def said(**changes) -> str:
        changes = {getattr(page.picker, name, None) or form.get(name) or field[name]: value for name, value in changes.items()}
        return text(page.forecast.form_rests({**values, **changes})[page.forecast.view])

    field = {"base": page.base.chosen, "task": page.data.fields.task}
    assert "Not known yet. Batch size is 0. It must be at least 1." in said(batch_size=0)
    assert "Choose a base model" in said(base=None)
    unfit = said(task="text-classification", all="adaption-prompt", cards=None)
    assert "LLaMA-Adapter does not serve the task 'text-classification'" in unfit


def test_a_change_is_put_into_the_form_with_what_hangs_on_it(page, values):
    def used(change: str) -> dict:
        return page.forecast.use({**values, page.forecast.asked: f"{change} 1"})

    training, method = page.settings.training.fields, page.settings.of_method
    assert used('{"training.batch_size":4,"training.accumulation":4}')[training["batch_size"]] == 4
    assert used('{"training.gradient_checkpointing":true}')[training["gradient_checkpointing"]] is True
    in_bits = used('{"quantization":"nf4"}')
    assert in_bits[page.settings.of_recipe.fields["quantization"]] == "nf4"
    assert in_bits[training["base_precision"]]["visible"] is False
    full = {**values, **page.picker.choose("full", "text-generation", "none")}
    lora = page.forecast.use({**full, **method.fill("full", {}), page.forecast.asked: '{"method":"lora"} 1'})
    assert lora[page.picker.all] == lora[page.picker.cards] == "lora"
    assert used('{"training.nothing":1}') == {} and used('{"name":"x"}') == {}


def test_a_form_that_was_told_not_to_fit_is_not_started_unless_the_person_insists(page, values, services):
    values[page.start.name] = "too large"
    page.forecast._remember(values, Told(page.forecast._key(values), 1, ["It needs 30 GB, and this has 24 GB."]))
    problems, refusal, address = page.start_clicked(values)
    assert (problems, address) == ("", "") and "It needs 30 GB" in refusal and "Start anyway" in refusal
    assert services.runs.search() == []
    _, refusal, address = page.start_anyway(values)
    run, = services.runs.search("too large")
    assert refusal == "" and address == f"/run?id={run.id}"
    assert page.start_anyway(values)[2] == address, "the same form is the same run"
    changed = {**values, page.settings.training.fields["batch_size"]: 4}
    assert page.start_clicked(changed)[2].startswith("/run?id="), "of another form nothing is known"


def test_a_machine_with_little_memory_is_what_the_settings_say(tmp_path):
    settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path), "STUDIO_MEMORY_LIMIT": "700000000", "STUDIO_DEVICES": "cpu"})
    device, = devices_of(open_services(settings))
    assert (device.kind, device.memory_bytes) == ("cpu", 700_000_000)


def test_what_takes_no_memory_makes_no_other_forecast(page, values, services):
    def asked(**changes) -> str:
        typed = {page.settings.training.fields[name]: value for name, value in changes.items()}
        recipe = page.forecast._recipe({**values, **typed})
        return repr(question_for(services, recipe, DeviceFacts("cpu", memory_bytes=GB)).asked)

    assert asked(epochs=1, learning_rate=0.5) == asked(epochs=9, warmup=0.1) != asked(batch_size=2)
