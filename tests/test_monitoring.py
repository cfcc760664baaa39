"""Monitoring: Debian's prometheus-sql-exporter and Prometheus, started with the project's configuration."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from harness import ROOT, Database, free_port, running, url, wait_until

MONITORING = ROOT / "monitoring"

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus-sql-exporter"), reason="Debian's packages of Prometheus are not there"
)


def ask(port: int, path: str) -> Any:
    """Return the answer of Prometheus, if there is one."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}") as response:
            return json.load(response)["data"]
    except OSError:
        return None


def values(port: int) -> dict[str, float]:
    """Return the metrics of class activation by name, without their prefix."""
    found = ask(port, "query?query=" + quote('{__name__=~"class_activation_.*"}')) or {"result": []}
    return {
        series["metric"]["__name__"].removeprefix("class_activation_"): float(series["value"][1])
        for series in found["result"]
    }


def alerts(port: int) -> set[tuple[str, str]]:
    """Return the names and states of the alerts."""
    found = ask(port, "alerts") or {"alerts": []}
    return {(alert["labels"]["alertname"], alert["state"]) for alert in found["alerts"]}


def test_promtool_accepts_the_rules_and_their_tests() -> None:
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        promtool = ["promtool", *arguments]
        process = subprocess.run(promtool, cwd=MONITORING, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr


def test_prometheus_has_the_values_of_health(db: Database, role: str, tmp_path: Path) -> None:
    db.class_(start_dt="2026-03-02")
    db.enrollment(db.class_(start_dt="2026-03-02"))
    db.run(max_classes=1)
    db.facility("Mars/Phobos")
    db.execute(f"grant execute on function class_activation.health to {role}")
    exporter_port, prometheus_port = free_port(), free_port()

    shutil.copytree(MONITORING, tmp_path, dirs_exist_ok=True)
    address = url(db.name, user=role, password="secret").replace("postgresql:", "postgres:")
    for name, replacements in {
        "sql-exporter.yml": {
            "postgres://monitor@localhost/platform": address,
            "interval: 1m": "interval: 1s",
        },
        "alerts.yml": {"interval: 1m": "interval: 1s", "for: 10m": "for: 1s"},
        "prometheus.yml": {"localhost:9237": f"localhost:{exporter_port}", "interval: 1m": "interval: 1s"},
    }.items():
        text = (tmp_path / name).read_text()
        for old, new in replacements.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)

    exporter = ("prometheus-sql-exporter", "-config.file", "sql-exporter.yml")
    prometheus = ("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data")
    with (
        running(*exporter, "-web.listen-address", f"127.0.0.1:{exporter_port}", cwd=tmp_path),
        running(*prometheus, f"--web.listen-address=127.0.0.1:{prometheus_port}", cwd=tmp_path),
    ):
        seen = wait_until(lambda: values(prometheus_port))
        expected = {("ClassActivationOverdue", "pending"), ("ClassActivationUnknownTimezones", "firing")}
        wait_until(lambda: alerts(prometheus_port) == expected)
        health = db.health()
        # the exporter repeats its last row
        db.execute("alter table public.facilities rename timezone to tz")
        wait_until(lambda: ("ClassActivationAbsent", "firing") in alerts(prometheus_port))
        assert values(prometheus_port)["status"] == 2

    assert seen.pop("last_run_timestamp_seconds") == pytest.approx(health.last_run_at.timestamp())
    assert 0 < seen.pop("oldest_overdue_seconds") <= health.oldest_overdue_seconds
    assert str(seen.pop("next_due_timestamp_seconds")) == "nan"
    assert str(seen.pop("job_active")) in ("nan", "0.0")
    assert str(seen.pop("paused_until_timestamp_seconds")) == "nan"
    assert seen == {
        "status": 2,
        "overdue_classes": 1,
        "problem_classes": 0,
        "unknown_timezones": 1,
        "classes_activated_24h": 1,
        "enrollments_backfilled_24h": health.enrollments_backfilled_24h,
    }
