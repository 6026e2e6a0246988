"""Server limits, and sizes of chunks for any length, rate and limits."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError
from livepeer_async.tus import (
    ServerLimits,
    livepeer_limits,
    plan_chunk,
    plan_creation,
    with_chunk_size,
)
from livepeer_async.tus.limits import (
    LIVEPEER_MAX_CHUNK,
    LIVEPEER_MAX_LENGTH,
    LIVEPEER_PART,
    MAX_GROWTH,
    MIB,
    as_limits_for,
    check_upload_length,
)

GIB = 1024 * MIB
RATES = st.none() | st.floats(0.0, 1e12) | st.sampled_from([5e-324, float("inf")])


@st.composite
def any_limits(draw):
    align = draw(st.sampled_from([1, 2, 7, 8, 256]))
    return ServerLimits(
        align=align,
        tail_alone=draw(st.booleans()),
        first_chunk=draw(st.integers(1, 2_000)),
        max_chunk=draw(st.none() | st.integers(align, 3_000)),
        max_chunk_seconds=draw(st.floats(0.001, 300.0)),
    )


@given(any_limits(), st.integers(1, 100_000), st.integers(0, 5_000), RATES)
def test_chunk_is_within_the_limits(limits, remaining, previous, rate):
    size = plan_chunk(limits, remaining=remaining, previous=previous, rate=rate)
    assert 0 < size <= remaining
    assert size <= (limits.max_chunk or size)
    if limits.tail_alone:
        assert size % limits.align == 0 or size == remaining < limits.align
    else:
        assert size % limits.align == 0 or size == remaining
    if rate is not None and previous:
        assert size <= max(MAX_GROWTH * previous, limits.align)


@given(any_limits(), st.integers(0, 5_000), RATES)
def test_chunk_of_unknown_length_is_aligned(limits, previous, rate):
    size = plan_chunk(limits, remaining=None, previous=previous, rate=rate)
    assert size > 0
    assert size % limits.align == 0
    assert size <= (limits.max_chunk or size)


@given(any_limits())
def test_nothing_remaining_is_an_empty_chunk(limits):
    assert plan_chunk(limits, remaining=0) == 0


EDGES = [
    factor * LIVEPEER_PART + more
    for factor in (0, 1, 2, 3, 7, 8, 9, 10_000)
    for more in (-5 * MIB, -1, 0, 1, 5 * MIB)
    if factor * LIVEPEER_PART + more > 0
]


@given(
    st.sampled_from(EDGES) | st.integers(1, 100 * GIB),
    st.lists(st.floats(1.0, 1e10), min_size=1, max_size=20),
    st.none() | st.integers(16 * MIB, 1024 * MIB),
)
def test_chunks_of_livepeer_add_up_to_the_length(length, rates, chunk_size):
    limits = livepeer_limits(length, chunk_size=chunk_size)
    sent, previous, chunks = plan_creation(limits, length), 0, []
    while sent < length:
        rate = rates[len(chunks) % len(rates)] if chunks else None
        size = plan_chunk(limits, remaining=length - sent, previous=previous, rate=rate)
        sent, previous = sent + size, size
        chunks.append(size)
        # A slow link has thousands of equal chunks: skip them.
        if len(chunks) > 50:
            sent += (length - sent) // limits.align * limits.align
    assert sent == length
    assert all(size % limits.align == 0 for size in chunks[:-1])
    if chunks and length % limits.align:
        assert chunks[-1] == length % limits.align


@given(st.sampled_from([True, False]), st.integers(1, 200), st.integers(1, 50))
def test_chunks_add_up_to_every_length(tail_alone, length, max_chunk):
    limits = ServerLimits(align=8, tail_alone=tail_alone, max_chunk=8 + max_chunk, first_chunk=8)
    sent = 0
    while sent < length:
        sent += plan_chunk(limits, remaining=length - sent, previous=8, rate=10.0)
    assert sent == length


@pytest.mark.parametrize(
    ("length", "part", "max_chunk"),
    [
        (1, LIVEPEER_PART, LIVEPEER_MAX_CHUNK),
        (LIVEPEER_PART * 10_000, LIVEPEER_PART, LIVEPEER_MAX_CHUNK),
        (LIVEPEER_PART * 10_000 + 1, LIVEPEER_PART + 1, LIVEPEER_MAX_CHUNK),
        (1000 * GIB, 107_374_183, LIVEPEER_MAX_CHUNK),
        (3000 * GIB, 322_122_548, 322_122_548),
    ],
)
def test_parts_grow_to_at_most_ten_thousand(length, part, max_chunk):
    limits = livepeer_limits(length, max_length=None)
    assert (limits.align, limits.max_chunk) == (part, max_chunk)
    assert -(-length // limits.align) <= 10_000


def test_livepeer_limits_have_known_values():
    limits = livepeer_limits(1)
    assert limits == ServerLimits(
        align=LIVEPEER_PART,
        tail_alone=True,
        first_chunk=LIVEPEER_PART,
        max_chunk=LIVEPEER_MAX_CHUNK,
        settle=1.0,
        max_length=LIVEPEER_MAX_LENGTH,
        with_creation=LIVEPEER_PART,
        creates_once=True,
    )


@pytest.mark.parametrize(
    ("asked", "limit"),
    [(8, 8), (9, 8), (15, 8), (16, 16), (64, 64), (65, 64), (1_000, 256)],
)
def test_chunk_size_is_rounded_to_the_alignment(asked, limit):
    limits = livepeer_limits(GIB, chunk_size=asked * MIB)
    assert limits.max_chunk == limit * MIB
    assert limits.first_chunk == 8 * MIB


@pytest.mark.parametrize("asked", [-(8 * MIB), -1, 0, 1, 5_000_000, 8 * MIB - 1])
def test_chunk_size_below_a_part_is_an_error(asked):
    with pytest.raises(
        ConfigurationError, match=r"at most -?\d+ bytes .* acknowledge the chunks and then"
    ):
        livepeer_limits(GIB, chunk_size=asked)


@given(any_limits(), st.integers(-10, 4_000))
def test_chunk_size_never_raises_a_limit(limits, asked):
    assume(asked >= limits.align)
    bounded = with_chunk_size(limits, asked)
    assert bounded.max_chunk <= min(asked, limits.max_chunk or asked)
    assert bounded.first_chunk <= limits.first_chunk
    assert plan_chunk(bounded, remaining=100_000) <= asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"align": 0},
        {"first_chunk": 0},
        {"max_chunk_seconds": 0.0},
        {"max_chunk": 0},
        {"align": 8, "max_chunk": 7},
    ],
)
def test_invalid_limits_are_an_error(wrong):
    with pytest.raises(ConfigurationError):
        ServerLimits(**wrong)


@pytest.mark.parametrize(("length", "count"), [(None, 0), (0, 0), (1, 1), (8, 8), (9, 0)], ids=repr)
def test_creation_has_the_whole_upload_or_nothing(length, count):
    assert plan_creation(ServerLimits(with_creation=8), length) == count


@pytest.mark.parametrize(
    ("previous", "rate", "size"),
    [
        (0, 1e9, 8),
        (8, None, 8),
        (8, 1e9, 256),
        (256, 1e9, 512),
        (64, 1.6, 24),
        (64, 0.0, 8),
        (64, float("inf"), 512),
    ],
)
def test_chunk_takes_half_of_the_longest_time(previous, rate, size):
    limits = ServerLimits(align=8, first_chunk=8, max_chunk=512, max_chunk_seconds=30.0)
    assert plan_chunk(limits, remaining=1_000, previous=previous, rate=rate) == size


@pytest.mark.parametrize("length", [None, 1, 10])
def test_valid_length_passes(length):
    check_upload_length(ServerLimits(max_length=10), length)


def test_limits_may_depend_on_the_length():
    fixed = ServerLimits(max_chunk=7)
    assert as_limits_for(fixed)(10 * MIB) is fixed
    assert as_limits_for(None)(10 * MIB) == livepeer_limits(10 * MIB)
    assert as_limits_for(lambda length: ServerLimits(max_length=length))(3).max_length == 3
