"""The learnable colour invariant ξ = ΛΦ (eqs. 4-7): Geusebroek's invariant edges at learnable scales.

References: Geusebroek et al., "Color invariance", TPAMI 2001; Lengyel et al., "Zero-shot day-night domain
adaptation with a physics prior" (CIConv), ICCV 2021. Table I of the paper misprints C_λλ and N_λλ; the
formulas here are the derivatives ∂x(E_λλ/E) and ∂x∂λ(E_λ/E) they stand for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INVARIANTS = ("E", "W", "C", "N", "H")

# Eq. 4: (E, E_λ, E_λλ) from linearly scaled RGB in [0, 1]
GAUSSIAN_COLOR_MODEL = ((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))

# The smallest scale, pixels. Below it a sampled Gaussian derivative is no longer a derivative.
MIN_SIGMA = 0.5
# The least E that is divided by: 1/4000 of a grey level, so that level 1 is still exact.
DARKEST = 1e-6
# The least (E_λ² + E_λλ²)/E² that is divided by; neutral grey has 9e-3.
HUE_FLOOR = 1e-10
# Added before the logarithm, so that flat, noiseless areas do not dominate the normalisation. E keeps the
# intensity, hence the smaller one: an edge of one grey level is 1e-5 in E².
LOG_FLOOR = (1e-7, 1e-5, 1e-5, 1e-5, 1e-5)


class ColorInvariant(nn.Module):
    """Five edge maps (E, W, C, N, H), each at its own learnable scale σ and weighted by its own scalar of Λ.

    Args:
        radius: half-width of every kernel in pixels, fixed so that the graph has fixed shapes. σ is clamped
            to [0.5, radius / 3], where the kernel holds the Gaussian.
        stride: 2 measures at every second pixel of every second row, for a generator that works at half size.
    """

    def __init__(self, *, radius: int = 6, stride: int = 1) -> None:
        super().__init__()
        if radius < 4:
            # σ starts at 1, which must lie inside its range for a gradient to move it.
            raise ValueError(f"radius={radius}: a kernel that holds σ = 1 and more needs at least 4 pixels")
        self.radius = radius
        self.stride = stride
        self.log2_sigma = nn.Parameter(torch.zeros(len(INVARIANTS)))
        self.weight = nn.Parameter(torch.ones(len(INVARIANTS)))  # Λ
        self.register_buffer("color_model", torch.tensor(GAUSSIAN_COLOR_MODEL), persistent=False)
        self.register_buffer("log_floor", torch.tensor(LOG_FLOOR).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("offsets", torch.arange(-radius, radius + 1.0), persistent=False)

    color_model: Tensor
    log_floor: Tensor
    offsets: Tensor

    @property
    def sigma(self) -> Tensor:
        """The scales in use, pixels, float32 (5,), in the order of ``INVARIANTS``."""
        return (2.0**self.log2_sigma).clamp(MIN_SIGMA, self.radius / 3)

    def kernels(self) -> tuple[Tensor, Tensor]:
        """Gaussians and their derivatives, each float32 (5, 2·radius + 1). The Gaussians sum to one."""
        sigma = self.sigma[:, None]
        g = torch.exp(-0.5 * (self.offsets / sigma) ** 2)
        g = g / g.sum(dim=1, keepdim=True)
        # Correlation with +t·g/σ² is convolution with dg/dt.
        return g, self.offsets / sigma**2 * g

    def squared_edges(self, rgb: Tensor) -> Tensor:
        """Φ before root and logarithm: the invariants' squared gradient magnitudes (eq. 6, Table I).

        Args:
            rgb: float (N, 3, H, W) in [0, 1].

        Returns:
            float32 (N, 5, ⌈H / stride⌉, ⌈W / stride⌉), ≥ 0, in the order of ``INVARIANTS``.
        """
        return self.edges_within(F.pad(rgb.float(), (self.radius,) * 4, mode="replicate"), self.radius)

    def edges_within(self, rgb: Tensor, radius: int, *, depthwise: bool = False) -> Tensor:
        """``squared_edges`` of the part of a picture that is ``radius`` pixels or more from its border.

        Args:
            rgb: float32 (N, 3, H + 2·radius, W + 2·radius) in [0, 1].
            radius: how many taps on either side of a kernel's middle are used.
            depthwise: give each scale its own copy of the spectrum, so that every convolution has one channel in and
                out. The sums are the same and take five times the memory. OpenVINO is faster with it, PyTorch is not.
        """
        g, dg = (kernel[:, self.radius - radius : self.radius + radius + 1] for kernel in self.kernels())
        scales, size = g.shape
        # In hundredths of a grey level the spectrum of an 8-bit picture is whole numbers, exact in float32. H divides
        # by E_λ² + E_λλ², which may nearly cancel, and so its error is ten times smaller. This is a 1×1 convolution
        # because OpenVINO makes seven nodes of an einsum.
        matrix = (self.color_model * 100).round()[:, :, None, None]
        spectrum = F.conv2d(rgb * 255, matrix.repeat_interleave(scales, 0) if depthwise else matrix)

        # One pass along x smooths or derives each spectral channel at all scales; one along y completes that and goes
        # back to grey levels in [0, 1]. Channels are taken apart only then, as that costs more than the convolutions.
        def across(kernel: Tensor) -> Tensor:
            taps = kernel.repeat(3, 1).view(3 * scales, 1, 1, size)
            return F.conv2d(spectrum, taps, groups=int(spectrum.shape[1]), stride=(1, self.stride))

        def down(x: Tensor, kernel: Tensor) -> Tensor:
            taps = (kernel / (100 * 255)).repeat(3, 1).view(3 * scales, 1, size, 1)
            y = F.conv2d(x, taps, groups=3 * scales, stride=(self.stride, 1))
            return torch.unflatten(y, 1, (3, scales))

        smooth_x, derive_x = across(g), across(dg)
        smooth = down(smooth_x, g)  # (N, 3, 5, H, W): Ê, Ê_λ, Ê_λλ at each scale
        return sum_of_squares(smooth, down(derive_x, g)) + sum_of_squares(smooth, down(smooth_x, dg))

    def reach(self) -> int:
        """Pixels from a kernel's middle to the last tap that counts; those beyond are below a millionth."""
        g, _ = self.kernels()
        far = (g.max(dim=0).values > 1e-6).nonzero().flatten()
        return int((far - self.radius).abs().max())

    def forward(self, rgb: Tensor) -> Tensor:
        """ξ of float (N, 3, H, W) RGB in [0, 1]: float32 (N, 5, ⌈H / stride⌉, ⌈W / stride⌉), each map Λ times zero
        mean, unit variance.

        Sum of squares, logarithm, instance normalisation, as in CIConv: the root of eq. 6 has an infinite
        gradient at zero. Always computed in float32: in the dark the ratios do not survive half precision.
        """
        with torch.autocast(device_type=rgb.device.type, enabled=False):
            return self.normalised(rgb)

    def normalised(self, rgb: Tensor) -> Tensor:
        """``forward`` where autocast is off, for compilers, whose graphs cannot hold such a context."""
        return self.scaled(torch.log(self.squared_edges(rgb) + self.log_floor))

    def scaled(self, log_edges: Tensor) -> Tensor:
        """Each map of the logarithms, float32 (N, 5, H, W), brought to zero mean and unit variance, times Λ."""
        return F.instance_norm(log_edges) * self.weight.view(1, -1, 1, 1)


def sum_of_squares(smooth: Tensor, derivative: Tensor) -> Tensor:
    """What the derivatives along one axis add to every invariant.

    Everything is written in ratios to E, so that no term of third order in the brightness appears and dark parts lose
    no precision: with a = E_λ/E and b = E_λλ/E,
    C_λx = E_λx/E - a·E_x/E, C_λλx = E_λλx/E - b·E_x/E, N_λλx = C_λλx - 2a·C_λx.

    Args:
        smooth: float32 (N, 3, 5, H, W), the smoothed (E, E_λ, E_λλ) at the scale of each invariant.
        derivative: the same, derived along one axis.

    Returns:
        float32 (N, 5, H, W).
    """
    e_w, c, n, h = smooth[:, :1, 1], smooth[:, :, 2], smooth[:, :, 3], smooth[:, :, 4]
    edge_e = derivative[:, :, 0].square().sum(1)
    edge_w = (derivative[:, :, 1] / e_w.clamp_min(DARKEST)).square().sum(1)

    def ratios(x: Tensor, dx: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        energy = x[:, 0].clamp_min(DARKEST)
        a, b = x[:, 1] / energy, x[:, 2] / energy
        slope = dx[:, 0] / energy
        return a, dx[:, 1] / energy - a * slope, dx[:, 2] / energy - b * slope

    _, c_l, c_ll = ratios(c, derivative[:, :, 2])
    a_n, n_l, n_ll = ratios(n, derivative[:, :, 3])
    n_ll = n_ll - 2 * a_n * n_l

    energy = h[:, 0].clamp_min(DARKEST)
    a, b = h[:, 1] / energy, h[:, 2] / energy
    dh = derivative[:, :, 4]
    hue = (dh[:, 1] / energy * b - a * dh[:, 2] / energy) / (a.square() + b.square()).clamp_min(HUE_FLOOR)
    return torch.stack(
        (edge_e, edge_w, c_l.square() + c_ll.square(), n_l.square() + n_ll.square(), hue.square()), dim=1
    )
