"""Frames that stay on the GPU: nothing crosses whole, whatever is missing falls back by itself, and the log says so.

Here the GPU is a stand-in (``stand_in_gpu``) whose every transfer is seen; NVDEC is the CPU's decoder with its NV12
handed over by DLPack, NVENC is x264. The last test needs the real things.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import pytest
import torch
from av.codec.hwaccel import HWAccel
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines import device_copies
from nightday.engines.detection.detections import Detection
from nightday.pipeline.analysis import draw
from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram
from nightday.pipeline.core.event_log import to_log
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.media import gpu_video
from nightday.pipeline.outputs.encoding import encoder
from nightday.pipeline.outputs.encoding.encoder import NVENC_OPTIONS
from nightday.pipeline.outputs.encoding.shared_encoder import EncodedPicture, EncoderClient, SharedEncoder
from nightday.pipeline.scene.background import Background
from nightday.pipeline.scene.light import Light, measure
from nightday.pipeline.scene.night_gate import NightGate
from nightday.pipeline.scene.training_pictures import TrainingPictures
from nightday.pipeline.serving.probation import MOST_FAILURES, Probation
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.supervision import camera as camera_module
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.translation.camera_pictures import CameraPictures
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.worker_pool import WorkerPool
from tests.engines.test_device_copies import since
from tests.faults.camera import Camera
from tests.support.engines import EngineStub
from tests.support.media_helpers import FakeClock, picture
from tests.support.stand_in_gpu import DEVICE, OnGpu, Transfer, stand_in_gpu

CLIP = Path(__file__).parents[2] / "benchmarks" / "clips" / "night_a1_barnet_simulated.mp4"
FRAMES = 12
TIME_BASE = Fraction(1, 25)


X264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "forced-idr": "1", "threads": "1"}


class Engine(EngineStub):
    """A generator that brightens, on the stand-in GPU if it has a ``device``."""

    def __init__(self, device: torch.device | None) -> None:
        super().__init__()
        self.device = device
        self.batches: list[int] = []

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        if isinstance(frames, Tensor):
            assert frames.device == self.device
            self.batches.append(len(frames))
            return (frames.float() * 1.5 + 20).round().clamp(0, 255).to(torch.uint8)
        assert isinstance(frames, np.ndarray)
        return np.clip(np.round(frames * np.float32(1.5) + 20), 0, 255).astype(np.uint8)


class Detector:
    """Finds a car on every picture, looking at it where it lies."""

    def __init__(self, device: torch.device | None) -> None:
        self.device = device

    def __call__(self, pictures: Any) -> list[list[Detection]]:
        assert isinstance(pictures, Tensor) == (self.device is not None)
        return [[Detection("car", 0.8, (40.0, 90.0, 120.0, 150.0))] for _ in pictures]


class Output:
    """An output in the workers' own thread."""

    def __init__(self, shared: SharedEncoder) -> None:
        self._feed = EncoderClient(shared)
        self.coded: list[EncodedPicture] = []
        self.pictures: list[Picture] = []

    def offer(self, shown: Picture) -> bool:
        self.coded.append(self._feed.encode(shown))
        self.pictures.append(shown)
        return True


@dataclass
class Run:
    """What came of a run."""

    transfers: list[Transfer]
    counted: Counter[tuple[Any, Any]]
    output: Output
    shared: SharedEncoder
    channel: Channel
    engine: Engine
    plane: int
    """Bytes of a frame's luma: what is at least as large is a whole frame."""

    @property
    def crossed(self) -> Counter[str]:
        """Whole frames that were seen to cross, by direction."""
        return Counter(one.direction for one in self.transfers if one.nbytes >= self.plane)


def nights(pix_fmt: str) -> list[av.VideoFrame]:
    with av.open(str(CLIP)) as clip:
        frames = [frame for frame, _ in zip(clip.decode(video=0), range(FRAMES), strict=False)]
    return [frame.reformat(format=pix_fmt) for frame in frames]


@dataclass
class Gpu:
    """The stand-ins of a test, and what it can do without."""

    transfers: list[Transfer]
    patch: pytest.MonkeyPatch
    nvenc: bool = True
    frames: list[av.VideoFrame] = field(default_factory=lambda: nights("nv12"))

    def run(
        self,
        *,
        engine: Any = None,
        detect: Any = None,
        background: Background | None = None,
        config: dict[str, Any] | None = None,
        collect: Path | None = None,
        own_backgrounds: bool = False,
    ) -> Run:
        """All frames through the workers and an encoder, in this thread."""
        engine = engine or Engine(DEVICE)
        ready = threading.Condition()
        stats = CameraStats()
        shared = SharedEncoder(camera="gate")
        output = Output(shared)
        channel_config = CameraConfig.model_validate(
            {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "always", **(config or {})}
        )
        channel = Channel(
            config=channel_config,
            stats=stats,
            slot=LatestSlot(ready=ready, stats=stats),
            engine=engine,
            detector=detect,
            gate=NightGate(),
            own_backgrounds=own_backgrounds,
        )
        channel.outputs = [output]  # type: ignore[list-item]
        training = None
        if collect is not None:
            gate = NightGate()
            for second in range(-10, 0):  # it has been night for a while
                gate.update(Light(30, 8), now=second)
            training = TrainingPictures(
                camera="gate", folder=collect, every=60, keep=500, gate=gate, stats=stats
            )
        channel.pictures = CameraPictures(
            faults=channel.faults,
            background=background,
            training=training,
            snapshot_png=channel_config.snapshot,
        )
        before, began = device_copies.counted(), len(self.transfers)
        for number, video in enumerate(self.frames):
            pool = WorkerPool(
                {"gate": channel},
                ready=ready,
                max_batch=8,
                stop=threading.Event(),
                batches=Histogram(BATCH_BOUNDS),
                clock=FakeClock(),
            )
            channel.slot.put(Frame("gate", video, number, TIME_BASE, float(number), 0.0))
            pool.finish()
            pool.run()
            assert pool.error is None
        assert channel.lost == ""
        assert len(output.coded) == len(self.frames)
        luma = self.frames[0].width * self.frames[0].height
        return Run(self.transfers[began:], since(before), output, shared, channel, engine, luma)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    genuine_planes, genuine_frame, genuine_codec = gpu_video.planes_of, gpu_video.as_frame, encoder._codec

    def codec(name: str, pix_fmt: str, options: dict[str, str]) -> Any:
        if name == "h264_nvenc" and made.nvenc:
            assert pix_fmt == "cuda"
            return genuine_codec("libx264", "nv12", X264)
        return genuine_codec(name, pix_fmt, options)

    def as_frame(packed: Tensor, context: Any) -> av.VideoFrame:
        assert isinstance(packed, OnGpu)
        assert context is not None
        return genuine_frame(packed.inner, None)

    with stand_in_gpu() as transfers:
        made = Gpu(transfers, monkeypatch)
        monkeypatch.setattr(gpu_video, "on_gpu", lambda video: video.format.name == "nv12")
        monkeypatch.setattr(
            gpu_video,
            "planes_of",
            lambda video: tuple(OnGpu(plane, transfers) for plane in genuine_planes(video)),
        )
        monkeypatch.setattr(gpu_video, "as_frame", as_frame)
        monkeypatch.setattr(encoder, "_codec", codec)
        draw._mark_on.cache_clear()
        yield made
        draw._mark_on.cache_clear()


def decoded(coded: list[EncodedPicture]) -> np.ndarray:
    """What a player sees, (N, H, W, 3)."""
    context = av.CodecContext.create("h264", "r")
    frames = []
    for item in coded:
        packet = av.Packet(item.data)
        packet.pts = packet.dts = item.pts
        frames += context.decode(packet)
    frames += context.decode(None)
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def inner(shown: Picture) -> NDArray[np.uint8]:
    """A picture on the stand-in GPU, uncounted."""
    assert isinstance(shown.rgb, OnGpu)
    pixels: NDArray[np.uint8] = shown.rgb.inner.numpy()
    return pixels


def psnr(got: NDArray[Any], want: NDArray[Any]) -> Any:
    """Of each picture, dB."""
    assert got.shape == want.shape
    return 10 * np.log10(255**2 / np.square(got.astype(float) - want).mean(axis=(1, 2, 3)))


# Nothing crosses ----------------------------------------------------------------------------------------------


def test_no_frame_crosses_between_decoding_and_encoding(gpu: Gpu) -> None:
    run = gpu.run(detect=Detector(DEVICE))
    assert run.crossed == {}
    assert run.counted == {}
    assert sum(one.nbytes for one in run.transfers) < FRAMES * run.plane / 8  # lights, letters, the mark once
    assert run.shared.name == "nvenc"
    assert run.engine.batches == [1] * FRAMES
    assert run.channel.stats.snapshot().detections == {"car": FRAMES}
    assert run.channel.stats.snapshot().translated == FRAMES
    assert all(shown.translated and isinstance(shown.rgb, OnGpu) for shown in run.output.pictures)


def test_no_frame_crosses_where_both_views_are_looked_at_and_all_is_drawn(gpu: Gpu) -> None:
    """Zones, a line, ways and masks are drawn where the picture lies."""

    class Segmenting(Detector):
        batches: ClassVar[list[int]] = []

        def __call__(self, pictures: Any) -> list[list[Detection]]:
            self.batches.append(len(pictures))
            corners = ((40.0, 90.0), (120.0, 90.0), (80.0, 150.0))
            return [[replace(one, outline=corners) for one in found] for found in super().__call__(pictures)]

    section = {
        "model": "own:find",
        "on": "both",
        "zones": {"yard": {"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}},
        "lines": {"drive": {"from": [0.5, 0.1], "to": [0.5, 0.9]}},
    }
    run = gpu.run(detect=Segmenting(DEVICE), config={"detect": section})
    assert run.crossed == {}
    assert run.counted == {}
    assert Segmenting.batches == [2] * FRAMES
    found = run.channel.stats.snapshot().found
    assert (found.tracks, set(found.now)) == ({"car": 1}, {None, "yard"})


def test_what_comes_out_is_what_the_host_makes(gpu: Gpu) -> None:
    """With its mark and its boxes, but for the rounding of the conversions; decoded, it is as near to the truth."""
    there = gpu.run(detect=Detector(DEVICE))
    gpu.frames = nights("yuv420p")
    host = gpu.run(engine=Engine(None), detect=Detector(None))
    assert host.counted == host.crossed == {}
    assert host.shared.name == "x264"
    wanted = np.stack([shown.rgb for shown in host.output.pictures]).astype(float)
    made = np.stack([inner(shown) for shown in there.output.pictures])
    assert np.abs(made - wanted).max() <= 6  # 3 of swscale's conversion, times the engine's 1.5, rounded
    player, before = (psnr(decoded(run.output.coded), wanted) for run in (there, host))
    assert np.abs(player - before).max() < 0.5  # dB
    height = wanted.shape[1]
    corner = decoded(there.output.coded)[:, -height // 24 :, -height // 3 :]
    assert (corner > 180).mean() > 0.02  # white letters


def test_the_guard_sees_a_frame_that_crosses_uncounted(gpu: Gpu) -> None:
    """Whoever brings a frame to the host behind the counter's back fails the test above."""

    class Leaky(Engine):
        def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
            return torch.from_numpy(255 - frames.cpu().numpy()).to(DEVICE)

    leaky = gpu.run(engine=Leaky(DEVICE))
    assert leaky.counted == {}
    assert leaky.crossed == {"to_host": FRAMES, "to_device": FRAMES}


def test_the_background_takes_its_samples_and_no_more(gpu: Gpu) -> None:
    background = Background(camera="gate", frames=3, every=5 / 25)
    run = gpu.run(background=background)
    count = run.counted["to_host", "background"]
    assert run.counted == {("to_host", "background"): count}
    assert run.crossed == {"to_host": count}
    assert 1 <= count <= -(-FRAMES // 5)
    background.finish()
    shown = inner(run.output.pictures[0])
    assert background.picture is not None
    drawn = np.minimum(background.picture * 1.5 + 20, 255)  # what the engine makes of what the camera sees
    assert np.abs(drawn - shown)[: -shown.shape[0] // 12].mean() < 12


def test_a_night_is_brightened_on_the_gpu(gpu: Gpu) -> None:
    run = gpu.run(own_backgrounds=True)
    assert (run.counted, run.crossed) == ({}, {})
    stats = run.channel.stats.snapshot()
    assert (stats.brightened, stats.translated) == (FRAMES, 0)


def test_a_snapshot_crosses_when_it_is_saved(gpu: Gpu, tmp_path: Path) -> None:
    run = gpu.run(config={"snapshot": str(tmp_path / "snap.png")}, detect=Detector(DEVICE))
    assert run.counted == {}
    before = device_copies.counted()
    assert run.channel.pictures.save() == [tmp_path / "snap.png"]
    assert since(before) == {("to_host", "snapshot"): 2}


def test_a_picture_is_brought_to_the_host_when_it_is_collected(gpu: Gpu, tmp_path: Path) -> None:
    run = gpu.run(collect=tmp_path, detect=Detector(DEVICE))
    assert run.counted == {("to_host", "collect"): 1}
    assert run.crossed == {"to_host": 1}
    before = device_copies.counted()
    assert run.channel.pictures.save() == [tmp_path]
    assert since(before) == {}
    (name,) = os.listdir(tmp_path / "night")
    picture = cv2.imread(str(tmp_path / "night" / name))
    assert picture is not None
    kept = picture[..., ::-1]
    night = gpu.frames[0].to_ndarray(format="rgb24")
    assert np.abs(kept.astype(int) - night).mean() < 2  # no day, no mark, no box


def test_the_light_is_measured_there_as_here(gpu: Gpu) -> None:
    for frame in gpu.frames:
        began = len(gpu.transfers)
        there = measure(frame)
        # The means of 24×29 cells in three planes, and the mean luma: nothing that grows with the picture.
        assert [one.nbytes for one in gpu.transfers[began:]] == [24 * 29 * 3 * 4, 4]
        here = measure(frame.reformat(format="yuv420p"))
        assert there.luma == pytest.approx(here.luma, abs=1e-3)
        assert there.chroma == pytest.approx(here.chroma, abs=1e-3)


# What is missing falls back ------------------------------------------------------------------------------------


def test_without_nvenc_each_picture_comes_down_once(gpu: Gpu, caplog: pytest.LogCaptureFixture) -> None:
    """NVENC itself is asked here, and there is none: x264 takes over before a picture is lost, and that is said."""
    gpu.nvenc = False
    run = gpu.run()
    assert run.counted == {("to_host", "encode"): FRAMES}
    assert run.crossed == {"to_host": FRAMES}
    assert max(one.nbytes for one in run.transfers) == run.plane * 3 // 2  # as NV12
    assert run.shared.name == "x264"
    assert len(decoded(run.output.coded)) == FRAMES
    assert [record.__dict__["event"] for record in caplog.records if record.levelno >= logging.WARNING] == [
        "nvenc_missing"
    ]
    assert caplog.records[-1].getMessage().startswith("gate: NVENC does not encode here (")


def test_nvenc_may_fail_in_mid_stream(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    working, calls = gpu_video.as_frame, [0]

    def failing(packed: Tensor, context: Any) -> av.VideoFrame:
        calls[0] += 1
        if calls[0] > 5:
            raise RuntimeError("CUDA error: the GPU has fallen off the bus")
        return working(packed, context)

    monkeypatch.setattr(gpu_video, "as_frame", failing)
    run = gpu.run()
    assert [coded.stream for coded in run.output.coded] == [1] * 5 + [2] * (FRAMES - 5)
    assert run.output.coded[5].key
    assert run.counted == {("to_host", "encode"): FRAMES - 5}
    assert len(decoded(run.output.coded)) == FRAMES
    assert "fallen off the bus" in caplog.text


def test_what_the_cpu_decoded_goes_up_once(gpu: Gpu) -> None:
    gpu.frames = nights("yuv420p")
    run = gpu.run()
    assert run.counted == {("to_device", "decode"): FRAMES}
    assert run.crossed == {"to_device": FRAMES}
    assert run.shared.name == "nvenc"


def test_a_host_engine_gets_frames_that_lie_on_the_gpu(gpu: Gpu) -> None:
    """As for the frames under way when an engine is swapped; outputs go on on the host."""
    run = gpu.run(engine=Engine(None))
    assert run.counted == {("to_host", "engine"): FRAMES}
    assert run.shared.name == "x264"


def test_an_engine_on_probation_is_rescued_by_one_on_the_host(gpu: Gpu) -> None:
    class Broken(Engine):
        def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
            raise RuntimeError("out of memory")

    probation = Probation(Broken(DEVICE), before=Engine(None), usual={}, clock=FakeClock())
    run = gpu.run(engine=probation)
    assert probation.result is not None
    assert not probation.result.kept
    assert run.channel.stats.snapshot().translated == FRAMES
    # While it serves pictures stay where the outputs expect them; from the verdict on all is on the host.
    assert run.counted == {("to_host", "engine"): FRAMES, ("to_device", "engine"): MOST_FAILURES}
    assert [isinstance(shown.rgb, Tensor) for shown in run.output.pictures] == (
        [True] * MOST_FAILURES + [False] * (FRAMES - MOST_FAILURES)
    )


def test_frames_are_brought_to_the_host_where_that_is_asked_for(gpu: Gpu) -> None:
    gpu.frames = nights("yuv420p")
    run = gpu.run(config={"frames": "host"})
    assert (
        run.counted == run.crossed == {}
    )  # this engine copies nothing itself; a real one counts as "engine"
    assert run.shared.name == "x264"


def test_nvenc_knows_the_options_that_it_is_given() -> None:
    known = av.CodecContext.create("h264_nvenc", "w").supported_options
    options = {option.name: option for option in (*known.generic, *known.private)}
    for name, value in NVENC_OPTIONS.items():
        choices = [choice.name for choice in options[name].choices]
        assert value in choices or value.isdigit(), (name, value, choices)


# Decoding -----------------------------------------------------------------------------------------------------


class FileReader(Camera):
    def frames(self) -> list[Frame]:
        self.reader.start()
        self.reader.join(30)
        assert not self.reader.is_alive()
        return self.slot.frames


def read(**options: Any) -> FileReader:
    camera = FileReader(str(CLIP), pace="fast", nvdec=True, **options)
    camera.frames()
    return camera


def all_frames() -> int:
    with av.open(str(CLIP)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Our own warnings, without FFmpeg's: its log is on while a source anywhere runs over UDP."""
    own = (record for record in caplog.records if not record.name.startswith("libav"))
    return [record.getMessage() for record in own if record.levelno >= logging.WARNING]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there the driver is")
def test_without_a_driver_the_cpu_decodes_and_no_frame_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FFmpeg itself is asked for NVDEC here, and fails to open the source with it."""
    monkeypatch.setattr(gpu_video, "accelerator", lambda: HWAccel("cuda", is_hw_owned=True))
    camera = read()
    assert len(camera.slot.frames) == all_frames()
    assert camera.reader.decoder == "software"
    assert [event.state for event in camera.events] == ["playing", "finished"]
    assert len(warned(caplog)) == 1
    assert warned(caplog)[0].startswith("gate: NVDEC does not decode here (")


@pytest.mark.parametrize(("device", "frames"), [(DEVICE, "auto"), (DEVICE, "host"), (None, "auto")])
def test_nvdec_is_for_cameras_whose_frames_stay_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, device: Any, frames: str
) -> None:
    config = CameraConfig.model_validate(
        {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "always", "frames": frames}
    )

    def made() -> camera_module.Camera:
        return camera_module.Camera(
            config,
            engine=Engine(device),
            detector=None,
            ready=threading.Condition(),
            commands=CommandQueue(),
            publish=to_log,
            clock=FakeClock(),
        )

    wanted = device is not None and frames == "auto"
    monkeypatch.setattr(gpu_video, "fault", lambda: None)
    assert made().reader._decoding.nvdec is wanted
    assert not warned(caplog)
    monkeypatch.setattr(gpu_video, "fault", lambda: "FFmpeg cannot open the GPU: Unknown error occurred")
    camera = made()
    assert camera.reader._decoding.nvdec is False
    assert len(warned(caplog)) == wanted
    assert all("gate: NVDEC does not decode here (FFmpeg cannot" in text for text in warned(caplog))
    assert (camera.status().decoder, camera.status().encoder) == (None, None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it is opened")
def test_ffmpeg_is_asked_to_share_pytorchs_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the options before it looks for a driver, whose absence is the fault here, and not they."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(gpu_video, "_enter", lambda device: None)
    accelerator = gpu_video.accelerator()
    assert accelerator.is_hw_owned
    with pytest.raises(PermissionError):
        accelerator.create(av.Codec("h264", "r"))
    both = HWAccel("cuda", is_hw_owned=True, options={"current_ctx": "1"})  # beside PyAV's primary_ctx
    with pytest.raises(ValueError, match="Invalid argument"):
        both.create(av.Codec("h264", "r"))
    context = gpu_video.context_for(torch.device("cuda", 0))
    assert context.current_ctx
    assert not context.primary_ctx


@pytest.mark.parametrize("error", [av.error.ExternalError, av.error.UnknownError, av.error.MemoryError])
def test_nvdec_that_fails_on_its_first_picture_gives_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Callable[..., Exception]
) -> None:
    asked: list[bool] = []

    def broken(*args: Any, hwaccel: object, **options: Any) -> Any:
        container = av.open(*args, **options)
        asked.append(hwaccel is not None)
        if hwaccel is None:
            return container

        def decode() -> Any:
            raise error(errno.ENOMEM, "CUDA_ERROR_OUT_OF_MEMORY")

        class Broken:
            streams, format = container.streams, container.format

            def demux(self, stream: Any) -> Iterator[Any]:
                for packet in container.demux(stream):
                    yield SimpleNamespace(is_keyframe=packet.is_keyframe, size=packet.size, decode=decode)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                container.close()

        return Broken()

    monkeypatch.setattr(gpu_video, "accelerator", object)
    monkeypatch.setattr("nightday.pipeline.media.ffmpeg.av", SimpleNamespace(open=broken))
    camera = read()
    assert asked == [True, False]
    assert len(camera.slot.frames) == all_frames()
    assert [event.state for event in camera.events] == ["playing", "finished"]
    assert len(warned(caplog)) == 1


def test_a_codec_that_nvdec_leaves_to_ffmpeg_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu_video, "accelerator", lambda: None)  # FFmpeg then gives frames of the CPU
    camera = read()
    assert len(camera.slot.frames) == all_frames()
    assert warned(caplog) == [
        "gate: NVDEC does not decode here (it does not take yuv420p of this codec); the CPU decodes"
    ]


def test_a_format_that_cannot_be_handed_over_gives_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[object] = []
    genuine = av.open

    def opening(*args: Any, hwaccel: object, **options: Any) -> Any:
        opened.append(hwaccel)
        return genuine(*args, **options)

    def on_gpu(video: av.VideoFrame) -> bool:
        return opened[-1] is not None

    monkeypatch.setattr(gpu_video, "accelerator", object)
    monkeypatch.setattr("nightday.pipeline.media.ffmpeg.av", SimpleNamespace(open=opening))
    monkeypatch.setattr(gpu_video, "on_gpu", on_gpu)
    monkeypatch.setattr(gpu_video, "sw_format_of", lambda video: "yuv444p")
    camera = read()
    assert len(opened) == 2
    assert len(camera.slot.frames) == all_frames()
    assert warned(caplog) == [
        "gate: NVDEC does not decode here (PyAV does not hand over yuv444p); the CPU decodes"
    ]


def test_a_picture_too_small_to_encode_is_not_nvenc_s_fault(
    gpu: Gpu, caplog: pytest.LogCaptureFixture
) -> None:
    shared = SharedEncoder(camera="gate")
    tiny = picture(0, rgb=OnGpu(torch.zeros((1, 8, 3), dtype=torch.uint8), gpu.transfers))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too small"):
        shared.encode(tiny, key=False)
    assert not warned(caplog)


# On a GPU -----------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_on_a_gpu_no_frame_crosses() -> None:
    """NVDEC, tensors and NVENC themselves; CUDA's own record of its copies is the witness."""
    from benchmarks.gpu.chain import crossed

    assert gpu_video.fault() is None
    with av.open(str(CLIP), hwaccel=gpu_video.accelerator()) as clip:
        frames = [frame for frame, _ in zip(clip.decode(video=0), range(FRAMES), strict=False)]
    assert all(gpu_video.on_gpu(frame) for frame in frames), "no NVDEC here"
    device = torch.device("cuda", torch.cuda.current_device())
    run = Gpu([], pytest.MonkeyPatch(), frames=frames)
    engine = Engine(device)
    run.run(engine=engine)  # opens what there is to open
    before = device_copies.counted()
    runs: list[Run] = []
    seen = crossed(lambda: runs.append(run.run(engine=engine)))
    assert seen is not None
    (done,) = runs
    whole = [count for count in seen if count >= done.plane]
    if done.shared.name == "nvenc":
        assert not whole
        assert not since(before)
    else:  # an H100 or H200 has no NVENC: one copy of each picture
        assert len(whole) == FRAMES
        assert since(before) == {("to_host", "encode"): FRAMES}
    on_host = Gpu([], pytest.MonkeyPatch(), frames=nights("yuv420p")).run(engine=Engine(None))
    wanted = np.stack([shown.rgb for shown in on_host.output.pictures])
    assert (
        psnr(decoded(done.output.coded), wanted).min() > psnr(decoded(on_host.output.coded), wanted).min() - 3
    )
