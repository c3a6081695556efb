import pytest

from jobs import units


@pytest.mark.parametrize(("bytes_", "text"), [
    (None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (999_960, "1.0 MB"), (123_456_789, "123 MB"),
    (5_000_000_000, "5.0 GB"), (2.5e18, "2500 PB")])
def test_sizes_have_a_unit_and_few_digits(bytes_, text):
    assert units.size(bytes_) == text


@pytest.mark.parametrize(("count", "text"), [
    (None, "–"), (0, "0"), (9_999, "9,999"), (10_000, "10.0 k"), (3_721_000, "3.7 M"), (7_240_000_000, "7.2 B")])
def test_counts_are_shortened_only_when_they_are_large(count, text):
    assert units.amount(count) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (None, "–"), (-0.5, "0.0 s"), (-1, "0 s"), (0.42, "0.4 s"), (5, "5 s"), (5.0, "5.0 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (130, "2 min 10 s"),
    (3599.9, "1 h"), (3600, "1 h"), (11_130, "3 h 5 min"), (86_400, "1 d"), (187_200, "2 d 4 h")])
def test_durations_read_as_a_person_would_say_them(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(("part", "whole", "text"), [
    (None, 10, "–"), (1, 0, "–"), (0, 10, "0%"), (0.1, 1, "10%"), (0.0994, 1, "9.9%"), (0.0995, 1, "10%"), (35, 10_000, "0.35%"), (21, 1_000_000, "0.0021%"),
    (1, 1, "100%")])
def test_a_share_never_rounds_to_nothing(part, whole, text):
    assert units.share(part, whole) == text


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (0, "0"), (0.41372, "0.414"), (2.0, "2"), (0.0002, "0.0002"), (0.00002, "2.00e-05"), (1534.2, "1,534"), (float("inf"), "inf")])
def test_figures_keep_three_digits_that_mean_something(value, text):
    assert units.figure(value) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (3, "just now"), (50, "1 min ago"), (3570, "1 h ago"), (7300, "2 h ago"), (86_400, "1 day ago"), (200_000, "2 days ago")])
def test_a_past_moment_is_told_by_its_distance(seconds, text):
    assert units.ago(seconds) == text


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (True, "on"), (False, "off"), (0.0, "0"), (3e-4, "3e-4"), (1.5e-5, "1.5e-5"), (0.002, "0.002"), (16.0, "16"), (0.1, "0.1"),
    (4294967295, "4294967295"), (-1, "-1")])
def test_a_setting_is_told_as_people_write_it(value, text):
    assert units.setting(value) == text
