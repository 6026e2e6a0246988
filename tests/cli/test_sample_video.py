import struct

import pytest

from livepeer_async.cli.sample_video import free_header, read_clip, write_video


def walk(content, start=0, stop=None):
    """Return the boxes of an MP4 file as (type, start of the payload, end)."""
    boxes = []
    stop = len(content) if stop is None else stop
    while start < stop:
        size, kind = struct.unpack_from(">I4s", content, start)
        payload = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, payload)
            payload += 8
        assert payload <= start + size <= stop
        boxes.append((kind.decode(), payload, start + size))
        start += size
    return boxes


def find(content, *path):
    """Return the boxes at a path."""
    found = [("", 0, len(content))]
    for kind in path:
        found = [
            box for _, start, stop in found for box in walk(content, start, stop) if box[0] == kind
        ]
    return found


def handlers(content):
    """Return the kinds of tracks: video, sound."""
    return [
        content[start + 8 : start + 12].decode()
        for _, start, _ in find(content, "moov", "trak", "mdia", "hdlr")
    ]


def codecs(content):
    return {
        content[start + 12 : start + 16].decode()
        for _, start, _ in find(content, "moov", "trak", "mdia", "minf", "stbl", "stsd")
    }


def test_clip_is_small_and_has_h264_and_aac():
    clip = read_clip()
    assert len(clip) <= 200_000
    assert handlers(clip) == ["vide", "soun"]
    assert codecs(clip) == {"avc1", "mp4a"}


@pytest.mark.parametrize("seed", [None, 3])
def test_longer_video_is_the_clip_and_a_free_box(tmp_path, seed):
    length = 2_500_000
    write_video(tmp_path / "long.mp4", length, seed=seed)
    clip, video = read_clip(), (tmp_path / "long.mp4").read_bytes()
    assert len(video) == length
    assert video.startswith(clip)
    boxes = walk(video)
    assert boxes[:-1] == walk(clip)
    kind, start, stop = boxes[-1]
    assert (kind, stop) == ("free", length)
    assert start == len(clip) + 8
    assert (video[start:].count(0) == length - start) is (seed is None)


def test_samples_keep_their_offsets(tmp_path):
    write_video(tmp_path / "long.mp4", 1_000_000)
    video = (tmp_path / "long.mp4").read_bytes()
    ((_, first, last),) = find(video, "mdat")
    for _, start, _ in find(video, "moov", "trak", "mdia", "minf", "stbl", "stco"):
        (number,) = struct.unpack_from(">I", video, start + 4)
        offsets = struct.unpack_from(f">{number}I", video, start + 8)
        assert all(first <= offset < last for offset in offsets)


def test_same_seed_gives_the_same_video(tmp_path):
    for name in ("one", "two"):
        write_video(tmp_path / name, 300_000, seed=1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_free_header_fits_the_size():
    assert free_header(2**32 - 1) == struct.pack(">I4s", 2**32 - 1, b"free")
    assert free_header(2**32) == struct.pack(">I4sQ", 1, b"free", 2**32)
    with pytest.raises(ValueError, match="at least 8 bytes; wanted 7"):
        free_header(7)
