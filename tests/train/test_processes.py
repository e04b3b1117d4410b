"""Two processes that train one model, as torchrun starts them, on the CPU."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing

from nightday.engines.model.settings import GeneratorSettings
from nightday.train import processes
from nightday.train.cli import main
from nightday.train.footage.scene import Scene, read_frames, temporal_median, write_picture
from nightday.train.objectives.loss_settings import LossSettings
from nightday.train.run.settings import TrainSettings
from nightday.train.run.state import ResumeError
from nightday.train.run.trainer import Trainer
from tests.support.ports import lasting_port

CLIP = Path(__file__).parents[2] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
SETTINGS = TrainSettings(
    recipe="paired+dico",
    generator=GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4),
    losses=LossSettings(anchors=16),
    steps=4,
    batch=1,
    crop=(32, 48),
    unpaired_from=0.5,
    mask_warmup=2,
    sample_every=100,
    save_every=100,
)


def small_scene() -> Scene:
    frames = [cv2.resize(f, (80, 64), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::12]]
    nights = [(f * 0.2).astype(np.uint8) for f in frames[:8]]
    return Scene("tiny", frames, nights, temporal_median(frames))


def work(rank: int, folder: Path, ports: list[int]) -> None:
    """What each of the two processes does; the parent looks at what they leave."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(ports[0])
    scene = small_scene()
    with processes.joined("cpu"):
        layer = torch.nn.Linear(2, 1)
        layer.weight.grad = torch.tensor([[1.0, 10.0]]) * (rank + 1)
        processes.average_gradients(layer)
        whole = Trainer(scene, SETTINGS, folder / "whole")
        whole.run(lambda *_: None)
        terms = whole.objective.paper_terms
        assert terms is not None
        first = Trainer(scene, SETTINGS, folder / "parts")
        # Only one of them is told to stop, as by a signal that arrives between two steps.
        first.run(lambda *_: None, lambda: processes.any_process(rank == 1 and first.step == 3, first.device))
        second = Trainer(scene, SETTINGS, folder / "parts")
        resumed = second.resume()
        second.run(lambda *_: None)
        left = {
            "gradient": layer.weight.grad,
            "whole": whole.model.state_dict(),
            "parts": second.model.state_dict(),
            "discriminator": terms.discriminator.state_dict(),
            "stopped": first.step,
            "resumed": resumed,
            "next_draw": float(whole.sampler.rng.random()),
            "next_noise": float(torch.rand(1)),
        }
    torch.save(left, folder / f"{rank}.pt")
    os.environ["MASTER_PORT"] = str(ports[1])
    arguments = [
        "--scene",
        str(folder / "gate"),
        "--out",
        str(folder / "run"),
        "--steps",
        "2",
        "--batch",
        "1",
    ]
    code = main([*arguments, "--crop", "32", "32", "--device", "cpu"])
    (folder / f"code{rank}").write_text(str(code))


def test_two_processes_hold_one_model_and_go_on_with_it(tmp_path: Path) -> None:
    scene = small_scene()
    for name, images in (("day", scene.day), ("night", scene.night)):
        for i, image in enumerate(images):
            write_picture(tmp_path / "gate" / name / f"{i:03d}.png", image)
    spawn: Any = torch.multiprocessing.spawn  # type: ignore[attr-defined]
    spawn(work, args=(tmp_path, [lasting_port(), lasting_port()]), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for left in (one, two):
        assert left["gradient"].tolist() == [[1.5, 15.0]]
        assert left["resumed"]
        assert left["stopped"] == 3
    for part in ("whole", "discriminator"):
        assert all(torch.equal(one[part][k], two[part][k]) for k in one[part]), part
    for left in (one, two):  # stopped and resumed: bit for bit
        assert all(torch.equal(left["whole"][k], left["parts"][k]) for k in left["whole"])
    assert one["next_draw"] != two["next_draw"]
    assert one["next_noise"] != two["next_noise"]
    assert [(tmp_path / f"code{rank}").read_text() for rank in range(2)] == ["0", "0"]
    assert {"model.pt", "best.pt", "state.pt", "report.html"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    # Two see other crops than one: the weights are none that a single process makes.
    alone = Trainer(scene, SETTINGS, tmp_path / "alone")
    alone.run(lambda *_: None)
    assert any(not torch.equal(v, one["whole"][k]) for k, v in alone.model.state_dict().items())
    with pytest.raises(ResumeError, match=r"made by 2 processes, these are 1"):
        Trainer(scene, SETTINGS, tmp_path / "whole").resume()


def test_a_state_from_before_there_were_several_is_gone_on_with(tmp_path: Path) -> None:
    trainer = Trainer(small_scene(), replace(SETTINGS, recipe="paired"), tmp_path)
    trainer.save()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state |= {name: state[name][0] for name in ("torch_rng", "numpy_rng")}
    torch.save(state, tmp_path / "state.pt")
    wanted = trainer.sampler.rng.random()
    again = Trainer(trainer.scene, trainer.settings, tmp_path)
    assert again.resume()
    assert again.sampler.rng.random() == wanted


def test_alone_there_is_nobody_to_ask() -> None:
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.tensor([[1.0, 2.0]])
    with processes.joined("cpu"):
        processes.average_gradients(layer)
        assert (processes.rank(), processes.count(), processes.gather("x")) == (0, 1, ["x"])
        assert processes.any_process(True, torch.device("cpu"))
    assert layer.weight.grad.tolist() == [[1.0, 2.0]]


def test_more_processes_than_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(processes.ProcessesError, match="process 3 of this machine, which has 2 GPUs"),
        processes.joined("cuda"),
    ):
        pass
