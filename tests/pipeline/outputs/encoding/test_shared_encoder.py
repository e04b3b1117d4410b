"""One encoder for all outputs of a camera: each gets only what it can decode, and nothing is encoded twice."""

from __future__ import annotations

import dataclasses
import random
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from nightday.engines.video.look import Look
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.encoding import encoder
from nightday.pipeline.outputs.encoding.encoder import Encoder
from nightday.pipeline.outputs.encoding.shared_encoder import (
    HISTORY,
    EncodedPicture,
    EncoderClient,
    SharedEncoder,
)
from nightday.pipeline.outputs.writer import PictureSkipped
from tests.support.media_helpers import picture

FRAME = 512
Decoded = dict[int, bytes]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """PTS of every picture that went through x264."""
    seen: list[int] = []
    genuine = Encoder.encode

    def counted(self: Encoder, shown: Picture, *, key: bool = False) -> list[av.Packet[VideoStream]]:
        seen.append(shown.frame.pts)
        return genuine(self, shown, key=key)

    monkeypatch.setattr(encoder.Encoder, "encode", counted)
    return seen


def shown(number: int) -> Picture:
    """A picture that differs from its neighbours everywhere."""
    rgb = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    return picture(number * FRAME, rgb=rgb)


def take(client: EncoderClient, one: Picture, *, key: bool = False) -> EncodedPicture | None:
    """What the client gives for a picture; None where it is skipped."""
    try:
        return client.encode(one, key=key)
    except PictureSkipped:
        return None


def decode(coded: list[EncodedPicture]) -> Decoded:
    """Pictures by PTS, by a decoder that fails on what it has no reference for."""
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, VideoCodecContext)
    context.options = {"err_detect": "explode", "flags": "-output_corrupt"}
    frames: list[av.VideoFrame] = []
    for item in coded:
        packet = av.Packet(item.data)
        packet.pts = packet.dts = item.pts
        frames += context.decode(packet)
    frames += context.decode(None)
    return {frame.pts: frame.to_ndarray().tobytes() for frame in frames if frame.pts is not None}


def test_each_picture_is_encoded_once_for_all(encoded: list[int]) -> None:
    shared = SharedEncoder()
    clients = [EncoderClient(shared) for _ in range(3)]
    pictures = [shown(number) for number in range(30)]
    got = [[client.encode(one) for client in clients] for one in pictures]
    assert encoded == [one.frame.pts for one in pictures]
    assert all(coded is row[0] for row in got for coded in row)


def test_outputs_that_leave_out_pictures_at_random_get_what_they_can_decode(encoded: list[int]) -> None:
    """Each output's stream decodes to the very pictures of the whole stream, however the others fare."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    shared = SharedEncoder()
    whole: dict[int, EncodedPicture] = {}
    clients = [EncoderClient(shared) for _ in range(3)]
    queues: list[list[Picture]] = [[] for _ in clients]
    got: list[list[EncodedPicture]] = [[] for _ in clients]
    left_out = [0, 0, 0]
    for number in range(300):
        one = shown(number)
        for place in range(3):
            if rng.random() < (0.0, 0.05, 0.2)[place] or len(queues[place]) > 6:
                left_out[place] += 1
            else:
                queues[place].append(one)
        for place in rng.sample(range(3), 3):
            for _ in range(rng.randrange(4) if place else len(queues[place])):
                if queues[place]:
                    given = take(clients[place], queues[place].pop(0), key=rng.random() < 0.02)
                    if given is not None:
                        got[place].append(given)
                        whole[given.pts] = given
    assert len(encoded) == len(set(encoded))
    reference = decode([whole[pts] for pts in sorted(whole)])
    for coded, lost in zip(got, left_out, strict=True):
        assert coded[0].key
        frames = decode(coded)
        assert frames == {item.pts: reference[item.pts] for item in coded}
        assert len(coded) >= 300 - 10 * lost - 10
    assert len(got[0]) == 300


def test_a_key_frame_asked_for_comes_with_the_picture_or_the_next_one() -> None:
    shared = SharedEncoder()
    first, second = EncoderClient(shared), EncoderClient(shared)
    for number in range(5):
        first.encode(shown(number))
    ahead = shown(5)
    assert not first.encode(ahead).key
    assert take(second, ahead, key=True) is None  # what it would need was never given to it
    following = first.encode(shown(6))
    assert following.key
    assert second.encode(shown(6)) is following
    assert not first.encode(shown(7)).key


def test_an_output_that_begins_takes_nothing_but_a_key_frame() -> None:
    shared = SharedEncoder()
    first, second = EncoderClient(shared), EncoderClient(shared)
    for number in range(3):
        first.encode(shown(number))
        second.encode(shown(number))
    first.encode(shown(3))
    with pytest.raises(PictureSkipped):
        second.encode(shown(3), begins=True)  # it could decode it, but not begin a file with it
    assert second.encode(shown(4), begins=True).key


def test_one_that_lies_far_behind_gets_nothing_old_and_starts_anew_with_a_key_frame(
    encoded: list[int],
) -> None:
    shared = SharedEncoder()
    quick, slow = EncoderClient(shared), EncoderClient(shared)
    assert slow.encode(shown(0)) is not None
    for number in range(HISTORY + 10):
        assert quick.encode(shown(number)) is not None
    assert [take(slow, shown(number)) for number in range(1, 5)] == [None] * 4
    assert len(encoded) == HISTORY + 10
    again = slow.encode(shown(HISTORY + 10))
    assert again.key
    assert quick.encode(shown(HISTORY + 10)) is again


def test_a_camera_whose_time_starts_anew_starts_a_new_stream() -> None:
    shared = SharedEncoder()
    client = EncoderClient(shared)
    streams = []
    for number, decoded_at in [(10, 1.0), (11, 2.0), (1, 3.0), (2, 4.0)]:
        one = shown(number)
        frame = dataclasses.replace(one.frame, decoded_at=decoded_at)
        coded = client.encode(dataclasses.replace(one, frame=frame))
        streams.append((coded.stream, coded.key))
    assert streams == [(1, True), (1, False), (2, True), (2, False)]


def test_another_size_or_time_base_starts_a_new_stream() -> None:
    client = EncoderClient(SharedEncoder())
    made = [
        client.encode(one)
        for one in (
            picture(1 * FRAME),
            picture(2 * FRAME, size=(96, 80)),
            picture(3 * FRAME, size=(97, 81)),
            picture(900, time_base=Fraction(1, 1000), size=(96, 80)),
        )
    ]
    assert [(coded.stream, coded.size, coded.key) for coded in made] == [
        (1, (64, 48), True),
        (2, (96, 80), True),
        (2, (96, 80), False),
        (3, (96, 80), True),
    ]


def test_threads_that_ask_at_once_get_the_same(encoded: list[int]) -> None:
    shared, pictures = SharedEncoder(), [shown(number) for number in range(60)]
    barrier = threading.Barrier(4)
    got: list[list[EncodedPicture]] = [[] for _ in range(4)]

    def ask(place: int) -> None:
        client = EncoderClient(shared)
        for one in pictures:
            barrier.wait(20)
            got[place].append(client.encode(one))

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(encoded) == 60
    assert got[0] == got[1] == got[2] == got[3]
    assert len(got[0]) == 60


def test_another_look_begins_another_stream(encoded: list[int]) -> None:
    """Pixel aspect and colours are written into parameter sets, which stand at a stream's beginning."""
    shared = SharedEncoder()
    looks = [(None, 2), (Look(pixel_aspect=Fraction(16, 11)), 2), (Look(pixel_aspect=Fraction(16, 11)), 1)]
    streams, told = [], []
    for number in range(6):
        look, matrix = looks[number // 2]
        video = av.VideoFrame(64, 48, "yuv420p")
        video.opaque, video.colorspace = look, matrix
        one = picture(number * FRAME)
        coded = shared.encode(
            dataclasses.replace(one, frame=dataclasses.replace(one.frame, video=video)), key=False
        )
        assert coded is not None
        streams.append((coded.stream, coded.key))
        context = VideoCodecContext.create("h264", "r")
        assert isinstance(context, VideoCodecContext)
        if coded.key:
            (decoded,) = [*context.decode(av.Packet(coded.data)), *context.decode(None)]
            told.append((context.sample_aspect_ratio, decoded.colorspace))
    assert streams == [(1, True), (1, False), (2, True), (2, False), (3, True), (3, False)]
    assert told[1:] == [(Fraction(16, 11), 6), (Fraction(16, 11), 1)]
    assert told[0][0] in (None, 0, 1)


def still(number: int) -> Picture:
    """A picture like all others: x264 makes a key frame of one that differs from the one before."""
    return picture(number * FRAME, rgb=np.full((48, 64, 3), 90, np.uint8))


def test_cameras_that_begin_together_have_their_key_frames_at_different_times() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    names = [f"camera{rng.randrange(10**6)}" for _ in range(12)]
    # Ticks at 25 pictures a second; a recording asks for a key frame each 20 s, as files begin together.
    rate, seconds, file_seconds = 25, 40, 20
    at: dict[str, list[int]] = {}
    for name in names:
        client = EncoderClient(SharedEncoder(camera=name))
        at[name] = []
        for number in range(rate * seconds):
            encoded = client.encode(still(number), key=number % (file_seconds * rate) == 0)
            if encoded.key:
                at[name].append(number)
    for numbers in at.values():
        apart = np.diff(numbers)
        usual = round(encoder.KEYFRAME_SECONDS * rate)
        assert apart.max() <= usual
        assert (apart == usual).sum() >= len(apart) - 4, "but for those around a file's beginning"
        assert {0, file_seconds * rate} <= set(numbers)
    both = [len(set(at[one]) & set(at[other])) for one in names for other in names if one < other]
    assert np.mean(both) < 5, "of over 20"


def test_an_output_that_asks_for_each_key_frame_gets_no_others() -> None:
    client = EncoderClient(SharedEncoder(camera="gate"))
    usual = round(encoder.KEYFRAME_SECONDS * 25)
    keys = [
        number for number in range(10 * usual) if client.encode(still(number), key=number % usual == 0).key
    ]
    assert [number for number in keys if number >= usual] == [*range(usual, 10 * usual, usual)]
