"""A form that the page's process left unanswered, and that the browser sends again."""

import gradio as gr
import pytest


@pytest.fixture
def form(page):
    """The example's form as the browser keeps it, with the key that its page got."""
    filled = {**page.example_clicked(), page.page_key: "the page's key", page.start.name: "kept"}
    values = [filled.get(component, component.value) for component in page._inputs()]
    held = [value.get("value") if gr.utils.is_prop_update(value) else value for value in values]
    return [value.value if isinstance(value, gr.components.Component) else value for value in held]


def test_it_becomes_the_run_that_it_was_meant_to_be_and_only_one(page, form, services):
    first, again = page._send_again(form), page._send_again(form)
    run, = services.runs.search("kept")
    assert first == again == {page.address: f"/run?id={run.id}"}


def test_what_is_wrong_with_it_is_told_and_it_is_filled_in_again(page, form, services):
    form[page._inputs().index(page.base.chosen)] = "no/such-model"
    shown = page._send_again(form)
    assert "no/such-model" in shown[page.start.problems] and shown[page.start.name] == "kept"
    assert services.runs.search() == []
