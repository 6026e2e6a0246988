import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from livepeer_async.cli.output.formatting import (
    clean,
    escape_surrogates,
    format_clock,
    format_countdown,
    format_elapsed,
    format_percent,
    format_size,
    json_line,
    pluralize,
    shorten,
    wrap_words,
)

MARKS = st.characters(categories=("Mn",))
ODD = st.text(st.one_of(st.characters(), MARKS, st.sampled_from("\n\x1b\x9b\u202e👩\u200d\ufe0f")))


@given(ODD)
def test_clean_removes_control_characters(text):
    left = {unicodedata.category(character) for character in clean(text)}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(ODD, st.integers(3, 80))
def test_shortened_text_fits(text, width):
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert len(short) <= 5 * width


def test_short_name_is_unchanged():
    assert shorten("Überblick 日本.mp4", 30) == "Überblick 日本.mp4"


def test_long_name_keeps_both_ends():
    assert shorten("a" * 5000 + ".mp4", 14) == "aaaaaaaaa….mp4"


@given(ODD, st.integers(1, 80))
def test_wrapped_text_fits_unless_a_word_is_longer(text, width):
    line = clean(text)
    lines = wrap_words(line, width).split("\n")
    assert " ".join(lines) == line
    assert all(cell_len(it) <= width or " " not in it for it in lines)


def test_escape_sequences_are_disabled():
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
def test_sizes_are_in_binary_units(size, shown):
    assert format_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1:00"), (125, "2:05"), (3725, "1:02:05")],
)
def test_elapsed_time_is_readable(seconds, shown):
    assert format_elapsed(seconds) == shown


def test_clock_shows_hours_only_if_needed():
    assert [format_clock(s) for s in (0, 9.6, 61, 36_000)] == ["0:00", "0:10", "1:01", "10:00:00"]


def test_100_percent_means_complete():
    assert format_percent(0.9999) == "99 %"
    assert format_percent(1) == "100 %"


def test_count_of_one_is_singular():
    assert pluralize(1, "file") == "1 file"
    assert pluralize(1200, "file") == "1,200 files"


def test_countdown_is_0_only_at_its_end():
    assert [format_countdown(it) for it in (0, 0.1, 12, 60, 61.5)] == [
        "0 s",
        "1 s",
        "12 s",
        "1:00",
        "1:02",
    ]


def test_json_is_ascii_without_lone_surrogates():
    line = json_line({"place": escape_surrogates("Filme/Überblick\udcff.mp4")})
    assert line.isascii()
    assert msgspec.json.decode(line)["place"] == "Filme/Überblick\\udcff.mp4"
