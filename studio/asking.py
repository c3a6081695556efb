"""Buttons inside server-made HTML: a hidden textbox carries their words to the server.

A button says data-ask="delete run ID" and data-ask-target="library-ask", the textbox's elem_id; studio/behaviour.js writes the
words into it, with a number behind them, so that each press is another text.
"""

import gradio as gr


def ask_box(elem_id: str) -> gr.Textbox:
    """The textbox that buttons with that data-ask-target write into; listen to its `change`."""
    return gr.Textbox(visible="hidden", elem_id=elem_id, container=False, show_label=False)


def read_ask(text: str) -> list[str]:
    """The words of a button's data-ask."""
    return (text or "").split()[:-1]
