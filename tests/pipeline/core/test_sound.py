"""A camera's sound as encoders take it: in order, once each, and never more than is kept."""

from __future__ import annotations

import random
from fractions import Fraction

from nightday.pipeline.core import sound
from nightday.pipeline.core.sound import SoundFormat, SoundPacket, SoundReader, SoundTrack

FORMAT = SoundFormat("aac", 48_000, "mono", b"\x11\x88", b"...")


def packet(at: float, size: int = 10) -> SoundPacket:
    return SoundPacket(FORMAT, bytes(size), Fraction(at).limit_denominator(10**6), Fraction(1, 50))


def test_readers_get_each_packet_once_in_order_and_what_is_out_of_order_never() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    track = SoundTrack()
    readers = [SoundReader(track) for _ in range(3)]
    got: list[list[Fraction]] = [[] for _ in readers]
    sent: list[Fraction] = []
    at = 0.0
    for _ in range(700):
        at += rng.uniform(-0.02, 0.06)
        one = packet(at)
        rises = not sent or one.at > sent[-1]
        assert track.put(one) == rises
        if rises:
            sent.append(one.at)
        for reader, mine in zip(readers, got, strict=True):
            if rng.random() < 0.1:
                until = Fraction(at - rng.uniform(0, 0.3)).limit_denominator(10**6)
                mine += [each.at for each in reader.until(until)]
                # All that was there is taken, but what is later.
                assert len(mine) == max(len(mine), sum(each <= until for each in sent))
    for mine in got:
        assert mine == sent[: len(mine)]
        assert len(mine) > 300


def test_one_who_is_far_behind_gets_the_newest_alone() -> None:
    track = SoundTrack()
    reader = SoundReader(track)
    for number in range(3000):
        track.put(packet(number / 50))
    got = reader.until(Fraction(10**6))
    assert len(got) == sound.MOST_PACKETS
    assert got[-1].at == Fraction(2999, 50)
    assert reader.until(Fraction(10**6)) == ()


def test_large_packets_are_bounded_too() -> None:
    track = SoundTrack()
    for number in range(100):
        track.put(packet(number, size=10**5))
    kept, _ = track.since(0, Fraction(10**6))
    assert sum(len(one.data) for one in kept) <= sound.MOST_BYTES


def test_each_format_is_told_once() -> None:
    told: list[SoundFormat] = []
    track = SoundTrack(told.append)
    other = SoundFormat("pcm_alaw", 8000, "mono", b"", b"")
    for form in (FORMAT, FORMAT, other, FORMAT):
        track.tell(form)
        assert track.passed == (form if form.description else None)
    assert told == [FORMAT, other, FORMAT]
