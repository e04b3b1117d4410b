"""Fréchet distance in the pooled features of a classifier that nobody here trained. It is not FID: other features,
other pictures, and far fewer of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from nightday.train.footage.scene import Image, SceneError
from nightday.train.scores.image_distances import Features, frechet_distance


class PooledFeatures:
    """The features that a classifier's last layer sees, from an OpenVINO or TensorFlow Lite model given by path.

    Args:
        path: a model with one input (1, S, S, 3) RGB, uint8 or float in levels, whose classes are a matrix product of
            a vector per picture.
        width: numbers in that vector; 1280 of EfficientNet-Lite3.

    Raises:
        SceneError: there is no such vector in the model.
    """

    def __init__(self, path: Path, width: int = 1280) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(str(path))
        vectors = [
            node.output(0)
            for node in model.get_ordered_ops()
            if node.get_output_size() == 1
            and node.get_output_partial_shape(0).is_static
            and list(node.get_output_shape(0)) in ([1, width], [1, width, 1, 1], [1, 1, 1, width])
            and node.get_type_name() not in ("Constant", "Convert")
        ]
        if not vectors:
            raise SceneError(f"{path}: has no vector of {width} features before its classes")
        self.name = f"{path.stem}, pooled"
        given = model.input(0)
        self._side, self._type = int(given.get_shape()[1]), given.get_element_type().to_dtype()
        features = openvino.Model([vectors[-1]], model.get_parameters(), "features")
        self._model = core.compile_model(features, "CPU", {"INFERENCE_NUM_THREADS": 1})

    def __call__(self, picture: Image) -> Features:
        """uint8 RGB (H, W, 3) → float32 (5, C): of the whole picture and of its four quarters."""
        half = (picture.shape[0] // 2, picture.shape[1] // 2)
        views = [
            picture,
            *(picture[y : y + half[0], x : x + half[1]] for y in (0, half[0]) for x in (0, half[1])),
        ]
        made = []
        for view in views:
            small = cv2.resize(view, (self._side, self._side), interpolation=cv2.INTER_AREA)
            (vector,) = self._model(small[None].astype(self._type)).values()
            made.append(np.asarray(vector, np.float32).ravel())
        return np.stack(made)

    def distance(self, pictures: Sequence[Image], real: Sequence[Image]) -> float:
        """Fréchet distance of two sets of pictures; compare only those of equal sets."""
        a, b = (np.concatenate([self(picture) for picture in side]) for side in (pictures, real))
        return frechet_distance(a, b)
