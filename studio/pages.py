"""The pages and their addresses."""

import gradio as gr

from jobs.services import Services
from studio.lean_gradio import no_application_yet
from studio.library_page import LibraryPage
from studio.playground_page import PlaygroundPage
from studio.run_page import RunPage
from studio.runs_page import RunsPage
from studio.text import say
from studio.train_page import TrainPage

ROUTES = (
    ("page.run", "/run", RunPage),
    ("page.runs", "/runs", RunsPage),
    ("page.playground", "/playground", PlaygroundPage),
    ("page.library", "/library", LibraryPage),
)


def build_pages(services: Services) -> gr.Blocks:
    """All pages as one Gradio app; each is a route of its own and loads only what it needs."""
    # as Blocks.route() does it, which cannot be used inside the context and would build the whole application anew per page
    with (
        no_application_yet(),
        gr.Blocks(title=say("studio.name"), analytics_enabled=False, delete_cache=(3600, 86400), fill_width=False) as blocks,
    ):
        gr.Navbar(visible=False)
        TrainPage(services).build(blocks)
        for name, path, page in ROUTES:
            blocks.current_page = path.strip("/")
            blocks.pages.append((blocks.current_page, say(name), False))
            gr.Navbar(visible=False)
            page(services).build(blocks)
    return blocks
