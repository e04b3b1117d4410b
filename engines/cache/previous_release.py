"""Engines that version 0.1.0 compiled, for graphs whose code still does what it did then.

Version 0.1.0 named the code of a graph by the bytes of its files. Once one of these graphs is changed, its digest is
no longer in the table, and engines of it are built anew, as those for OpenVINO are. Graphs of models that take
backgrounds are newer, and not in it.
"""

from __future__ import annotations

from dataclasses import replace

from .cache_entry import EngineKey

# By the beginning of the ``graph_digest`` of today's code: the digest that version 0.1.0 had for the same graph.
GRAPHS: dict[str, str] = {
    "297689f6c910312fd621868a": "326999a89a656e54df19d20f2c47e00aaa3e7d64bb63c9884636c751945e7525",
    "4d2cac3e89a223a629a77753": "326999a89a656e54df19d20f2c47e00aaa3e7d64bb63c9884636c751945e7525",
    "b6fcd7ce9cf39ce42aac68d0": "66f361063ae3d1057c3f2d6991c1d3e715e75788f0cb7b9718e009825b5d87ad",
    "3c2f2f7072145ac741023eab": "66f361063ae3d1057c3f2d6991c1d3e715e75788f0cb7b9718e009825b5d87ad",
    "b6ffefa4d05f45ecd2371e81": "a151c5aa90f586d78a73f3539fba799f88d20192900d39926e776085d88d28da",
    "a799e3f984ca0aa4ce564036": "a151c5aa90f586d78a73f3539fba799f88d20192900d39926e776085d88d28da",
    "998f86925ae431449c59e233": "424ace5c7a5c88c76b346b5e246e6651b45bfbc7903b6f8c5b6e29848c4b3cc3",
    "33000c60c53d253bac870982": "424ace5c7a5c88c76b346b5e246e6651b45bfbc7903b6f8c5b6e29848c4b3cc3",
}


def previous_key(key: EngineKey) -> EngineKey | None:
    """The key that version 0.1.0 would have had for the same engine; None where the graph has changed since."""
    graph = GRAPHS.get(key.graph[:24])
    return None if graph is None else replace(key, graph=graph)
