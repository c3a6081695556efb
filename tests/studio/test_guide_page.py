"""The guide's page without a browser: the advice in words, the table, the details of a method."""

import itertools
import re
from types import SimpleNamespace

import gradio as gr
import pytest

from jobs.guide import CHANGES, GOALS, PROMPTS, WISHES, Answers, Choice, advise
from jobs.methods import METHODS
from jobs.methods.notes import FAMILIES
from jobs.methods.published import published
from jobs.methods.tried import ABILITIES
from studio.guide_page import HOURS, LIMITS, GuidePage
from studio.text import ENGLISH
from studio.views.guide_view import OWN, PUBLISHED, SORTS, Wanted, about_figures, advice_card, methods_table, train_link
from tests.browser.lab_book import NASTY, STEPS, add_run, finish, go_on, start

GB = 10**9
ASKED = ("style", 2000, "8000000000", "gpu", 12, 0, "start", "untried", "stays")  # as GuidePage.answered takes them
NO_LIMITS = [0] * len(LIMITS)


@pytest.fixture
def page(services):
    return GuidePage(services)


def rows_of(html: str) -> list[str]:
    """The methods' titles in the order of the table."""
    return re.findall(r'class="st-open"[^>]*>([^<]+)<', html)


def cells_of(html: str, title: str) -> list[str]:
    row = re.search(rf'class="st-open"[^>]*>{re.escape(title)}<.*?</tr>', html, re.DOTALL)[0]
    return [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r'<td class="st-num[^>]*>(.*?)</td>', row)]


# ---- the advice


def test_the_advice_has_the_method_its_settings_its_reasons_and_a_link_that_fills_them_in(page):
    html, changes = page.answered(*ASKED)
    for text in ("QLoRA", "4 bits (nf4)", "Try this first", "Learning rate", "2e-4", "Gradient checkpointing", "12.0 GB",
                 "/?method=qlora&amp;quantization=nf4&amp;training.gradient_checkpointing=true&amp;training.batch_size=1"):
        assert text in html
    assert changes.visible is False


def test_only_facts_are_asked_about_whether_they_change(page):
    html, changes = page.answered("facts", *ASKED[1:-1], "changes")
    assert changes.visible and "Rather do not train" in html and "looked up" in html


def test_an_answer_that_is_not_there_yet_is_no_problem(page):
    html, _ = page.answered("style", None, None, "cpu", None, None, "start", "lacking", "stays")
    assert "LoRA" in html and "Say which base model" in html and "NaN" not in html


def test_every_sentence_of_the_advice_has_its_words_and_all_their_values():
    machines = [(None, 0, 0), (0, 3_800_000, 8 * GB), (20, 8 * GB, 12 * GB), (30_000, 8 * GB, 24 * GB), (300, 70 * GB, 24 * GB)]
    for number, (goal, wish, (rows, parameters, memory)) in enumerate(itertools.product(GOALS, WISHES, machines)):
        answers = Answers(goal=goal, wish=wish, prompt=PROMPTS[number % 3], rows=rows, parameters=parameters, memory_bytes=memory,
                          gpu=number % 7 > 0, changes=CHANGES[number % 2], hours=number % 3, base="<b>",
                          base_tasks=() if number % 5 == 0 else None)
        html = advice_card(advise(answers), "")
        assert "{" not in html and "<b>" not in html


def test_the_pace_of_the_lab_book_is_used(services, page):
    add_run(services, "poet")
    finish(services, go_on(services, services.leases.claim_next("cpu", "here"), STEPS))
    html, _ = page.answered("style", 335, "demo-base", "cpu", 8, 0, "start", "lacking", "stays")
    assert "By the pace of earlier runs here" in html


def test_a_link_to_the_train_page_names_the_choices():
    choice = Choice("lora", "none", {"method_settings.r": 64, "training.gradient_checkpointing": True})
    assert train_link(choice, "org/name") == ("/?method=lora&quantization=none&base=org%2Fname&method_settings.r=64"
                                              "&training.gradient_checkpointing=true")


# ---- the table


def test_every_method_is_a_row_with_the_figures_of_its_most_accurate_configuration():
    html = methods_table(Wanted(), {})
    assert rows_of(html) == [method.title for method in METHODS.values()]
    best = published("lora")[0]
    assert best.accuracy == max(row.accuracy for row in published("lora"))
    assert cells_of(html, "LoRA") == ["51%", "22.6 GB", "73.4 MB", "16 min 6 s"]
    assert cells_of(html, "QLoRA") == [""] * 4, "what was not measured is not shown"
    assert "Your runs" not in html


@pytest.mark.parametrize(("wanted", "first"), [
    (Wanted(sort="published_accuracy"), "Lily"), (Wanted(sort="published_size"), "Uni-LoRA"),
    (Wanted(sort="published_memory"), "TinyLoRA"), (Wanted(sort="name"), "AdaLoRA"), (Wanted(), "LoRA")])
def test_it_is_sorted_by_any_figure_and_empty_ones_come_last(wanted, first):
    html = methods_table(wanted, {})
    assert rows_of(html)[0] == first
    assert len(rows_of(html)) == len(METHODS)
    if wanted.sort.startswith("published"):
        assert cells_of(html, rows_of(html)[-1]) == [""] * 4


def test_it_is_filtered_by_words_family_ability_and_figures(page):
    def found(*values):
        return rows_of(page.searched(*values, None, ""))

    assert found("QLoRA", "", "", "", *NO_LIMITS) == ["QLoRA"]
    assert "LoKr" not in found("lora", "", "", "", *NO_LIMITS), "it only speaks of LoRA"
    assert "Prompt tuning" in found("many adapters share", "", "", "", *NO_LIMITS)
    assert set(found("", "prompt", "", "", *NO_LIMITS)) == {m.title for m in METHODS.values() if m.family == "prompt"}
    accurate = found("", "", "published_accuracy", "", 50, 23.6, 100, 30)
    assert "Lily" not in accurate and "LoRA" in accurate
    assert found("no such method", "", "", "", *NO_LIMITS) == []
    able = found("", "", "", "merge", *NO_LIMITS)
    assert able == [method.title for method in METHODS.values() if method.can("merge")]


def test_details_open_and_close_in_their_row(page):
    html, opened = page.asked("open oft 7", "", "", "known", "", *NO_LIMITS, None, "")
    oft = METHODS["oft"]
    assert opened == "oft" and html.count('class="st-detail-row"') == 1
    for text in (oft.summary, oft.choose_when, oft.avoid_when, "arxiv.org/abs/2306.07280", "/?method=oft&amp;quantization=none",
                 "rank32", "49%", 'aria-expanded="true"', "data-focus"):
        assert text in html
    closed, opened = page.asked("close oft 8", "", "", "known", "", *NO_LIMITS, None, "oft")
    assert opened == "" and "st-detail-row" not in closed and closed.count("data-focus") == 1


def test_a_reason_why_not_is_told(monkeypatch):
    oft = METHODS["oft"]
    monkeypatch.setitem(METHODS, "oft", type(oft)(**{**vars(oft), "tried": {"merge": "PEFT has no <merge> for it.", "int8": ""}}))
    html = methods_table(Wanted(opened="oft"), {})
    assert "PEFT has no &lt;merge&gt; for it." in html


# ---- own runs


def test_own_runs_stand_beside_with_links_and_only_what_was_measured(services, page):
    best = finish(services, start(services, add_run(services, NASTY)))
    finish(services, start(services, add_run(services, "worse")), eval_loss=0.9)
    finish(services, start(services, add_run(services, "other", "ia3")), eval_loss=0.7, peak=400_000_000)
    group, table = page.page_loaded(SimpleNamespace(query_params={"method": "lora"}))[4:6]
    assert group.visible and group.choices[0][0] == "demo-base on poet.jsonl (3)"
    assert "Your runs" in table and f'<a href="/run?id={best.id}">0.54</a>' in table and "<img" not in table
    assert cells_of(table, "LoRA")[4:] == ["0.54", "640 MB", "1.2 MB", "52 s"]
    assert cells_of(table, "OFT")[4:] == [""] * 4
    assert table.count("/run?id=") == 4, "the best of each method, and the two of the open one"
    sorted_by = page.searched("", "", "own_memory", "", *NO_LIMITS, group.value, "")
    assert rows_of(sorted_by)[:2] == ["IA³", "LoRA"]
    assert rows_of(page.searched("", "", "own_score", "", *NO_LIMITS, group.value, ""))[:2] == ["LoRA", "IA³"]


def test_the_page_opens_with_this_machine_and_its_models(page):
    base, place, memory, advice, group, table, opened = page.page_loaded(SimpleNamespace(query_params={"method": "no-such"}))
    assert base.value == "demo-base" and ("70.0 B parameters", "70000000000") in base.choices
    assert place in ("gpu", "cpu") and memory.value > 0 and "Advice" in advice
    assert not group.visible and len(rows_of(table)) == len(METHODS) and "st-detail-row" not in table


def test_every_word_that_is_put_together_is_there():
    parts = {"goal": GOALS, "rows": GOALS, "wish": WISHES, "prompt": PROMPTS, "changes": CHANGES, "hours": HOURS, "sort": SORTS,
             "column": [name for name, _, _ in (*PUBLISHED, *OWN) if name != "score"]}
    keys = [f"guide.{part}.{name}" for part, names in parts.items() for name in names]
    keys += [f"family.{family}" for family in {*FAMILIES, *(method.family for method in METHODS.values())}]
    keys += [f"ability.{ability}" for ability in ABILITIES]
    assert [key for key in keys if key not in ENGLISH] == []


def test_it_says_what_the_figures_are_and_whose():
    html = about_figures()
    for text in ("huggingface/peft, method_comparison/MetaMathQA", "Apache 2.0", "meta-llama/Llama-3.2-3B", "NVIDIA L40S", "GSM8K",
                 "768", "5,000", "bfloat16"):
        assert text in html


def test_the_page_can_be_built(page):
    with gr.Blocks() as blocks:
        page.build(blocks)
    assert {"guide-goal", "guide-rows", "guide-table", "guide-advice"} <= {
        component.elem_id for component in blocks.blocks.values() if component.elem_id}
