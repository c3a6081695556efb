from collections import Counter

import pytest

from jobs.data import split
from jobs.data.problems import ValidationInvalid


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
