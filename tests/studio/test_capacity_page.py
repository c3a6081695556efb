"""The page of what fits, without a browser: its words for a device, its cells, and where they lead."""

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from jobs.forecast.capacity import VARIANTS, Model, Room, models
from jobs.forecast.result import FITS, TIGHT, TOO_LARGE
from storage.problems import RecipeInvalid
from studio.capacity_page import CapacityPage, gigabytes
from studio.train_page import recipe_of_link
from studio.views.capacity_view import capacity_table, cell, train_link

MODEL = Model("some<b>", "text-generation", 8 * 10**9, 32768)
BY_NAME = {variant.name: variant for variant in VARIANTS}


def room(variant="lora", verdict=FITS, batches=None, longest=4096) -> Room:
    return Room(MODEL, BY_NAME[variant], verdict, 17 * 10**9, {512: 8, 2048: 1} if batches is None else batches, longest)


def query_of(link: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


@pytest.fixture
def page(services):
    return CapacityPage(services)


def opened(page, **query) -> list:
    return page.page_loaded(SimpleNamespace(query_params=query))


def test_a_cell_tells_what_fits_in_words_and_leads_to_the_train_page():
    told = cell(room("qlora_checkpointing"))
    assert told["lines"] == ["batch 8 at 512", "batch 1 at 2,048", "up to 4,096 tokens"] and told["verdict"] == "Fits"
    assert "some<b>" in told["label"] and "batch 8 at 512" in told["label"]
    recipe = recipe_of_link(query_of(told["link"]))
    assert (recipe.method, recipe.quantization) == ("qlora", "nf4") and recipe.training.gradient_checkpointing
    assert (recipe.training.batch_size, recipe.training.max_length) == (8, 512)


def test_where_only_short_rows_fit_the_link_has_one_of_them():
    link = train_link(room(verdict=TIGHT, batches={512: 0, 2048: 0}, longest=256))
    assert "training.max_length=256" in link and "training.batch_size=1" in link


def test_what_does_not_fit_leads_nowhere_and_says_what_it_needs():
    told = cell(room(verdict=TOO_LARGE, batches={512: 0, 2048: 0}, longest=0))
    assert (told["link"], told["lines"], told["verdict"]) == ("", ["needs 17.0 GB"], "Does not fit")


def test_the_table_names_every_column_and_escapes_models():
    html = capacity_table([room(name) for name in BY_NAME], "For a GPU.")
    assert html.count('scope="col"') == len(VARIANTS) + 1
    assert "some&lt;b&gt;" in html and "<b>some" not in html
    assert f"{len(VARIANTS)} of {len(VARIANTS)} combinations fit." in html


def test_every_method_can_be_opened_in_the_train_page():
    for name in BY_NAME:
        assert recipe_of_link(query_of(train_link(room(name)))).method == BY_NAME[name].method


def test_the_page_opens_for_this_machine(page):
    kind, memory, task, table = opened(page)
    assert (kind, task) == ("cpu", "text-generation") and float(memory.value) > 0
    assert "this machine" in table and "st-room-" in table


def test_another_device_is_asked_for_by_the_address(page):
    kind, memory, _, table = opened(page, device="cuda", memory="24")
    assert (kind, memory.value) == ("cuda", "24") and "For a GPU with 24.0 GB" in table


def test_another_kind_of_device_begins_with_a_usual_card(page):
    memory, table = page.kind_chosen("cuda", "text-generation")
    assert memory.value == "24" and "For a GPU with 24.0 GB" in table


def test_a_memory_that_is_no_number_is_told(page):
    assert "The memory is &#39;much&#39;" in page.asked("cuda", "much", "text-generation")


@pytest.mark.parametrize(("text", "number"), [("24", 24), (" 23,6 ", 23.6), ("80 GB", 80)])
def test_memory_is_read_as_people_type_it(text, number):
    assert gigabytes(text) == number


@pytest.mark.parametrize("text", ["", None, "0", "-8", "nan", "inf", "a lot"])
def test_memory_that_cannot_be_is_refused(text):
    with pytest.raises(RecipeInvalid, match="a number of GB"):
        gigabytes(text)


def test_each_task_has_models_of_its_own(page):
    of_task = {model.task: model.name for model in models("cuda")}
    for task, name in of_task.items():
        assert f'scope="row">{name}' in page.asked("cuda", "24", task)
    assert "text-generation" in of_task
    assert "no figures" in page.asked("cuda", "24", "token-classification")
