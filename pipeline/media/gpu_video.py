"""The video units of an NVIDIA GPU: NVDEC's frames as tensors, and tensors as NVENC's frames. Nothing is copied.

All of it, FFmpeg's part too, happens in PyTorch's CUDA context, on the default stream: what one of them enqueues
comes after what the other did, and nobody waits. FFmpeg is told to share the context that is current in the calling
thread. Asked for the primary one, which is the same, it refuses what PyTorch made before, for its scheduling flags.
"""

from __future__ import annotations

import functools

import av
import torch
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.frame import CudaContext
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from ..core.faults import detail_of
from . import nv12

_CURRENT: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG
SHARED = ("nv12", "p010le", "p016le")  # what PyAV hands over of the formats that NVDEC makes


@functools.cache
def fault() -> str | None:
    """Why no frame can be kept on a GPU here, or None. Looked at once."""
    if not torch.cuda.is_available():
        return "there is no NVIDIA GPU"
    if "cuda" not in hwdevices_available():
        return "this FFmpeg was built without CUDA"
    if not hasattr(CudaContext, "current_ctx"):
        return f"PyAV {av.__version__} cannot share PyTorch's context; it takes 18.1"
    try:
        accelerator().create(av.Codec("h264", "r"))
    except Exception as error:  # a driver's, of whatever kind
        return f"FFmpeg cannot open the GPU: {detail_of(error)}"
    return None


def accelerator() -> HWAccel:
    """NVDEC on PyTorch's GPU, its frames left there, for this thread. What it cannot decode, the CPU decodes."""
    device = torch.cuda.current_device()
    _enter(torch.device("cuda", device))
    return HWAccel(
        "cuda", device=device, allow_software_fallback=True, is_hw_owned=True, options=dict(_CURRENT)
    )


def on_gpu(video: av.VideoFrame) -> bool:
    """Whether a decoded frame lies on a GPU."""
    return video.format.name == "cuda"


def sw_format_of(video: av.VideoFrame) -> str:
    """The format of the pixels of a frame that lies on a GPU."""
    return video.sw_format.name if video.sw_format is not None else video.format.name


def planes_of(video: av.VideoFrame) -> tuple[Tensor, Tensor]:
    """Luma uint8 (H, W) and chroma uint8 (H/2, W/2, 2) of a frame in one of ``SHARED`` formats, where they lie.

    Of samples of ten or more bits the upper eight. Raises NotImplementedError for other formats.
    """
    # By its capsule: asked by PyTorch itself, PyAV would be told of a stream, and refuses to know about streams.
    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in video.planes)
    if luma.dtype != torch.uint8:
        luma, chroma = (plane.view(torch.uint8)[..., 1::2] for plane in (luma, chroma))
    return luma, chroma


def rgb_of(video: av.VideoFrame) -> Tensor:
    """Colour of a frame, uint8 (H, W, 3), where the frame lies, by the frame's own matrix and range."""
    luma, chroma = planes_of(video)
    return nv12.to_rgb(luma, chroma, colorspace=video.colorspace, full_range=video.color_range == FULL_RANGE)


def context_for(device: torch.device) -> CudaContext:
    """What ties an encoder's frames to PyTorch's memory on ``device``."""
    return CudaContext(device_id=device.index or 0, primary_ctx=False, current_ctx=True)


def as_frame(packed: Tensor, context: CudaContext | None) -> av.VideoFrame:
    """A frame for an encoder over the memory of ``from_rgb``, which it keeps as long as it needs it.

    To be called in the thread that wrote it; waits until that is done. ``context`` is the encoder's, None for a
    tensor on the host.
    """
    if packed.is_cuda:
        torch.cuda.current_stream(packed.device).synchronize()
    height = packed.shape[0] // 3 * 2
    return av.VideoFrame.from_dlpack((packed[:height], packed[height:]), format="nv12", cuda_context=context)


def _enter(device: torch.device) -> None:
    """Make PyTorch's context the current one of this thread; only work does so for sure."""
    torch.zeros(1, device=device)
