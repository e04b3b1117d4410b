"""Every address that gives pictures out, played for two minutes by programs that people play them with.

A clip that flashes and beeps at each full second, on patches of colours, is played as a camera; its sound goes along.
ffmpeg and GStreamer play what comes out of each address, all at once. They must not complain while they decode, time
stamps must rise, colours be within 4 levels of 255 of the clip's, and flash and beep no further apart than 40 ms at
the end as at the beginning.

    python -m benchmarks.peers --json benchmarks/results/peers.json

Needs Debian's ffmpeg and GStreamer, as the tests do. ``python -m benchmarks.home_assistant --streams`` is the same
for Home Assistant.
"""
