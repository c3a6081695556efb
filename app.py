"""The front door: the command line, put together from its parts."""

import os
import sys

import typer

from commands import evaluating, forecasting, lab_book, queue, serving, training, using  # noqa: F401 (queue adds commands to the lab book's)
from commands.console import err
from storage.problems import RecipeInvalid, StudioError

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # no word to anybody about what is done here

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Adapter Studio: fine-tune a model, watch it learn, compare it, take it with you.")
app.add_typer(serving.app)
app.add_typer(training.app)
app.add_typer(forecasting.app)
app.add_typer(evaluating.app)
app.add_typer(lab_book.runs_app, name="runs")
app.add_typer(using.models_app, name="models")
app.add_typer(using.app)


def main() -> None:
    """Known problems become a sentence and exit code 2; unknown ones keep their traceback."""
    try:
        app()
    except RecipeInvalid as problem:
        for sentence in problem.problems:
            err.print(sentence, style="red", markup=False, highlight=False)
        sys.exit(2)
    except StudioError as problem:
        err.print(str(problem), style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
