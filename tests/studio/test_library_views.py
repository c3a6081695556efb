import pytest

from jobs import housekeeping
from storage.records import Request
from studio.asking import read_ask
from studio.delete_part import Answer, answer, run_is_deleted
from studio.views.dataset_list import dataset_list, used_by
from studio.views.trash_view import trash_view
from tests.storage.test_trash import dataset


@pytest.fixture
def cancelled(services):
    run = services.runs.submit(name="<b>poet</b>", task="t", method="lora", base_model="b", recipe={}, base={}, data={})
    return services.queue.ask(run.id, Request.CANCEL)


def test_a_buttons_words_are_read_without_the_number_behind_them():
    assert read_ask("delete run abc 7") == ["delete", "run", "abc"]
    assert read_ask("") == []


def test_data_is_listed_with_how_many_runs_used_it_and_its_question_beside_it():
    html = dataset_list([dataset("d1"), dataset("d2")], {"d1": 1}, now=61.0, target="library-ask",
                        answer=Answer(("dataset", "d2"), question="<p>Sure?</p>"))
    assert html.count("<p>Sure?</p>") == 1 and html.index("<p>Sure?</p>") > html.index('data-ask="delete dataset d2"')
    for text in ("rows.csv", "10 B", "1 min ago", "1 run", "no run"):
        assert text in html
    assert used_by(1234) == "1,234 runs"
    assert "No data yet" in dataset_list([], {})


def test_a_run_goes_through_all_that_can_be_said_of_its_deletion(services, cancelled):
    def say(verb: str) -> Answer:
        return answer(services, [verb, "run", cancelled.id], "run-ask")

    assert run_is_deleted(cancelled, "run-ask") == ""
    question = say("delete").question
    assert "Delete &#39;&lt;b&gt;poet&lt;/b&gt;&#39;?" in question and f'data-ask="delete-yes run {cancelled.id}"' in question
    assert say("keep").kept and say("keep").question == ""
    assert services.runs.get(cancelled.id).deleted_at is None, "asking deletes nothing"
    assert f'data-ask="restore run {cancelled.id}"' in say("delete-yes").notice
    assert "This run was deleted just now" in run_is_deleted(services.runs.get(cancelled.id), "run-ask")
    assert "is back" in say("restore").notice and services.runs.get(cancelled.id).deleted_at is None
    say("delete-yes")
    assert "nothing can restore it" in say("for-good").question
    assert "is gone for good" in say("for-good-yes").notice
    assert "There is no deleted run" in say("restore").notice


def test_a_run_that_is_being_removed_offers_no_way_back(services, cancelled):
    housekeeping.delete(services, "run", cancelled.id)
    services.trash.mark_for_good("run", cancelled.id)
    html = run_is_deleted(services.runs.get(cancelled.id), "run-ask")
    assert "being removed" in html and "Undo" not in html


def test_what_is_needed_is_refused_in_its_place(services):
    services.datasets.add(dataset("d1"))
    services.runs.submit(name="reader", task="t", method="lora", base_model="b", recipe={"dataset": {"source": "d1"}}, base={},
                         data={})
    refused = answer(services, ["delete", "dataset", "d1"], "library-ask")
    assert "waiting run &#39;reader&#39;" in refused.question_at("dataset", "d1") and refused.notice == ""


@pytest.mark.parametrize("words", [[], ["delete", "run"], ["sudo", "run", "x"], ["delete", "everything", "x"]])
def test_words_that_no_button_has_do_nothing(services, words):
    with pytest.raises((ValueError, KeyError)):
        answer(services, words, "library-ask")


def test_deleted_things_are_listed_with_the_day_they_go(services, cancelled):
    assert trash_view([]).strip() == ""
    housekeeping.delete(services, "run", cancelled.id)
    thing = services.trash.all()[0]
    html = trash_view([(thing, 4500)], now=thing.deleted_at + 120)
    for text in ("&lt;b&gt;poet", "Run", "4.5 kB", "2 min ago", f'data-ask="for-good run {cancelled.id}"'):
        assert text in html
