"""Hours of faults: what recovers, how soon, and what it costs in memory, threads and files.

    python -m benchmarks.soak reconnects outages mixed16 overload kill fuzz --json benchmarks/results/soak.json

Each case runs the whole pipeline (reader, batcher, engine, and outputs where it says so). The cameras come from
GStreamer's RTSP server behind ``tests.faults.proxy``. The model is a real checkpoint of the smallest generator, made
when the case starts.

- ``reconnects``: four minutes pass in which buffers fill, then a thousand connections are cut. All cameras recover.
  After the first fifty cuts resident memory grows by less than 1 MB, and threads and file descriptors do not grow.
- ``outages``: cameras are away for random times. In 95 of 100 outages the first translated frame comes within 2 s of
  the first connection that could succeed.
- ``mixed16``: sixteen cameras without faults; then one each is dead, stalled, damaged (1 % of the bytes), flooding
  (four times the rate) and refusing the login. The other eleven keep 95 % of the rate they had before, in the same
  run.
- ``overload``: four times as many frames as the engine can translate. 95 of 100 latencies stay below ``max_age`` plus
  one batch. Resident memory stays within 2 % after the first quarter.
- ``flood``: one camera goes over to four times its rate, which is more than the engine can translate. Resident memory
  stays within 2 % after the first quarter, and 95 of 100 latencies stay below ``max_age`` plus one batch.
- ``kill``: the command is killed while it records, 50 times. At most 2 s of video are lost, and every file plays.
- ``fuzz``: a reader in a process of its own gets false session descriptions and false RTP. It does not crash. After
  the first quarter resident memory grows by less than 1 MB, and allocated memory by less than 0.1 MB.
"""
