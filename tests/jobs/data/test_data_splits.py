from array import array
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from jobs.data import import_rows, look, split
from jobs.data.problems import ColumnMissing, ValidationInvalid
from jobs.data.splits import FAR, held_out


def test_a_share_and_a_count_say_how_many_rows_are_kept_back():
    rows = list(range(100))
    assert [len(part) for part in split(rows, 0.1, seed=1)] == [90, 10]
    assert [len(part) for part in split(rows, 7, seed=1)] == [93, 7]


@pytest.mark.parametrize("nothing", ["none", None, 0, 0.0])
def test_nothing_is_kept_back_where_nothing_is_asked_for(nothing):
    assert split([1, 2, 3], nothing, seed=1) == ([1, 2, 3], [])


def test_the_parts_share_nothing_lose_nothing_and_keep_their_order():
    train, validation = split(list(range(100)), 0.3, seed=5)
    assert sorted(train + validation) == list(range(100))
    assert train == sorted(train) and validation == sorted(validation)


def test_the_seed_decides_the_split():
    rows = list(range(100))
    assert split(rows, 0.2, seed=3) == split(rows, 0.2, seed=3)
    assert split(rows, 0.2, seed=3) != split(rows, 0.2, seed=4)


def test_a_small_share_keeps_back_one_row_and_a_large_one_leaves_one_to_train_on():
    assert [len(part) for part in split([1, 2, 3], 0.01, seed=1)] == [2, 1]
    assert [len(part) for part in split([1, 2, 3], 0.99, seed=1)] == [1, 2]


def test_labels_keep_their_shares():
    labels = ["a"] * 600 + ["b"] * 300 + ["c"] * 100
    train, validation = split(labels, 0.1, seed=1, labels=labels)
    assert Counter(validation) == {"a": 60, "b": 30, "c": 10}
    assert len(train) == 900


@pytest.mark.parametrize("validation", [0.1, 0.5, 0.9, 1, 13, 26])
def test_every_label_keeps_a_row_to_train_on_and_the_count_is_exact(validation):
    labels = ["a"] * 20 + ["b"] * 7 + ["c"] * 2 + ["d"]
    train, held = split(labels, validation, seed=2, labels=labels)
    assert set(train) == set("abcd")
    wanted = min(round(30 * validation), 26) if isinstance(validation, float) else validation
    assert len(held) == wanted


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (10, "asks for 10 rows, but the dataset has 10. Choose at most 9"),
        (11, "asks for 11 rows, but the dataset has 10"),
        (1.5, "Validation is 1.5. A share lies between 0 and 1"),
        (1.0, "Validation is 1.0. A share"),
        (-1, "Validation is -1."),
        (float("nan"), "Validation is nan."),
        (True, "Validation is 'True'. Give a share"),
        ("some", "Validation is 'some'. Give a share such as 0.1, a count of rows, or none."),
    ],
)
def test_a_validation_that_the_data_cannot_give_is_explained(validation, words):
    with pytest.raises(ValidationInvalid) as raised:
        split(list(range(10)), validation, seed=1)
    assert words in str(raised.value)


def test_labels_with_one_row_each_cannot_be_split():
    with pytest.raises(ValidationInvalid, match="Every label has one row only"):
        split(list("abc"), 0.5, seed=1, labels=list("abc"))
    with pytest.raises(ValidationInvalid, match="Choose at most 1"):
        split(list("aabc"), 2, seed=1, labels=list("aabc"))
    with pytest.raises(ValidationInvalid, match="one row only"):
        split(["a"], 0.5, seed=1)


SEEDS = some.integers(0, 2**32 - 1)
QUICKLY = settings(max_examples=60, deadline=None)


def tables(with_groups: bool, with_labels: bool, with_repeats: bool):
    """Rows as (group, label, digest), and a share or a count to keep back."""
    groups = some.integers(0, 12) if with_groups else some.none()
    labels = some.sampled_from("aaaabbc") if with_labels else some.none()
    row = some.tuples(groups, labels, some.integers(0, 40))
    share = some.floats(0.05, 0.6)

    def finish(rows):
        digest_of: dict = {}  # what is the same in all else is the same row
        rows = [(group, label, digest_of.setdefault((label, content), len(digest_of)) if with_repeats else number)
                for number, (group, label, content) in enumerate(rows)]
        return some.tuples(some.just(rows), some.one_of(share, some.integers(1, max(1, len(rows) // 2))))

    return some.lists(row, min_size=2, max_size=120).flatmap(finish)


def parts_of(table, validation, seed):
    """Numbers of training and validation rows; None where the rows allow no such split."""
    groups, labels, digests = zip(*table, strict=True)
    try:
        held = held_out(
            len(table), validation, seed, labels if labels[0] is not None else None,
            groups if groups[0] is not None else None, array("Q", digests), "speaker")
    except ValidationInvalid as problem:
        assert "hoose" in str(problem)
        return None
    assert list(held) == sorted(set(held)) and (not held or held[-1] < len(table))
    return [number for number in range(len(table)) if number not in set(held)], list(held)


@pytest.mark.parametrize("with_repeats", [False, True])
@pytest.mark.parametrize("with_labels", [False, True])
@pytest.mark.parametrize("with_groups", [False, True])
def test_what_belongs_together_is_never_on_both_sides(with_groups, with_labels, with_repeats):
    split_at_all = 0

    @QUICKLY
    @given(tables(with_groups, with_labels, with_repeats), SEEDS)
    def check(made, seed):
        nonlocal split_at_all
        table, validation = made
        parts = parts_of(table, validation, seed)
        assert parts == parts_of(table, validation, seed)
        if parts is None:
            return
        split_at_all += 1
        train, held = ([table[number] for number in part] for part in parts)
        assert held and len(train) + len(held) == len(table)
        assert not {digest for _, _, digest in train} & {digest for _, _, digest in held}
        assert {label for _, label, _ in train} == {label for _, label, _ in table}
        if with_groups:
            assert not {group for group, _, _ in train} & {group for group, _, _ in held}

    check()
    assert split_at_all > 10  # the strategies make tables that can be split


@QUICKLY
@given(tables(True, False, False), SEEDS)
def test_the_count_is_as_near_as_whole_groups_allow(made, seed):
    table, validation = made
    sizes = Counter(group for group, _, _ in table).values()
    parts = parts_of(table, validation, seed)
    wanted = max(1, round(len(table) * validation)) if isinstance(validation, float) else validation
    if parts is None:
        assert len(sizes) == 1 or min(abs(size - wanted) for size in sizes) > FAR * len(table) or wanted > len(table) - min(sizes)
    else:
        assert abs(len(parts[1]) - wanted) <= max(1, FAR * len(table))
        nearest = max(sizes) / 2 if wanted >= max(sizes) / 2 else min(sizes)
        assert abs(len(parts[1]) - wanted) <= nearest or wanted > len(table) - min(sizes)


@QUICKLY
@given(some.lists(some.sampled_from("aaaaabbc"), min_size=4, max_size=120), some.integers(1, 30), SEEDS)
def test_without_repeated_rows_the_count_is_exact_and_repeats_cost_a_few_rows_at_most(labels, count, seed):
    different = list(range(len(labels)))
    if count > len(labels) - len(set(labels)):
        return
    assert len(held_out(len(labels), count, seed, labels, digests=array("Q", different))) == count
    digests = array("Q", (number // 2 if labels[number] == labels[number // 2 * 2] else number + 1000 for number in different))
    try:
        held = held_out(len(labels), count, seed, labels, digests=digests)
    except ValidationInvalid:
        return
    assert abs(len(held) - count) <= 1


def test_a_label_keeps_its_smallest_unit_to_train_on_where_nearly_all_is_held_out():
    digests = array("Q", [0, 1, 2, 2, 3, 3, 4, 4, 5, 5])  # found by the test before: 6 rows were held out
    for seed in range(20):
        held = held_out(10, 8, seed, list("baaaaaaabb"), digests=digests)
        assert [number for number in range(10) if number not in held] == [0, 1]


def test_few_groups_come_as_near_as_any_choice_of_them():
    groups = [1, 0, 0, 1, 1, 1, 1, 2]  # 5, 2 and 1 rows: smaller ones that were drawn first left no room for the largest
    for seed in range(20):
        assert {groups[number] for number in held_out(8, 5, seed, groups=groups)} == {1}
    groups = [*"aaaaabbbbbbccc", *"deeff"]  # of each label one group stays; first fives, sixes or threes would leave 6 missing
    labels = ["x" if group in "abc" else "y" for group in groups]
    for seed in range(20):
        assert len(held_out(19, 13, seed, labels=labels, groups=groups)) in (12, 13, 14)


def test_groups_keep_the_shares_of_labels():
    groups = [number // 5 for number in range(2000)]
    labels = ["common" if number % 10 else "rare" for number in range(2000)]
    held = held_out(2000, 0.2, seed=1, labels=labels, groups=groups)
    assert len(held) == 400
    assert 36 <= Counter(labels[number] for number in held)["rare"] <= 44


def test_groups_that_share_a_repeated_row_stay_together():
    groups, digests = ["a", "a", "b", "b", "c", "c"], array("Q", [1, 2, 2, 3, 4, 5])
    for seed in range(20):
        assert list(held_out(6, 2, seed, groups=groups, digests=digests)) == [4, 5]


@pytest.mark.parametrize(
    ("table", "validation", "words"),
    [
        ([("one", None, 0), ("one", None, 1)], 0.5, "All rows belong to one group of the column 'speaker'"),
        ([("one", None, n % 50) for n in range(50)] + [("two", None, n + 50) for n in range(50)], 0.1,
         "asks for 10 of 100 rows, and whole groups of the column 'speaker' come no nearer than 50. Ask for about that many"),
        ([("one", "a", 0), ("one", "a", 1), ("two", "b", 2), ("two", "b", 3)], 0.5,
         "Every group of the column 'speaker' has all rows of some label"),
        ([(None, None, 7)] * 10, 0.1, "All rows are the same, so none can be kept for validation."),
        ([(None, "a", 1)] * 3 + [(None, "b", 2)] * 3, 0.1, "Every label has one row only (repeated rows count as one)"),
    ],
)
def test_groups_that_allow_no_split_are_explained(table, validation, words):
    groups, labels, digests = zip(*table, strict=True)
    with pytest.raises(ValidationInvalid) as raised:
        held_out(len(table), validation, 1, labels if labels[0] else None, groups if groups[0] else None,
                 array("Q", digests), "speaker")
    assert words in str(raised.value)


def test_a_million_rows_take_little_time():
    groups = array("Q", (number * 7919 % 60_000 for number in range(1_000_000)))
    labels = array("Q", (number % 50 for number in range(1_000_000)))
    assert abs(len(held_out(1_000_000, 0.1, seed=3, labels=labels, groups=groups)) - 100_000) <= 20


def test_a_column_that_rows_are_grouped_by_is_read_with_them(write, tmp_path):
    rows = [{"text": f"row {n}", "label": "xy"[n % 2], "speaker": ["ann", "bob", "", None][n % 4]} for n in range(40)]
    data = import_rows(look([write("spoken.jsonl", rows)]), tmp_path / "imported", group_by="speaker")
    groups, labels = data.examples.groups(), data.examples.labels()
    assert len(set(groups)) == 22 and len(set(labels)) == 2  # those without a speaker are groups of their own
    train, held = split(data.examples, 10, 1, labels=labels, groups=groups, column="speaker")
    assert len(held) == 10 and not set(train.groups()) & set(held.groups())
    with pytest.raises(ColumnMissing, match="no column 'who'"):
        import_rows(look([write("spoken.jsonl", rows)]), tmp_path / "other", group_by="who")
