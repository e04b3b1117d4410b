"""Engines that version 0.1.0 compiled, for graphs whose code still does what it did then.

Version 0.1.0 named the code of a graph by the bytes of its files. Once one of these graphs is changed, its digest is
no longer in the table, and engines of it are built anew.
"""

from __future__ import annotations

from dataclasses import replace

from .cache_entry import EngineKey

# By the beginning of the ``graph_digest`` of today's code: the digest that version 0.1.0 had for the same graph.
GRAPHS: dict[str, str] = {
    "e518db0caf9dd75d85d48eb0": "d1238c104ac1cc2e66d5b22edfb9b48c25a9d9f8943919411748b6dcf17581c6",
    "c50bd00093dfc954fbeb776e": "326999a89a656e54df19d20f2c47e00aaa3e7d64bb63c9884636c751945e7525",
    "e4072816c3100e208900cc87": "66f361063ae3d1057c3f2d6991c1d3e715e75788f0cb7b9718e009825b5d87ad",
    "25eddf17804c6c4e1f11a1dc": "bc97f4b145d11ddc6d783b76c5be95112b70936a32cb67a87c2dc46c043c65cb",
    "771cc8c3a0d02e6cbaeab478": "ee96cee474dfbfce9ae95c6aa6a943ee9145c710cccf6ed5622059e30ffd4d2d",
    "08b8e18a88f1e413b5203a7f": "6924bd6fac7bd53878957ad5aac6494e4d2ee86bcdde8cd1f31edd8cd9b16b71",
    "3cade0f822a8c234f1bd06a8": "e382a9ec9cd200e49f2c0e3ed28846a58be5e2949b5e347f3aa499252d6f6aec",
    "4aac77d27ceaf8328c23835a": "bdcde862d00b056d1db7f0bbca03ad1e41e35b099b487ac9a8ee437a4859b87b",
    "cfdbed2ab10eac57d6d9ed78": "a151c5aa90f586d78a73f3539fba799f88d20192900d39926e776085d88d28da",
    "b9b59389541e5574d1962e13": "424ace5c7a5c88c76b346b5e246e6651b45bfbc7903b6f8c5b6e29848c4b3cc3",
    "52c1298c33e0077ecd9a720f": "d44bd3a325ca00d159647476a82e4a6d028d7ba92fbaddf7e4b97161262bb03d",
    "29f48ad672b7a268c38eae17": "5f66ffeef30c0e9035a54bec1029fb6d291005b4a48c8da43ded793a077cf900",
    "d45b8e6538ac8ca0336d8233": "52c736150a853a40aaff0b51144b55e9426127ccf462b8686752f7fa487832f3",
    "855c15723901cbd56f780e9e": "304158ba576796c23e5da357fbed1f011b22b52b31b9459fb2a75aae0a905d3b",
}


def previous_key(key: EngineKey) -> EngineKey | None:
    """The key that version 0.1.0 would have had for the same engine; None where the graph has changed since."""
    graph = GRAPHS.get(key.graph[:24])
    return None if graph is None else replace(key, graph=graph)
