import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from livepeer_async.cli.output.formatting import (
    clean,
    count,
    shorten,
    show_clock,
    show_countdown,
    show_part,
    show_percent,
    show_seconds,
    show_size,
)

MARKS = st.characters(categories=("Mn",))
ODD = st.text(st.one_of(st.characters(), MARKS, st.sampled_from("\n\x1b\x9b\u202e👩\u200d\ufe0f")))


@given(ODD)
def test_nothing_that_controls_a_terminal_is_left(text):
    left = {unicodedata.category(character) for character in clean(text)}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(ODD, st.integers(3, 80))
def test_what_is_shortened_fits(text, width):
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert len(short) <= 5 * width


def test_a_name_that_fits_stays_as_it_is():
    assert shorten("Überblick 日本.mp4", 30) == "Überblick 日本.mp4"


def test_beginning_and_end_of_a_long_name_are_shown():
    assert shorten("a" * 5000 + ".mp4", 14) == "aaaaaaaaa….mp4"


def test_escape_sequences_are_shown_and_not_obeyed():
    assert clean("a\x1b[31mb\nc\td\x07\u202e") == "a�[31mb c d�"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (142_994, "139.6 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (34 * 1024**2, "34.0 MiB"),
        (30 * 1024**3, "30.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
    ],
)
def test_sizes_are_shown_in_binary_units(size, shown):
    assert show_size(size) == shown


def test_a_part_is_shown_in_the_unit_of_the_whole():
    assert show_part(512, 2048) == "0.5/2.0 KiB"
    assert show_part(1, 3) == "1/3 B"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1:00"), (125, "2:05"), (3725, "1:02:05")],
)
def test_times_are_shown_as_people_say_them(seconds, shown):
    assert show_seconds(seconds) == shown


def test_a_clock_has_minutes_and_hours_where_needed():
    assert [show_clock(s) for s in (0, 9.6, 61, 36_000)] == ["0:00", "0:10", "1:01", "10:00:00"]


def test_a_hundred_percent_means_that_nothing_is_left():
    assert show_percent(0.9999) == "99 %"
    assert show_percent(1) == "100 %"


def test_one_has_no_plural():
    assert count(1, "file") == "1 file"
    assert count(1200, "file") == "1,200 files"


def test_a_countdown_is_0_only_at_its_end():
    assert [show_countdown(it) for it in (0, 0.1, 12, 60, 61.5)] == [
        "0 s",
        "1 s",
        "12 s",
        "1:00",
        "1:02",
    ]
