"""HTML from templates, with every value escaped."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jobs import units
from studio.text import say

TEMPLATES = Path(__file__).parent / "templates"

_environment = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.globals.update(say=say, units=units)


def render(template: str, **values) -> str:
    """The template of that file name, filled in."""
    return _environment.get_template(template).render(**values)
