"""Small media files, made with PyAV's encoders once in a test run."""

import functools
import io
import struct

import av

SIZE = (64, 48)


@functools.cache
def make_media(
    container,
    codec=None,
    pixel_format="yuv420p",
    *,
    audio=False,
    size=SIZE,
    frames=3,
    fragments=False,
):
    """Return the bytes of a file.

    Args:
        container: FFmpeg's name of the muxer.
        codec: of the video track; no video track without it.
        pixel_format: of the video track.
        audio: whether there is an audio track.
        size: width and height.
        frames: pictures of the video track.
        fragments: whether an MP4 file consists of fragments.
    """
    file = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov"} if fragments else {}
    with av.open(file, "w", format=container, options=options) as output:
        video = _add_video(output, codec, pixel_format, size) if codec else None
        sound = output.add_stream("aac", rate=48000) if audio else None
        if video:
            for number in range(frames):
                output.mux(video.encode(_picture(size, pixel_format, number)))
            output.mux(video.encode(None))
        if sound:
            output.mux(sound.encode(_silence()))
            output.mux(sound.encode(None))
    return file.getvalue()


@functools.cache
def make_song(container, *, has_cover=True):
    """Return the bytes of a sound file, with a picture in PNG as its cover."""
    file = io.BytesIO()
    picture = make_media("mov", "png", "rgb24", frames=1)
    codec = {"mp4": "aac", "mp3": "libmp3lame", "flac": "flac"}[container]
    with av.open(file, "w", format=container) as output, av.open(io.BytesIO(picture)) as source:
        sound = output.add_stream(codec, rate=48000)
        if has_cover:
            cover = output.add_stream_from_template(source.streams.video[0])
            cover.disposition = av.stream.Disposition.attached_pic
            packet = next(source.demux(video=0))
            packet.stream = cover
            output.mux(packet)
        output.mux(sound.encode(_silence(sound.format.name)))
        output.mux(sound.encode(None))
    return file.getvalue()


def without_durations(media):
    """Return an MP4 file with each sample's duration set to 0, so it has no frame rate."""
    changed = bytearray(media)
    start = media.index(b"stts") + 8
    (entries,) = struct.unpack_from(">I", media, start)
    for entry in range(entries):
        struct.pack_into(">I", changed, start + 4 + 8 * entry + 4, 0)
    return bytes(changed)


def with_samples(media, number):
    """Return an MP4 file that declares a number of samples of one byte."""
    changed = bytearray(media)
    struct.pack_into(">II", changed, media.index(b"stsz") + 8, 1, number)
    struct.pack_into(">I", changed, media.index(b"stsc") + 16, number)
    return bytes(changed)


def with_brand(media, brand):
    """Return an MP4 file with another major brand."""
    start = media.index(b"ftyp") + 4
    return media[:start] + brand + media[start + 4 :]


def _add_video(output, codec, pixel_format, size):
    video = output.add_stream(codec, rate=25)
    video.width, video.height = size
    video.pix_fmt = pixel_format
    if codec == "libx265":
        video.options = {"x265-params": "log-level=none"}
    return video


def _picture(size, pixel_format, number):
    frame = av.VideoFrame(*size, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    if pixel_format != "yuv420p":
        frame = frame.reformat(format=pixel_format)
    frame.pts = number
    return frame


def _silence(sample_format="fltp"):
    frame = av.AudioFrame(sample_format, "stereo", 1024)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts = 48000, 0
    return frame
