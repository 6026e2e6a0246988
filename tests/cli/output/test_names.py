import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from livepeer_async.cli.output.formatting import clean
from livepeer_async.cli.output.names import label_names, shorten_names

MARKS = st.characters(categories=("Mn",))
ODD = st.text(st.one_of(st.characters(), MARKS, st.sampled_from("0123\n\x1b\u202e👩\u200d\ufe0f")))
# Names of one batch that differ in a part, with the same beginning and the same end.
BATCHES = st.builds(
    lambda start, middles, end: [f"{start}{middle}{end}" for middle in middles],
    ODD,
    st.sets(ODD, max_size=8),
    ODD,
)
EPISODES = [
    f"season-one-episode-{number:02}-the-long-road-take-{take}.mp4"
    for number in range(1, 11)
    for take in range(1, 5)
]


@given(BATCHES, st.integers(5, 40))
def test_different_names_fit_and_stay_different(names, width):
    shown = shorten_names(names, width)
    assert list(shown) == names
    assert max(map(cell_len, shown.values()), default=0) <= width
    assert len(set(shown.values())) == len(names)
    assert all(text == clean(text) for text in shown.values())


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("episode-1-of-the-show.mp4", "episode-2-of-the-show.mp4", "epis…1…ow.mp4"),
        ("a-rather-long-name-10.mp4", "a-rather-long-name-20.mp4", "a-rat…-10.mp4"),
        ("日本語の長いビデオ第一話の動画.mp4", "日本語の長いビデオ第二話の動画.mp4", None),
        ("👩‍👩‍👧 a holiday, day one of.mp4", "👩‍👩‍👧 a holiday, day two of.mp4", None),
        ("שלום עולם ארוך פרק א סוף הסרט.mp4", "שלום עולם ארוך פרק ב סוף הסרט.mp4", None),
        ("e\u0301" * 20 + "1" + "x" * 40, "e\u0301" * 20 + "2" + "x" * 40, None),
        ("a\x01.mp4", "a\x02.mp4", "a�.mp4 #1"),
    ],
)
def test_parts_that_differ_are_kept(first, second, shown):
    short = shorten_names([first, second], 13)
    assert len(set(short.values())) == 2
    assert shown is None or short[first] == shown


@pytest.mark.parametrize("width", [10, 12, 16, 22])
def test_both_numbers_of_a_series_are_kept(width):
    shown = shorten_names(EPISODES, width)
    assert len(set(shown.values())) == len(EPISODES)
    for name, text in shown.items():
        number, take = name.split("-")[3], name[-5]
        assert number in text
        assert take in text.partition(number)[2]


def test_name_that_differs_only_in_its_cut_middle_is_alone():
    (text,) = shorten_names([EPISODES[0]], 16).values()
    assert text == "season…ake-1.mp4"


def test_thousands_of_similar_names_stay_different():
    names = [f"{'take ' * 20}{number} {'of the show ' * 20}.mp4" for number in range(3000)]
    assert len(set(shorten_names(names, 22).values())) == 3000


def test_equal_names_become_paths_below_their_common_folder():
    names = {
        "/v/2023/a.mp4": "a.mp4",
        "/v/2024/x/a.mp4": "a.mp4",
        "/v/b.mp4": "b.mp4",
        "k": "a.mp4",
    }
    names["k"] = "a.mp4"
    assert list(label_names(names).values()) == ["2023/a.mp4", "2024/x/a.mp4", "b.mp4", "k"]
    names = {"https://h/1/a.mp4": "a.mp4", "https://h/2/a.mp4": "a.mp4"}
    assert label_names(names) == {url: url for url in names}
