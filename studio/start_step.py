"""Step 5 of the Train page: the run's name, when and where it trains, and the button that starts it."""

from typing import Any

import gradio as gr
from gradio.components import Component

from jobs.services import Services
from jobs.turn import Turn, offered_devices
from studio.asking import ask_box
from studio.fields import field_component
from studio.frame import static_html
from studio.text import label, setting_key


class TurnFields:
    """The fields of a run's place in the queue."""

    def __init__(self, services: Services, names: tuple[str, ...]):
        self.services, self.names = services, names
        self.fields: dict[str, Component] = {}

    def build(self) -> None:
        for name in self.names:
            self.fields[name] = self._device() if name == "device" else field_component(Turn, name)

    @staticmethod
    def _device() -> gr.Dropdown:
        key = setting_key(Turn, "device")
        return gr.Dropdown(
            [(label("turn.any_device"), "")],
            value="",
            label=label(f"{key}.title"),
            info=label(f"{key}.help"),
            filterable=False,
            elem_id="Turn-device",
        )

    @property
    def components(self) -> list[Component]:
        return list(self.fields.values())

    def read(self, values: dict[Component, Any]) -> dict[str, Any]:
        """The wishes as plain values, for the schema to judge."""
        return {name: "" if values[field] is None else values[field] for name, field in self.fields.items()}

    def fill(self, turn: Turn) -> dict:
        """Every field as that turn has it, with the devices that are there now."""
        told = turn.model_dump()
        filled = {field: told[name] for name, field in self.fields.items()}
        return {**filled, self.fields["device"]: self.devices(turn.device)}

    def devices(self, chosen: str = "") -> gr.Dropdown:
        offered = dict.fromkeys([*offered_devices(self.services), *([chosen] if chosen else [])])
        return gr.Dropdown([(label("turn.any_device"), ""), *((name, name) for name in offered)], value=chosen)


class StartStep:
    """The name and Start in sight; the queue's settings folded."""

    def __init__(self, services: Services):
        self.turn = TurnFields(services, ("priority", "device", "start_at", "owner", "hold"))

    def build(self) -> None:
        with gr.Row(elem_classes="st-inline"):
            self.name = gr.Textbox(
                label=label("train.start.name"),
                info=label("train.start.name_help"),
                max_length=80,
                max_lines=1,
                elem_id="name",
                scale=4,
            )
            self.button = gr.Button(
                label("train.start.button"), variant="primary", elem_id="start", size="md", scale=0, min_width=160
            )
        with gr.Accordion(label("train.start.turn"), open=False, elem_id="turn"), gr.Row(elem_classes="st-fields"):
            self.turn.build()
        self.problems = static_html("", elem_id="start-problems")
        self.refusal = static_html("", elem_id="start-refusal")  # with a button that insists
        self.asked = ask_box("start-ask")
        # kept by the browser; the secret only has to stay the same, for a name there is nothing to hide
        self.remembered = gr.BrowserState("", storage_key="studio-owner", secret="studio-owner")
        owner = self.turn.fields["owner"]
        owner.change(
            lambda name: name, owner, self.remembered, queue=False, show_progress="hidden", api_visibility="private"
        )

    def opened(self, remembered: str | None) -> dict:
        """What this browser remembers, and the devices that are there now."""
        return {self.turn.fields["owner"]: remembered or "", self.turn.fields["device"]: self.turn.devices()}
