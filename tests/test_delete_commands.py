"""python app.py runs delete and restore."""

import os
import pty
import subprocess
import sys

import pytest

from storage.records import Request
from tests.conftest import ROOT


@pytest.fixture
def cancelled(services):
    run = services.runs.submit(name="poet", task="t", method="lora", base_model="b", recipe={}, base={}, data={})
    return services.queue.ask(run.id, Request.CANCEL)


@pytest.fixture
def studio(settings):
    def studio(*arguments, answer: str | None = None, code: int = 0) -> str:
        """What the command says; with `answer`, somebody sits at a terminal and types that."""
        keyboard, stdin = pty.openpty()
        if answer:
            os.write(keyboard, f"{answer}\n".encode())
        done = subprocess.run([sys.executable, str(ROOT / "app.py"), *arguments], capture_output=True, text=True, timeout=60,
                              stdin=stdin if answer else subprocess.DEVNULL,
                              env={**os.environ, "STUDIO_HOME": str(settings.home), "COLUMNS": "200"})
        os.close(keyboard)
        os.close(stdin)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr
    return studio


def test_at_a_terminal_it_asks_and_takes_no_for_an_answer(services, studio, cancelled):
    assert "Delete 'poet'?" in studio("runs", "delete", cancelled.id, answer="n", code=1)
    assert services.runs.get(cancelled.id).deleted_at is None
    assert f"runs restore {cancelled.id}" in studio("runs", "delete", cancelled.id, answer="y")
    assert services.runs.get(cancelled.id).deleted_at


def test_a_script_is_not_asked_and_is_told_what_it_means(services, studio, cancelled):
    go_on = services.runs.submit(name="poet 2", task="t", method="lora", base_model="b", recipe={}, base={}, data={},
                                 continues=cancelled.id)
    said = studio("runs", "delete", cancelled.id)
    assert f"1 run continues from it: '{go_on.name}'." in said and "0 B come back in 7 days." in said
    assert studio("runs", "restore", cancelled.id).startswith("Restored")
    assert services.runs.get(cancelled.id).deleted_at is None
    assert "no deleted run" in studio("runs", "restore", cancelled.id, code=2)


def test_for_good_is_for_good(services, studio, cancelled):
    studio("runs", "delete", cancelled.id, "--for-good", "--yes")
    assert services.runs.find(cancelled.id) is None
