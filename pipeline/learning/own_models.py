"""Puts cameras' own models into a configuration in place of the general one."""

from __future__ import annotations

from pathlib import Path

from ..config.fields import AUTO
from ..config.schema import CameraConfig, CollectConfig, Config, LearningConfig
from ..core.state_folder import state_folder
from .camera_learning import LearningCamera
from .own_folder import OwnFolder

# Seconds between a camera's pictures, and how many are kept of a kind, where its configuration does not say. They
# cover weeks after a while, and take up to 600 MB at 1080p.
EVERY, KEEP = 120.0, 150


def with_own_models(config: Config) -> Config:
    """The configuration with each camera's own model where it has one, and a place for what it collects to learn.

    Of a configuration that has been through this before, the same comes out, with the models that serve now.
    """
    learning = config.learning
    cameras = tuple(_with_own_model(camera, learning) for camera in config.cameras)
    return config.model_copy(update={"cameras": cameras})


def learning_cameras(config: Config) -> list[LearningCamera]:
    """The cameras that learn, of a configuration that has been through ``with_own_models``."""
    return [
        LearningCamera(camera.name, camera.collect.folder, folder_of(camera, config.learning))
        for camera in config.cameras
        if camera.learns and camera.collect is not None
    ]


def root_of(learning: LearningConfig) -> Path:
    """The folder in which everything is kept that cameras learn."""
    return learning.folder or state_folder() / "own_models"


def folder_of(camera: CameraConfig, learning: LearningConfig) -> OwnFolder:
    """What is kept of a camera's own models."""
    return OwnFolder.of(camera.name, str(camera.url), root=root_of(learning))


def _with_own_model(camera: CameraConfig, learning: LearningConfig) -> CameraConfig:
    if not camera.learns:
        return camera
    folder = folder_of(camera, learning)
    collect = camera.collect or CollectConfig(folder=folder.pictures, every_s=EVERY, keep=KEEP)
    update = {"learn": True, "collect": collect, "model": folder.serving() or AUTO}
    return camera.model_copy(update=update)
