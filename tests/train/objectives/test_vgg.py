from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nightday.train.objectives.vgg import MEAN, STD, Vgg16Features, VggWeightsError

# torchvision's "D" configuration as far as relu4-1, to build the published file's keys independently
CONFIGURATION: list[int | str] = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512]


def torchvision_like() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for v in CONFIGURATION:
        if isinstance(v, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, v, 3, padding=1), nn.ReLU()]
            channels = v
    return nn.Sequential(*layers)


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, nn.Sequential]:
    features = torchvision_like()
    state: dict[str, Tensor] = {f"features.{k}": v for k, v in features.state_dict().items()}
    state["classifier.0.weight"] = torch.zeros(2, 2)
    path = tmp_path / "vgg16.pth"
    torch.save(state, path)
    return path, features


@torch.no_grad()
def test_reads_the_published_file_and_taps_relu3_1_and_relu4_1(published: tuple[Path, nn.Sequential]) -> None:
    path, features = published
    rgb = torch.rand(2, 3, 48, 64)
    got = Vgg16Features(str(path))(rgb)
    x = (rgb - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    # torchvision numbers its modules: relu3_1 is 11, relu4_1 is 18
    want = [features[:12](x), features[:19](x)]
    assert [tuple(g.shape) for g in got] == [(2, 256, 12, 16), (2, 512, 6, 8)]
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w)


def test_the_stand_in_needs_no_file_and_is_always_the_same() -> None:
    torch.manual_seed(1)
    a = Vgg16Features()
    torch.manual_seed(2)
    b = Vgg16Features()
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not p.requires_grad
    conv = a.convs["12"]
    assert isinstance(conv, nn.Conv2d)
    weight = conv.weight.flatten(1)  # 256 kernels of 256·9: orthogonal rows of norm √2
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(256), atol=1e-4, rtol=0)


def test_features_pass_the_gradient_to_the_picture() -> None:
    rgb = torch.rand(1, 3, 32, 32, requires_grad=True)
    torch.autograd.backward([f.mean() for f in Vgg16Features()(rgb)])
    assert rgb.grad is not None
    assert rgb.grad.abs().sum() > 0


def test_weights_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(weights: str | Path) -> str:
        with pytest.raises(VggWeightsError) as caught:
            Vgg16Features(weights)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "missing.pth" in fault(tmp_path / "missing.pth")
    other = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2)}, other)
    assert "not torchvision's VGG-16" in fault(other)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _offline)
    assert "orthogonal" in fault("imagenet")


def _offline(*_: object, **__: object) -> None:
    raise OSError("no network")
