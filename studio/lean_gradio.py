"""Takes more than half off the time that importing Gradio takes; import this before Gradio.

Each time it is imported, Gradio writes editor stubs (.pyi) for its 81 components and fills in the documentation of their
events. Both are for people who write code in an editor; nothing here reads them. It also brings its own command line, a
loader of other people's applications, and by way of pandas pyarrow.
"""

import sys
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NOT_NEEDED = {"gradio.component_meta": "create_or_modify_pyi", "gradio.events": "EventListener.set_doc"}


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


class _LeanFinder(MetaPathFinder):
    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        if name not in NOT_NEEDED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _LeanLoader(spec.loader, NOT_NEEDED[name])
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


def _do_nothing(*_values, **_named) -> None:
    pass


def _stand_in(name: str, *functions: str) -> None:
    """A module in place of one that is never used here."""
    module = ModuleType(name)
    for function in functions:
        setattr(module, function, _do_nothing)
    sys.modules.setdefault(name, module)


def _import_pandas_alone() -> None:
    """Gradio needs pandas, and pandas takes pyarrow along wherever it is; the web process reads Parquet without pandas."""
    if sys.modules.keys() & {"pandas", "pyarrow"}:
        return
    sys.modules["pyarrow"] = None
    try:
        import pandas  # noqa: F401
    finally:
        del sys.modules["pyarrow"]


sys.meta_path.insert(0, _LeanFinder())
_stand_in("gradio.cli", "deploy")
_stand_in("gradio.external", "load", "load_chat", "load_openapi")  # opens other people's applications, which we never do
_import_pandas_alone()
