import json
import random
from array import array
from pathlib import Path

import pytest

from jobs.data import load_dataset, load_validation
from jobs.data.health import tokens
from jobs.data.health.characters import cleaned, damaged_at, invisible_at
from jobs.data.health.check import check_now
from jobs.data.health.conversations import mistakes_in
from jobs.data.health.report import Report
from jobs.data.health.secrets import find_secrets, masked
from tests.tiny_models import CHAT_TEMPLATE

WORDS = ("river stone cloud lamp bread train glass garden winter letter market window bridge forest engine island pocket summer "
         "ladder mirror needle orange pencil rabbit school temple valley wagon yellow zebra anchor butter candle doctor eagle "
         "feather hammer jacket kitchen lemon mountain number ocean paper quiet rocket silver table under village water").split()
GOOD = {"prompt": "Which of the two bridges over the river is older, and why?", "completion": "The stone one, since it has moss."}


def sentences(count: int, words: int = 14, seed: int = 1) -> list[str]:
    """Different texts in which hardly any two words stand together twice."""
    chance = random.Random(seed)
    return [f"In the {number}th text there is a {' '.join(chance.choices(WORDS, k=words))}." for number in range(count)]


def chats(count: int = 60, seed: int = 1) -> list[dict]:
    asked, answered = sentences(count, seed=seed), sentences(count, seed=seed + 1)
    return [{"prompt": one, "completion": other} for one, other in zip(asked, answered, strict=True)]


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


def finding(report: Report, kind: str):
    [found] = [finding for finding in report.findings if finding.kind == kind]
    assert found.sentence.endswith(".") and "—" not in found.sentence
    return found


def lines(found) -> list[int]:
    return [row.line for row in found.rows]


@pytest.fixture
def report(write):
    """The health report of rows that are written to a file."""
    def make(rows: list[dict], **options) -> Report:
        return check_now(load_dataset([write("rows.jsonl", rows)]), **options)
    return make


def test_clean_data_has_no_findings(report):
    found = report(chats(300))
    assert found.findings == [] and (found.rows, found.kept, found.left_out) == (300, 300, 0)
    assert Report.model_validate_json(found.model_dump_json()) == found


def test_real_data_gets_only_true_sentences(shared_file):
    banking = check_now(load_dataset([shared_file("banking77/train.csv")]))
    assert kinds(banking) == ["near_duplicates", "spaces_at_ends"]
    near = finding(banking, "near_duplicates")
    assert 100 < near.count < 160 and near.rows[1].excerpt == "Is there a reason my new card hasn't arrived? → card_arrival"
    assert finding(banking, "spaces_at_ends").count == 9
    assert sum(label.count for label in banking.labels) == 10003 and len(banking.labels) == 77
    assert [language.name for language in banking.languages] == ["English"]
    assert check_now(load_dataset([shared_file("gsm8k/train.jsonl")])).findings == []


ODD_ROWS = {
    "exact_duplicates": [GOOD, GOOD],
    "no_answer": [{"prompt": "Why is the bridge over the river closed?", "completion": "N/A"}],
    "invisible_characters": [{**GOOD, "completion": "The stone\u200b one."}],
    "damaged_characters": [{**GOOD, "completion": "The cafÃ© on it."}],
    "spaces_at_ends": [{**GOOD, "completion": "The stone one.\n"}],
    "markup": [{**GOOD, "completion": "The stone one<br />is it, R&amp;D says."}],
    "keys": [{**GOOD, "completion": "Use AKIAIOSFODNN7EXAMPLE for it."}],
    "email_addresses": [{**GOOD, "completion": "Ask anna.klein@firma.de for it."}],
    "card_numbers": [{**GOOD, "completion": "Pay with 4111 1111 1111 1111 12/27, please."}],
    "bank_accounts": [{**GOOD, "completion": "Send it to DE89 3704 0044 0532 0130 00 THEN."}],
    "phone_numbers": [{**GOOD, "completion": "Call +49 30 1234567 for it."}],
    "answer_in_prompt": [{"prompt": "Repeat after me: " + "the old stone bridge has been there for ages, " * 3 + "please!",
                          "completion": ("the old stone bridge has been there for ages, " * 3).strip(", ")}],
    "no_words": [{"prompt": "?", "completion": "!!"}],
    "other_languages": [{"prompt": "Welche der beiden Brücken über den Fluss ist älter, und warum glauben Sie das?",
                         "completion": "Die steinerne, denn sie ist mit Moos bewachsen und schon sehr verwittert."}],
    "very_long": [{"prompt": GOOD["prompt"], "completion": " ".join(random.Random(7).choices(WORDS, k=1500))}],
}


@pytest.mark.parametrize("kind, odd", ODD_ROWS.items(), ids=ODD_ROWS)
def test_one_odd_row_among_many_is_found_and_nothing_else(report, tmp_path, kind, odd):
    rows = chats(100)
    rows[50:50] = odd
    found = report(rows, folder=tmp_path)
    assert kinds(found) == [kind]
    assert finding(found, kind).mends and lines(finding(found, kind)) == [50 + len(odd)]
    stored = array("Q", (tmp_path / f"{kind}.bin").read_bytes())
    assert list(stored) == [row.index for row in finding(found, kind).rows] == [49 + len(odd)]


def test_secrets_are_masked_wherever_they_are_shown(report):
    secrets = ["AKIAIOSFODNN7EXAMPLE", "anna.klein@firma.de", "4111 1111 1111 1111", "hunter2", "DE89 3704 0044 0532 0130 00"]
    rows = chats(60)
    for number in range(5):
        rows[number * 3]["completion"] = (f"{secrets[0]} {secrets[1]}\u200b <br> postgres://bob:{secrets[3]}@db/x\n{secrets[2]}, "
                                          f"{secrets[4]} ")
    found = report(rows)
    assert {"keys", "email_addresses", "card_numbers", "bank_accounts", "markup"} <= set(kinds(found))
    shown = found.model_dump_json()
    assert not [secret for secret in secrets if secret in shown] and "[card number]" in shown


def test_near_duplicates_are_found_all_and_only_they(report):
    texts = sentences(2000, words=30)
    rows = [{"text": text} for text in texts]
    copies = {}
    for number in range(0, 1000, 20):  # every twentieth comes again, with a changed word, in capitals, or with other punctuation
        words = texts[number].split()
        words[15] = "CHANGED"
        copies[len(rows)] = number
        rows.append({"text": [" ".join(words), texts[number].upper(), texts[number].replace(" ", ",  ")][number // 20 % 3]})
    found = finding(report(rows), "near_duplicates")
    assert found.count == len(copies) == 50
    assert {row.index: row.note for row in found.rows} == {
        copy: f"nearly the same as line {original + 1:,}" for copy, original in list(copies.items())[:20]}


def test_rows_of_one_template_are_no_near_duplicates(report):
    template = " ".join(sentences(1, words=60))
    rows = [{"prompt": f"{template} {text}", "completion": text[-20:]} for text in sentences(200, words=6)]
    assert "near_duplicates" not in kinds(report(rows))
    rows = [{"messages": [{"role": "system", "content": template}, {"role": "user", "content": f"Say {word}."},
                          {"role": "assistant", "content": f"{word}!"}]} for word in WORDS]
    assert kinds(report(rows)) == []


def test_the_same_text_with_another_label_is_a_contradiction_and_no_duplicate(report):
    rows = [{"text": text, "label": "ab"[number % 2]} for number, text in enumerate(sentences(100))]
    rows += [{"text": "Is the bridge over the river closed?", "label": label} for label in "aab"]
    found = report(rows)
    assert sorted(kinds(found)) == ["contradictions", "exact_duplicates"]
    assert sorted(lines(finding(found, "contradictions"))) == [101, 102, 103]
    assert "1 text has different labels" in finding(found, "contradictions").sentence


def test_overlap_with_the_validation_data_is_found_exact_and_near(write):
    held_out = chats(50, seed=5)
    near = {**held_out[3], "completion": held_out[3]["completion"].upper()}
    train = load_dataset([write("train.jsonl", [*chats(200), *held_out[:2], near])])
    found = check_now(train, load_validation([write("held.jsonl", held_out)], train))
    assert lines(finding(found, "validation_overlap")) == [201, 202]
    assert [row.note for row in finding(found, "near_validation_overlap").rows] == ["nearly the same as held.jsonl line 4"]
    assert [f.severity for f in found.findings] == ["problem", "problem"] and found.findings[0].mends == ["drop"]


def test_rows_left_out_are_told_by_line_and_by_kind(write):
    path = write("a.jsonl", "".join(
        "{broken\n" if number == 7 else json.dumps({**row, "completion": "" if number in (3, 5) else row["completion"]}) + "\n"
        for number, row in enumerate(chats(80), 1)))
    found = check_now(load_dataset([path]))
    assert (found.rows, found.kept, found.left_out) == (80, 77, 3)
    unanswered, broken = finding(found, "unanswered"), finding(found, "left_out")
    assert (lines(unanswered), lines(broken)) == ([3, 5], [7]) and unanswered.rows[0].index is None
    assert unanswered.mends == broken.mends == ["keep_usable"]


@pytest.mark.parametrize("roles, mistakes", [
    ("system user assistant", ()),
    ("user assistant user assistant", ()),
    ("user assistant tool tool assistant", ()),
    ("assistant user assistant", ("assistant_first",)),
    ("system assistant", ("no_user",)),
    ("user user assistant", ("role_repeated",)),
    ("user assistant assistant", ("role_repeated",)),
    ("user system assistant", ("system_late",)),
    ("user tool assistant", ("tool_uncalled",)),
])
def test_the_order_of_roles(roles, mistakes):
    assert mistakes_in(tuple(roles.split())) == mistakes


def test_role_mistakes_are_findings_with_the_order_of_each_row(report):
    rows = [{"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
            for row in chats(40)]
    rows[4]["messages"].insert(0, {"role": "assistant", "content": "Hello, how can I help?"})
    found = finding(report(rows), "assistant_first")
    assert lines(found) == [5] and found.rows[0].note == "assistant, user, assistant"


def test_one_answer_in_most_rows_is_said_with_the_answer(report):
    rows = chats(60)
    for row in rows[:40]:
        row["completion"] = "I am sorry, I cannot help with that."
    found = finding(report(rows), "same_answer")
    assert found.count == 40 and "'I am sorry, I cannot help with that.'" in found.sentence


def test_labels_that_are_rare_dominant_or_spelt_in_several_ways(report):
    counts = {"yes": 180, "Yes ": 6, "no": 10, "perhaps": 2}
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = [{"text": text, "label": label} for text, label in zip(sentences(len(labels)), labels, strict=True)]
    found = report(rows)
    assert sorted(kinds(found)) == ["dominant_label", "label_spellings", "rare_labels"]
    assert finding(found, "rare_labels").count == 2 and finding(found, "label_spellings").count == 6
    assert "'yes' (91%)" in finding(found, "dominant_label").sentence
    assert [(label.name, label.count) for label in found.labels][:2] == [("yes", 180), ("no", 10)]


def test_tokens_are_counted_for_all_rows_and_the_cut_is_told(report, tiny_llama):
    rows = [{"prompt": f"{number:03}", "completion": "a" * number} for number in range(1, 201)]
    found = report(rows, base_path=tiny_llama, max_length=150)
    assert found.tokens.base == tiny_llama.name and found.tokens.examples == 200
    assert found.tokens.lengths == [(7 + number, 1) for number in range(1, 201)], "four special tokens and one for each byte"
    assert (found.tokens.cut_share(150), found.tokens.limit_for()) == (57 / 200, 206)
    assert finding(found, "cut_rows").sentence == (
        "57 of 200 rows (28.5%) are longer than 150 tokens, the length that is chosen, and lose their end. 206 tokens would cut "
        "less than 1% of the rows.")
    assert lines(finding(found, "cut_rows"))[0] == 144 and report(rows).tokens is None


def test_rows_that_the_base_model_cannot_read_at_once_are_found_without_a_chosen_length(report, tiny_llama):
    rows = [*chats(60), {"prompt": "Say it.", "completion": " ".join(sentences(4))}]
    found = finding(report(rows, base_path=tiny_llama), "cut_rows")
    assert "256 tokens, which is all that the base model can read" in found.sentence and 61 in lines(found)


def test_what_a_template_refuses_is_a_problem_before_any_training(report, tiny_llama):
    template = "{% if messages | length > 2 %}{{ raise_exception('one question at a time') }}{% endif %}" + CHAT_TEMPLATE
    rows = [{"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
            for row in chats(30)]
    rows[8]["messages"] *= 2
    found = finding(report(rows, base_path=tiny_llama, chat_template=template), "template_refuses")
    assert (lines(found), found.severity) == ([9], "problem") and "one question at a time" in found.sentence


def test_a_template_without_an_end_is_stopped_with_a_sentence(report, tiny_llama, monkeypatch):
    monkeypatch.setattr(tokens, "TEMPLATE_SECONDS", 1)
    loop = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}" + CHAT_TEMPLATE
    with pytest.raises(tokens.TemplateEndless, match="did not come to an end within 1 s"):
        report(chats(20), base_path=tiny_llama, chat_template=loop)


@pytest.mark.parametrize("text", [
    "Room 4111, 2024-10-12 10:30, order 1234567890123456, pi is 3.14159265358979", "you@example.com", "the sk-learn library",
    "https://host:8080/a@b", "call 110", "version 10.0.19045.3803", "4111 1111 1111 1112", "DE89370400440532013001", "a@b",
])
def test_what_only_looks_like_a_secret_is_none(text):
    assert find_secrets(text) == [] and masked(text) == text


@pytest.mark.parametrize("text, invisible, damaged", [
    ("👨‍👩‍👧 🏴\U000e0067\U000e0062\U000e007f naïve “quote” it’s NÃO \t\r\n", False, False), ("می‌خواهم", False, False),
    ("beauté\xa0« x »", False, False), ("a\x00b", True, False), ("a\u202eb", True, False), ("x\ufffd", False, True),
    ("itâ€™s", False, True), ("Ð¿Ñ€Ð¸", False, True), ("Größe Ü–", False, False),
])
def test_characters_that_are_right_in_their_script_are_left_alone(text, invisible, damaged):
    assert (invisible_at(text) >= 0, damaged_at(text) >= 0) == (invisible, damaged)
    assert invisible_at(cleaned(text)) == -1 and (cleaned(text) == text) == (not invisible)


def test_progress_goes_from_nothing_to_all(report, tiny_llama):
    told = []
    report(chats(100), base_path=tiny_llama, on_progress=lambda phase, done: told.append((phase, done)))
    assert list(dict.fromkeys(phase for phase, _ in told)) == ["checking", "comparing", "counting tokens"]
    assert [done for _, done in told] == sorted(done for _, done in told) and told[-1][1] == 1


def test_nothing_is_left_in_the_temporary_folder(report, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    report(chats(50), work=work)
    assert list(Path(work).iterdir()) == []
