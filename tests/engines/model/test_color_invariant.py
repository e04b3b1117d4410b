"""The colour invariant against Table I (corrected) written out naively in float64, and against its own theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.model.color_invariant import GAUSSIAN_COLOR_MODEL, INVARIANTS, ColorInvariant

Array = NDArray[np.float64]
RADIUS = 6
HUE_CONDITIONED = 1e-5  # of (E_λ² + E_λλ²)/E²; neutral grey has 9e-3


def gaussian_derivative(channel: Array, sigma: float, order_y: int, order_x: int) -> Array:
    """The image convolved with a 2-D Gaussian derivative, kernel written out in two dimensions."""
    t = np.arange(-RADIUS, RADIUS + 1.0)
    g = np.exp(-(t**2) / (2 * sigma**2))
    g /= g.sum()
    dg = -t / sigma**2 * g
    kernel = np.outer(dg if order_y else g, dg if order_x else g)[::-1, ::-1]  # convolution, not correlation
    padded = np.pad(channel, RADIUS, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    derived: Array = np.einsum("ijkl,kl->ij", windows, kernel)
    return derived


def reference(rgb: Array, sigma: float) -> dict[str, Array]:
    """Squared E, W, C, N, H of rgb (H, W, 3) in [0, 1], by the formulas over E² and E³, without any floor."""
    spectrum = rgb @ np.array(GAUSSIAN_COLOR_MODEL).T
    e, el, ell = (gaussian_derivative(spectrum[..., i], sigma, 0, 0) for i in range(3))
    total = {name: np.zeros(rgb.shape[:2]) for name in INVARIANTS}
    for order in ((0, 1), (1, 0)):
        ex, elx, ellx = (gaussian_derivative(spectrum[..., i], sigma, *order) for i in range(3))
        total["E"] += ex**2 + elx**2 + ellx**2
        total["W"] += (ex / e) ** 2 + (elx / e) ** 2 + (ellx / e) ** 2
        c_l = (elx * e - el * ex) / e**2
        c_ll = (ellx * e - ell * ex) / e**2
        total["C"] += c_l**2 + c_ll**2
        n_ll = (ellx * e**2 - ell * ex * e - 2 * el * elx * e + 2 * el**2 * ex) / e**3
        total["N"] += c_l**2 + n_ll**2
        total["H"] += ((elx * ell - el * ellx) / (el**2 + ell**2)) ** 2
    # How near H's denominator is to nothing; neutral grey has 9e-3
    total["hue strength"] = (el**2 + ell**2) / e**2
    return total


def measured(rgb: Array, sigma: float = 1.0) -> dict[str, Array]:
    module = ColorInvariant(radius=RADIUS)
    with torch.no_grad():
        module.log2_sigma.fill_(math.log2(sigma))
        edges = module.squared_edges(torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None])[0]
    return dict(zip(INVARIANTS, edges.double().numpy(), strict=True))


@pytest.mark.parametrize("brightest", [255, 24, 6])
def test_matches_the_float64_reference_on_grey_levels_1_to_255(
    rng: np.random.Generator, brightest: int
) -> None:
    rgb = rng.integers(1, brightest + 1, (40, 44, 3)) / 255
    sigma = rng.uniform(0.6, 2.0)
    # float32 holds the picture itself to 6e-8: compare on the values that both sides are given.
    rgb = rgb.astype(np.float32).astype(np.float64)
    got, want = measured(rgb, sigma), reference(rgb, sigma)
    for name in INVARIANTS:
        # Root of the squares: the invariant of eq. 6. Where the terms cancel the value itself vanishes, so
        # the error is taken relative to it or to 1 % of the map's mean, whichever is larger.
        g, w = np.sqrt(got[name]), np.sqrt(want[name])
        error = np.abs(g - w) / np.maximum(w, 0.01 * w.mean())
        if name == "H":
            # H divides by E_λ² + E_λλ². Where smoothing has made that next to nothing, H is noise in any
            # arithmetic of seven digits: at most three pixels in a thousand of random noise, none of them grey.
            error = error[want["hue strength"] > HUE_CONDITIONED]
            assert error.size > 0.99 * g.size
        assert error.max() < 1e-4, f"{name} at σ={sigma:.2f}, levels 1…{brightest}: {error.max():.2e}"


def smooth_field(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """A brightness field in [0.25, 1.75] that changes over a hundred pixels or more."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase = rng.uniform(0, 2 * np.pi, 2)
    field: Array = 1 + 0.75 * np.sin(x / 60 + phase[0]) * np.cos(y / 60 + phase[1])
    return field


def colour_patches(rng: np.random.Generator) -> Array:
    return np.kron(rng.uniform(0.1, 0.5, (6, 6, 3)), np.ones((16, 16, 1))).astype(np.float64)


def relative_change(before: Array, after: Array) -> float:
    """Mean change of the root, away from the border, relative to its mean."""
    b, a = np.sqrt(before[8:-8, 8:-8]), np.sqrt(after[8:-8, 8:-8])
    return float(np.abs(a - b).mean() / b.mean())


def test_c_and_n_do_not_see_a_smooth_intensity_change_but_e_does(rng: np.random.Generator) -> None:
    scene = colour_patches(rng)
    lit = scene * smooth_field(rng, scene.shape[:2])[..., None]
    before, after = measured(scene), measured(lit)
    change = {name: relative_change(before[name], after[name]) for name in INVARIANTS}
    print(change)
    assert change["C"] < 0.02
    assert change["N"] < 0.02
    assert change["E"] > 0.1


def test_n_does_not_see_the_illuminants_colour_but_c_does(rng: np.random.Generator) -> None:
    """In the Gaussian colour model an illuminant e(λ) multiplies the spectrum: E' = eE, E_λ' = e_λE + eE_λ, ...

    The derivative of ln E(λ) with respect to λ and x then loses e. RGB gains are only an approximation of
    this, so the spectrum is changed directly.
    """
    scene = colour_patches(rng)
    e, e_l, e_ll = 1.0, rng.uniform(0.2, 0.4), rng.uniform(-0.2, 0.2)
    model = np.array(GAUSSIAN_COLOR_MODEL)
    spectrum = scene @ model.T
    E, El, Ell = spectrum[..., 0], spectrum[..., 1], spectrum[..., 2]
    lit = np.stack((e * E, e_l * E + e * El, e_ll * E + 2 * e_l * El + e * Ell), axis=-1)
    lit_rgb = lit @ np.linalg.inv(model).T
    before, after = measured(scene), measured(lit_rgb)
    # Exact where the spectrum's own derivatives are those of a point; smoothing mixes patches at their edges.
    change = {name: relative_change(before[name], after[name]) for name in ("C", "N")}
    print(change)
    assert change["N"] < 0.05
    assert change["C"] > 4 * change["N"]


@pytest.mark.parametrize("level", [0, 1, 255])
def test_a_flat_picture_has_no_edges_and_finite_gradients(level: int) -> None:
    module = ColorInvariant()
    rgb = torch.full((1, 3, 24, 24), level / 255, requires_grad=True)
    assert module.squared_edges(rgb).abs().max() < 1e-9
    module(rgb).square().sum().backward()
    assert rgb.grad is not None
    assert torch.isfinite(rgb.grad).all()
    for parameter in (module.log2_sigma, module.weight):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_sigma_and_lambda_are_learnt(rng: np.random.Generator) -> None:
    module = ColorInvariant()
    rgb = torch.from_numpy(rng.uniform(0, 1, (1, 3, 24, 24)).astype(np.float32))
    module(rgb)[:, :, 4:-4, 4:-4].square().sum().backward()
    assert module.log2_sigma.grad is not None
    assert module.weight.grad is not None
    assert (module.log2_sigma.grad.abs() > 0).all()
    assert (module.weight.grad.abs() > 0).all()


def test_sigma_stays_where_the_kernel_holds_it() -> None:
    module = ColorInvariant(radius=6)
    with torch.no_grad():
        module.log2_sigma.copy_(torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]))
    assert module.sigma.tolist() == [0.5, 0.5, 1.0, 2.0, 2.0]


def test_stride_two_is_every_second_pixel(rng: np.random.Generator) -> None:
    rgb = torch.from_numpy(rng.random((2, 3, 37, 44), np.float32))
    with torch.no_grad():
        half, whole = (ColorInvariant(stride=stride).squared_edges(rgb) for stride in (2, 1))
    torch.testing.assert_close(half, whole[..., ::2, ::2], rtol=1e-4, atol=1e-9)
