"""Everything that people read comes from the catalogue, and everything in the catalogue is read."""

import re

import gradio as gr
import pytest
from gradio.i18n import I18nData

from jobs.services import open_services
from storage.settings import REPOSITORY, StudioSettings
from studio.pages import build_pages
from studio.render import TEMPLATES
from studio.text import ENGLISH, label, say
from studio.words import WORDS

SOURCES = sorted((REPOSITORY / "studio").rglob("*.py")) + sorted(TEMPLATES.glob("*.html"))
KNOWN = set(ENGLISH.values())
PATTERNS = [re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(known))) for known in WORDS.values() if "{" in known]
READ = ("label", "info", "placeholder", "choices")  # what a person sees of a component, besides its value


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> gr.Blocks:
    home = tmp_path_factory.mktemp("texts") / "home"
    return build_pages(open_services(StudioSettings.from_env({"STUDIO_HOME": str(home)})))


def test_no_component_has_a_text_of_its_own(blocks):
    strays = []
    for component in blocks.blocks.values():
        read = [*READ, "value"] if isinstance(component, gr.Button) else READ
        strays += [
            f"{type(component).__name__} {component.elem_id}: {name} is '{text}'"
            for name in read
            for text in _texts(getattr(component, name, None))
            if not _in_catalogue(text)
        ]
    assert strays == []


def test_no_template_has_a_text_of_its_own():
    strays = []
    for template in TEMPLATES.glob("*.html"):
        source = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", template.read_text("utf-8"), flags=re.DOTALL)
        named = re.findall(r'(?:aria-label|title|alt|placeholder)="([^"]+)"', source)
        strays += [
            f"{template.name}: {text}"
            for text in [*re.sub(r"<[^>]*>", "\n", source).splitlines(), *named]
            if re.search(r"[A-Za-z]{2}", text)
        ]
    assert strays == []


def test_every_word_of_the_page_is_used_somewhere():
    code = "\n".join(path.read_text("utf-8") for path in SOURCES if path.parent.name != "words")
    # keys that are put together, such as say(f"state.{state}")
    beginnings = {start for start in re.findall(r'f"([a-z_.]+)\{', code)} | set(re.findall(r'"([a-z_.]+\.)" ~', code))
    beginnings |= {"choice.", "figure.peak_memory_"}
    assert all(len(beginning) > 3 for beginning in beginnings)
    unused = [
        key
        for key in WORDS
        if f'"{key}"' not in code and f"'{key}'" not in code and not key.startswith(tuple(beginnings))
    ]
    assert unused == []


def test_every_key_that_the_page_uses_is_in_the_catalogue():
    code = "\n".join(path.read_text("utf-8") for path in SOURCES)
    keys = re.findall(r'(?:say|label)\("([a-z_.]+[a-z_])"[,)]', code)
    assert len(keys) > 100
    assert [key for key in keys if key not in ENGLISH] == []


def test_a_setting_says_of_itself_what_the_form_shows():
    assert say("setting.TrainingSettings.epochs.title") == "Epochs"
    assert say("setting.TrainingSettings.max_length.title") == "Longest row (tokens)"


def test_an_unknown_key_is_a_bug_that_shows_at_once():
    with pytest.raises(KeyError):
        label("no.such.text")


def _in_catalogue(text: str | I18nData) -> bool:
    """A translated text, nothing at all, or a text of the catalogue with its values filled in."""
    if isinstance(text, I18nData) or not text.strip() or text.startswith("__i18n__") or text in KNOWN:
        return True
    return any(pattern.fullmatch(text) for pattern in PATTERNS)


def _texts(value) -> list:
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item[0] if isinstance(item, (list, tuple)) else item)]
    return [value] if isinstance(value, (str, I18nData)) else []
