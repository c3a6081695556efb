"""What every page has: the way to the other pages, and one title."""

import gradio as gr
from gradio.components import Component

from studio.render import render
from studio.text import say

PAGES = (("train", "/"), ("guide", "/guide"), ("runs", "/runs"), ("playground", "/playground"), ("library", "/library"))
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}  # of an event that answers at once


def static_html(html: str, **named) -> gr.HTML:
    """A piece of HTML without a script of its own."""
    return gr.HTML(html, js_on_load=None, apply_default_css=False, **named)


def on_choice(field: Component):
    """The event after a person chose something in a field, once for each choice.

    A list tells of an `input` twice for one choice, in Gradio 6.31 at least: when it is made, and when the list closes. The answer
    to the second would overwrite what was typed since the first.
    """
    return field.blur if isinstance(field, gr.Dropdown) and not field.multiselect else field.input


def page_frame(current: str, title: str, lead: str = "") -> gr.HTML:
    """The top of a page; returns the title's component, for the page whose title depends on what it shows."""
    static_html(render("frame.html", pages=PAGES, current=current), elem_classes="st-frame")
    return static_html(page_title(title, lead))


def page_title(title: str, lead: str = "") -> str:
    return render("title.html", title=title, lead=lead)


def step_title(number: int, key: str) -> gr.HTML:
    return static_html(render("step.html", number=number, title=say(key)))
