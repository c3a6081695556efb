"""The pages and their addresses."""

import gradio as gr

from jobs.services import Services
from studio.accuracy_page import AccuracyPage
from studio.capacity_page import CapacityPage
from studio.comparisons_page import ComparisonsPage
from studio.data_page import DataPage
from studio.guide_page import GuidePage
from studio.lean_gradio import no_application_yet
from studio.library_page import LibraryPage
from studio.playground_page import PlaygroundPage
from studio.run_page import RunPage
from studio.runs_page import RunsPage
from studio.sweep_page import SweepPage
from studio.text import say
from studio.train_page import TrainPage

ROUTES = (
    ("page.guide", "/guide", GuidePage),
    ("page.capacity", "/fit", CapacityPage),
    ("page.run", "/run", RunPage),
    ("page.runs", "/runs", RunsPage),
    ("page.sweep", "/sweep", SweepPage),
    ("page.accuracy", "/accuracy", AccuracyPage),
    ("page.playground", "/playground", PlaygroundPage),
    ("page.comparisons", "/comparisons", ComparisonsPage),
    ("page.library", "/library", LibraryPage),
    ("page.data", "/data", DataPage),
)
QUEUE_LOOKS = 0.01  # seconds; Gradio's own thousand looks a second take 2% of a core from an idle machine


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
    blocks._queue.sleep_when_free = QUEUE_LOOKS
    return blocks
