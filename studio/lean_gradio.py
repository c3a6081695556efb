"""Takes more than half off the time that importing Gradio takes; import this before Gradio.

Each time it is imported, Gradio writes editor stubs (.pyi) for its 81 components and fills in the documentation of their
events. Both are for people who write code in an editor; nothing here reads them. It also brings its own command line, a
loader of other people's applications, and pandas, which takes pyarrow along, for a cache that nothing here uses and for figures
that it works out anew behind each event, for a page that is switched off.
"""

import importlib
import inspect
import sys
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NOT_NEEDED = {"gradio.component_meta": "create_or_modify_pyi", "gradio.events": "EventListener.set_doc",
              "gradio.queueing": "Queue.compute_analytics_summary"}
ASKS_FOR_PANDAS = "gradio.caching"


class _LeanLoader(Loader):
    """Loads a module as its own loader does, then takes the function that is not needed out."""

    def __init__(self, loader: Loader, function: str):
        self.loader, self.function = loader, function

    def create_module(self, spec: ModuleSpec):
        return self.loader.create_module(spec)

    def exec_module(self, module) -> None:
        self.loader.exec_module(module)
        holder, _, name = self.function.rpartition(".")
        owner = getattr(module, holder, None) if holder else module
        if hasattr(owner, name):
            setattr(owner, name, _do_nothing)


class _PandasWhenAsked(ModuleType):
    """In place of pandas, which is imported once somebody asks for anything in it."""

    def __getattr__(self, name: str):
        return getattr(importlib.import_module("pandas"), name)


class _LoaderWithoutPandas(Loader):
    """Loads a module that imports pandas without importing pandas."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def create_module(self, spec: ModuleSpec):
        return self.loader.create_module(spec)

    def exec_module(self, module) -> None:
        stands_in = "pandas" not in sys.modules
        if stands_in:
            sys.modules["pandas"] = _PandasWhenAsked("pandas")
        try:
            self.loader.exec_module(module)
        finally:
            if stands_in:
                del sys.modules["pandas"]


class _LeanFinder(MetaPathFinder):
    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        if name not in NOT_NEEDED and name != ASKS_FOR_PANDAS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = (_LoaderWithoutPandas(spec.loader) if name == ASKS_FOR_PANDAS else
                           _LeanLoader(spec.loader, NOT_NEEDED[name]))
        return spec


@contextmanager
def no_application_yet():
    """Blocks build a whole web application when they are made and again when they are closed; only the one that is mounted
    serves anybody. Within this, none is built."""
    from gradio.routes import App

    build = App.__dict__["create_app"]
    App.create_app = staticmethod(_do_nothing)
    try:
        yield
    finally:
        App.create_app = build


class _SignaturesReadOnce(ModuleType):
    """In place of inspect; what a constructor takes does not change."""

    signature = staticmethod(lru_cache(256)(inspect.signature))
    getfullargspec = staticmethod(lru_cache(256)(inspect.getfullargspec))

    def __getattr__(self, name: str):
        return getattr(inspect, name)


def read_signatures_once() -> None:
    """Gradio asks what its components' constructors take for each of the pages' six hundred components, four times, and for each
    one that an event sends."""
    import gradio.blocks
    import gradio.component_meta

    gradio.blocks.inspect = gradio.component_meta.inspect = _SignaturesReadOnce("inspect")


def _do_nothing(*_values, **_named) -> None:
    pass


def _stand_in(name: str, *functions: str) -> None:
    """A module in place of one that is never used here."""
    module = ModuleType(name)
    for function in functions:
        setattr(module, function, _do_nothing)
    sys.modules.setdefault(name, module)


sys.meta_path.insert(0, _LeanFinder())
_stand_in("gradio.cli", "deploy")
_stand_in("gradio.external", "load", "load_chat", "load_openapi")  # opens other people's applications, which we never do
