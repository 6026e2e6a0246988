"""Any text, for property tests."""

from functools import partial

from hypothesis import strategies as st

# All that UTF-8 has. Hypothesis's default is the same set, told by the name of the codec, for which
# each process of a run tries every code point: seven seconds of CPU, twenty under coverage.
CHARACTERS = st.characters(exclude_categories=["Cs"])

any_text = partial(st.text, CHARACTERS)
