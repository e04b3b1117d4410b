"""The paper's terms against naive loops in float64 NumPy."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.train.objectives.dico_losses import (
    adversarial_loss,
    background_loss,
    dico_losses,
    discriminator_loss,
    foreground_loss,
)
from nightday.train.objectives.discriminator import PatchDiscriminator
from nightday.train.objectives.elesim import background_mask, elesim, similarity_thresholds
from nightday.train.objectives.loss_settings import LossSettings, Reading
from nightday.train.objectives.vgg import Vgg16Features


@pytest.fixture(autouse=True)
def _fresh() -> None:
    print(f"seed={torch.seed() % 2**32}")


def features(n: int = 2, c: int = 24, h: int = 6, w: int = 8) -> Tensor:
    return torch.rand(n, c, h, w)


def array(t: Tensor) -> NDArray[np.float64]:
    return t.detach().double().numpy()


def test_elesim_is_pearsons_correlation_over_the_channels() -> None:
    x, y = features(), features()
    got = elesim(x, y)
    assert got.shape == (2, 1, 6, 8)
    for n, i, j in np.ndindex(2, 6, 8):
        want = np.corrcoef(array(x)[n, :, i, j], array(y)[n, :, i, j])[0, 1]
        assert got[n, 0, i, j].item() == pytest.approx(want, abs=1e-5)


def test_elesim_does_not_see_gain_and_offset_and_survives_flat_features() -> None:
    x = features()
    assert elesim(x, 3 * x + 2).min() > 1 - 1e-5
    assert elesim(x, -x).max() < -1 + 1e-5
    assert torch.equal(elesim(x, torch.ones_like(x)), torch.zeros(2, 1, 6, 8))


def test_the_mask_is_hard_or_soft_and_carries_no_gradient() -> None:
    rho = torch.linspace(-1, 1, 9, requires_grad=True).view(1, 1, 3, 3)
    hard = background_mask(rho, 0.2)
    assert torch.equal(hard, (rho.detach() > 0.2).float())
    soft = background_mask(rho, 0.2, softness=0.1)
    torch.testing.assert_close(soft, torch.sigmoid((rho.detach() - 0.2) / 0.1))
    assert not hard.requires_grad
    assert not soft.requires_grad


def test_background_loss_is_the_mean_over_masked_positions_and_channels() -> None:
    fake, reference = [features(), features(c=5, h=3, w=4)], [features(), features(c=5, h=3, w=4)]
    mask = [(torch.rand(2, 1, 6, 8) > 0.5).float(), (torch.rand(2, 1, 3, 4) > 0.5).float()]
    mask[0][0, 0, 0, 0] = mask[1][0, 0, 0, 0] = 1
    want = 0.0
    for f, r, m in zip(map(array, fake), map(array, reference), map(array, mask), strict=True):
        values = [
            abs(f[n, c, i, j] - r[n, c, i, j]) for n, c, i, j in np.ndindex(*f.shape) if m[n, 0, i, j] == 1
        ]
        want += sum(values) / len(values)
    assert background_loss(fake, reference, mask).item() == pytest.approx(want, rel=1e-5)


def test_background_loss_of_an_empty_mask_is_nothing() -> None:
    loss = background_loss([features()], [features()], [torch.zeros(2, 1, 6, 8)])
    assert loss.item() == 0


def test_foreground_reading_a_weighs_one_score_against_one() -> None:
    fake, night = features(n=1), features(n=1)
    rho, mask = torch.rand(1, 1, 6, 8), (torch.rand(1, 1, 6, 8) > 0.4).float()
    settings = LossSettings(reading="A", temperature=0.3)
    f, n, m = array(fake)[0], array(night)[0], array(mask)[0, 0]
    cosine = (f * n).sum(0) / np.linalg.norm(f, axis=0) / np.linalg.norm(n, axis=0)
    fore, back = math.exp(cosine[m == 0].mean() / 0.3), math.exp(cosine[m == 1].mean() / 0.3)
    want = -math.log(fore / (fore + back))
    assert foreground_loss([fake], [night], [rho], [mask], settings).item() == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("centre", [False, True])
def test_foreground_reading_b_is_patchnce_over_the_likeliest_foreground(centre: bool) -> None:
    fake, night, rho = features(n=1), features(n=1), torch.rand(1, 1, 6, 8)
    settings = LossSettings(reading="B", temperature=0.2, anchors=7, centre=centre)
    anchors = np.argsort(array(rho).ravel())[:7]  # least similar to the background first
    q, k = array(fake)[0].reshape(24, -1).T[anchors], array(night)[0].reshape(24, -1).T[anchors]
    if centre:
        q, k = q - q.mean(0), k - k.mean(0)
    q, k = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, k))
    terms = []
    for i in range(7):
        scores = [math.exp(float(q[i] @ k[j]) / 0.2) for j in range(7)]
        terms.append(-math.log(scores[i] / sum(scores)))
    got = foreground_loss([fake], [night], [rho], [torch.ones_like(rho)], settings).item()
    assert got == pytest.approx(np.mean(terms), rel=1e-4)


def test_foreground_reading_c_adds_background_negatives() -> None:
    """As many background positions as anchors: all are drawn, in whatever order; foreground never is."""
    fake, night = features(n=1), features(n=1)
    order = torch.randperm(48)
    rho, mask = torch.empty(48), torch.zeros(48)
    rho[order] = torch.linspace(0, 1, 48)
    mask[order[-9:]] = 1  # the nine most like the background, and nothing else
    anchors, background = order[:9].numpy(), order[-9:].numpy()
    flat = array(night)[0].reshape(24, -1).T
    q, k = array(fake)[0].reshape(24, -1).T[anchors], np.concatenate((flat[anchors], flat[background]))
    q, k = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, k))
    terms = []
    for i in range(9):
        scores = [math.exp(float(q[i] @ k[j]) / 0.2) for j in range(18)]
        terms.append(-math.log(scores[i] / sum(scores)))
    settings = LossSettings(reading="C", temperature=0.2, anchors=9)
    shape = (1, 1, 6, 8)
    got = foreground_loss([fake], [night], [rho.view(shape)], [mask.view(shape)], settings).item()
    assert got == pytest.approx(np.mean(terms), rel=1e-4)


def test_no_more_than_a_quarter_of_the_positions_are_anchors() -> None:
    """Twelve of 48; a fake whose 12 likeliest foreground positions equal the night's does best there."""
    night = torch.randn(1, 24, 6, 8)
    rho = torch.linspace(0, 1, 48).view(1, 1, 6, 8)
    fake = torch.randn(1, 24, 6, 8)
    fake.flatten(2)[..., :12] = night.flatten(2)[..., :12]
    settings = LossSettings(reading="B", anchors=256)
    mask = torch.ones_like(rho)
    assert foreground_loss([fake], [night], [rho], [mask], settings) < 0.01
    fake.flatten(2)[..., 11] = -night.flatten(2)[..., 11]
    assert foreground_loss([fake], [night], [rho], [mask], settings) > 0.1


def test_the_nights_features_get_no_gradient() -> None:
    fake, night = features(n=1).requires_grad_(), features(n=1).requires_grad_()
    rho, mask = torch.rand(1, 1, 6, 8), torch.ones(1, 1, 6, 8)
    for reading in get_args(Reading):
        settings = LossSettings(reading=reading)
        torch.autograd.backward(foreground_loss([fake], [night], [rho], [mask], settings))
    assert fake.grad is not None
    assert night.grad is None


def test_least_squares_adversarial_terms() -> None:
    real, fake = torch.randn(2, 1, 5, 5), torch.randn(2, 1, 5, 5)
    assert adversarial_loss(fake).item() == pytest.approx(((array(fake) - 1) ** 2).mean(), rel=1e-5)
    want = ((array(real) - 1) ** 2).mean() + (array(fake) ** 2).mean()
    assert discriminator_loss(real, fake).item() == pytest.approx(want, rel=1e-5)


def test_the_total_is_the_weighted_sum_of_eq_14() -> None:
    fake, night, reference = ([features(), features(c=9, h=3, w=4)] for _ in range(3))
    score = torch.randn(2, 1, 4, 4)
    settings = LossSettings(adversarial=0.5, background=2.0, foreground=3.0, reading="B")
    out = dico_losses(
        fake=fake,
        night=night,
        reference=reference,
        score_fake=score,
        thresholds=[0.0, 0.1],
        settings=settings,
    )
    want = 0.5 * out.adversarial + 2 * out.background + 3 * out.foreground
    torch.testing.assert_close(out.total, want)
    paper = dico_losses(fake=fake, night=night, reference=reference, score_fake=score, thresholds=[0.0, 0.1])
    assert LossSettings().adversarial == LossSettings().background == LossSettings().foreground == 1
    assert paper.masks[0].shape == (2, 1, 6, 8)


def test_the_warm_up_supervises_everything() -> None:
    """A fake that resembles nothing has an empty mask, hence no background loss but for the floor."""
    reference = [torch.rand(1, 24, 6, 8)]
    fake = [1 - reference[0]]
    common = {"fake": fake, "night": fake, "reference": reference, "score_fake": torch.zeros(1, 1, 2, 2)}
    assert dico_losses(**common, thresholds=[0.9]).background == 0  # type: ignore[arg-type]
    floored = dico_losses(**common, thresholds=[0.9], mask_floor=1.0).background  # type: ignore[arg-type]
    torch.testing.assert_close(floored, (fake[0] - reference[0]).abs().mean())


def test_a_patch_of_the_discriminator_sees_70_pixels() -> None:
    model = PatchDiscriminator(width=4).eval()
    for module in model.modules():  # instance norm would let every pixel reach every score
        if isinstance(module, torch.nn.InstanceNorm2d):
            module.forward = lambda x: x  # type: ignore[method-assign, assignment]
    rgb = torch.rand(1, 3, 160, 160, requires_grad=True)
    scores = model(rgb)
    assert scores.shape == (1, 1, 18, 18)
    scores[0, 0, 9, 9].backward()
    assert rgb.grad is not None
    rows = rgb.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70


def test_thresholds_are_the_quantile_of_the_days_similarity() -> None:
    vgg = Vgg16Features()
    reference = torch.rand(1, 3, 64, 64)
    changed = reference.clone()
    changed[..., :32, :32] = torch.rand(1, 3, 32, 32)  # a quarter is foreground
    thresholds = similarity_thresholds(vgg, [changed], reference, quantile=0.25)
    for f, r, t in zip(vgg(changed), vgg(reference), thresholds, strict=True):
        mask = background_mask(elesim(f, r), t)
        assert mask.mean().item() == pytest.approx(0.75, abs=0.02)
        h, w = mask.shape[-2:]
        assert mask[..., : h // 2 - 2, : w // 2 - 2].mean() < 0.2  # inside the changed quarter
        assert mask[..., h // 2 + 2 :, w // 2 + 2 :].mean() > 0.95
    with pytest.raises(ValueError, match="no daytime frame"):
        similarity_thresholds(vgg, [], reference)
