"""The field on the Train page that says which adapter is trained on: none, or one of the library."""

import gradio as gr

from jobs.recipe import Recipe
from jobs.services import Services
from studio.text import label, setting_key
from studio.views.run_view import method_title


class AdapterChoice:
    """A dropdown of the library's adapters; a folder may be typed as well."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        key = setting_key(Recipe, "start_from")
        self.field = gr.Dropdown(
            [(label("train.method.fresh"), "")],
            value="",
            label=label(f"{key}.title"),
            info=label(f"{key}.help"),
            allow_custom_value=True,
            elem_id="start-from",
        )

    def choose(self, chosen: str = "") -> dict:
        """The library as it is now, with one chosen."""
        adapters = [(f"{adapter.name} ({method_title(adapter.method)}, {adapter.base_model})", adapter.run_id)
                    for adapter in self.services.adapters.all()]
        return {self.field: gr.Dropdown([(label("train.method.fresh"), ""), *adapters], value=chosen)}
