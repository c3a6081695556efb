"""What the tests of the Train page share."""

import gradio as gr
import pytest

from studio.train_page import TrainPage


@pytest.fixture
def page(services):
    with gr.Blocks() as blocks:
        page = TrainPage(services)
        page.build(blocks)
    return page
