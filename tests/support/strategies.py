"""Hypothesis strategies that several tests share."""

from functools import partial

from hypothesis import strategies as st

# All of UTF-8. Hypothesis's default is the same set by the codec's name, for which each process
# tries every code point: 7 s of CPU, 20 s under coverage.
CHARACTERS = st.characters(exclude_categories=["Cs"])

any_text = partial(st.text, CHARACTERS)
