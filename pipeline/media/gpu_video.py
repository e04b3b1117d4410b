"""The video units of an NVIDIA GPU: NVDEC's frames as tensors, and tensors as NVENC's frames. Nothing is copied.

PyTorch and FFmpeg both work in PyTorch's CUDA context, on the default stream, so that their work is ordered and
neither waits for the other. FFmpeg is told to share the context that is current in the calling thread. That is the
primary context, but if FFmpeg is asked for the primary one, it refuses, since PyTorch has set other scheduling flags.
"""

from __future__ import annotations

import functools

import av
import torch
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.frame import CudaContext
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from nightday.engines.video.colour import colour_of
from nightday.engines.video.look import upright

from ..core.faults import detail_of
from . import nv12

_CURRENT: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
# The formats of NVDEC that PyAV can hand over as tensors.
SHARED = ("nv12", "p010le", "p016le")


@functools.cache
def fault() -> str | None:
    """Why no frame can be kept on a GPU here, or None. It is looked up once."""
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
    """NVDEC on PyTorch's GPU, for this thread; it leaves frames there. The CPU decodes what NVDEC cannot."""
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
    """Luma uint8 (H, W) and chroma uint8 (H/2, W/2, 2) of a frame in one of the ``SHARED`` formats, not copied.

    Samples of ten or more bits are cut to the upper eight. Raises NotImplementedError for other formats.
    """
    # from_dlpack(plane) would pass a CUDA stream to PyAV, which does not support that, so pass the plane's capsule.
    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in video.planes)
    if luma.dtype != torch.uint8:
        luma, chroma = (plane.view(torch.uint8)[..., 1::2] for plane in (luma, chroma))
    return luma, chroma


def rgb_of(video: av.VideoFrame) -> Tensor:
    """A frame as RGB, uint8 (H, W, 3), upright, on the frame's device."""
    luma, chroma = planes_of(video)
    colour = colour_of(video, video.height)
    rgb = nv12.to_rgb(luma, chroma, colorspace=colour.matrix, full_range=colour.full_range)
    return upright(rgb, video)


def context_for(device: torch.device) -> CudaContext:
    """What ties an encoder's frames to PyTorch's memory on ``device``."""
    return CudaContext(device_id=device.index or 0, primary_ctx=False, current_ctx=True)


def as_frame(packed: Tensor, context: CudaContext | None) -> av.VideoFrame:
    """A frame for an encoder that uses the memory of ``packed``, a result of ``nv12.from_rgb``, and keeps it alive.

    Call it in the thread that wrote ``packed``; it waits until that is done. ``context`` is the encoder's, None for
    a tensor on the host.
    """
    if packed.is_cuda:
        torch.cuda.current_stream(packed.device).synchronize()
    height = packed.shape[0] // 3 * 2
    return av.VideoFrame.from_dlpack((packed[:height], packed[height:]), format="nv12", cuda_context=context)


def _enter(device: torch.device) -> None:
    """Make PyTorch's context the current one of this thread, which is certain only after some work on the GPU."""
    torch.zeros(1, device=device)
