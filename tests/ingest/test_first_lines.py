from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.ingest.check import KeyIndex
from support.strategies import any_text


@given(st.lists(any_text(max_size=3)))
def test_it_knows_what_a_dict_would_know(keys):
    first_lines, known = KeyIndex(), {}
    for line, key in enumerate(keys):
        assert first_lines.note(key, line) == known.get(key)
        known.setdefault(key, line)


def test_it_grows_and_forgets_nothing():
    first_lines = KeyIndex()
    keys = [f"key {number}" for number in range(5000)]
    assert [first_lines.note(key, line) for line, key in enumerate(keys, 1)] == [None] * 5000
    assert [first_lines.note(key, 0) for key in keys] == list(range(1, 5001))


class Colliding(str):
    """A key whose hash is as it is told; a dict's way with it isn't looked at."""

    __slots__ = ()

    def __hash__(self):
        return int(self)


def test_keys_whose_hashes_begin_alike_are_told_apart():
    first_lines = KeyIndex()
    # All of them are looked for in one place at first, 0 among them, which marks free places.
    keys = [Colliding(number * 2**20) for number in range(700)]
    assert [first_lines.note(key, line) for line, key in enumerate(keys, 1)] == [None] * 700
    assert [first_lines.note(key, 0) for key in keys] == list(range(1, 701))
