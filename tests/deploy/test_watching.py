"""Grafana's dashboard and Prometheus' alerts, held against the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from nightday.pipeline.core.counters import DropReason, Ran, Stage
from nightday.pipeline.core.faults import FaultReason
from nightday.pipeline.monitoring.prometheus import PrometheusMetrics
from tests.support.watched import FakeRun

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana.json").read_text())
OPERATING = (ROOT / "docs" / "operating.md").read_text()
SAMPLES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
    "gauge": ("",),
}
# Given by Prometheus itself, and to the buckets of a histogram.
OTHER_LABELS = {"instance", "job", "le"}
VALUES: dict[str, set[str]] = {
    "reason": {*get_args(DropReason), *get_args(FaultReason)},
    "stage": {*get_args(Stage)},
    "ran": {*get_args(Ran)},
    "event": set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[\w`, ]+`) \|", OPERATING, re.MULTILINE)))
    ),
}


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    queries = [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    return [
        *(rule["expr"] for rule in rules()),
        *(target["expr"] for panel in panels() for target in panel["targets"]),
        *(query["query"] for query in queries if isinstance(query, dict)),
    ]


def exported() -> set[str]:
    """The names of all samples that there can be."""
    text, _ = PrometheusMetrics(FakeRun()).text()
    families = text_string_to_metric_families(text.decode())
    found: set[str] = set()
    for family in families:
        # Of an info the plain text has a gauge whose name ends so.
        found |= {family.name + end for end in SAMPLES[family.type]}
    return found


def documented_labels() -> dict[str, set[str]]:
    rows = re.findall(r"^\| (`nightday_[^|]+) \| ([^|]*)\|", OPERATING, re.MULTILINE)
    return {
        name: set(re.findall(r"`(\w+)`", labels))
        for names, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    for name, matchers in re.findall(r"\b((?:nightday|process)_\w+)(?:\{([^}]*)\})?", expression):
        yield name, dict(re.findall(r'(\w+)=~?"([^"]*)"', matchers))


def test_every_metric_that_is_asked_for_is_there() -> None:
    there = exported()
    asked = {name for expression in expressions() for name, _ in selectors(expression)}
    assert len(asked) > 20
    assert asked <= there


def test_every_label_and_every_value_of_one_is_there() -> None:
    known = documented_labels()
    for expression in expressions():
        for name, matchers in selectors(expression):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert set(matchers) <= known.get(plain, set()) | OTHER_LABELS, expression
            for label, value in matchers.items():
                if label in VALUES:
                    assert set(value.split("|")) <= VALUES[label], expression
        of_all = set().union(*known.values()) | OTHER_LABELS
        for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            assert {label.strip() for label in labels.split(",")} <= of_all, expression


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "action"}


def test_every_alert_is_in_the_documentation() -> None:
    assert [rule["alert"] for rule in rules()] == re.findall(r"^\| `(Nightday\w+)`", OPERATING, re.MULTILINE)


def test_panels_have_names_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in panels()}) == len(panels())
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


def promtool(*arguments: str) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_fires_and_keeps_quiet_as_meant(tmp_path: Path) -> None:
    tests = (Path(__file__).parent / "alerts_test.yaml").read_text()
    (tmp_path / "test.yaml").write_text(tests.replace("ALERTS", str(ALERTS)))
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(tmp_path / "test.yaml"))


def test_prometheus_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    taken = [query.replace("$__rate_interval", "1m") for query in queries]
    group = {"name": "all", "rules": [{"record": f"panel:{n}", "expr": q} for n, q in enumerate(taken)]}
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    promtool("check", "rules", "--lint=none", str(tmp_path / "panels.yaml"))
