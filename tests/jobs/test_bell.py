import pickle
import sqlite3

from jobs.queue import Bell


class Boom:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_ring_reaches_who_answers_and_travels_as_json(settings):
    settings.make_folders()
    heard = []
    Bell(settings).ring_for_run("run-1")
    stored = sqlite3.connect(settings.home / "queue.db").execute("select data from task").fetchone()[0]
    assert b'"run-1"' in stored and stored.startswith(b"{")
    answering = Bell(settings, on_run=heard.append)
    answering.huey.execute(answering.huey.dequeue())
    assert heard == ["run-1"]


def test_a_pickle_in_the_queue_is_refused_without_running_it(settings, capsys):
    settings.make_folders()
    bell = Bell(settings)
    bell.huey.storage.enqueue(pickle.dumps(Boom()))
    try:
        bell.huey.dequeue()
    except ValueError as error:
        assert "JSON" in type(error).__name__ or "utf-8" in str(error) or "Expecting" in str(error)
    else:
        raise AssertionError("the pickle was accepted")
    assert "never run" not in capsys.readouterr().out
