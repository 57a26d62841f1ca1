"""Asks a running Prometheus whether it reaches all programs, evaluates every rule and answers every panel.

In: the address of a Prometheus that was started with prometheus.yml or prometheus.demo.yml, for instance
http://127.0.0.1:9090. Out: what it answers, and exit code 0 when nothing was wrong.
Invariant: a panel without an answer is an error, but for those whose counters appear with their first increment.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[2] / "grafana/dashboards/vaultstream.json"
JOBS = {"cdc-reader", "vault-loader", "booking", "prometheus"}
PATIENCE_S = 120

# Nothing failed and nothing was quarantined since the loader's start, and nobody has booked or was refused since the service's:
# there is no counter yet.
MAY_BE_EMPTY = {
    "Retries in ten minutes",
    "Quarantined in an hour, by topic",
    "Bookings and seats per second",
    "Refused per second, by kind",
}


def api(prometheus: str, path: str, **parameters: str) -> Any:
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def query(prometheus: str, expression: str) -> list[Any]:
    return api(prometheus, "query", query=expression)["result"]


def wait_for_targets(prometheus: str) -> None:
    """Waits until each job has one target at least and all are up."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            targets = api(prometheus, "targets", state="active")["activeTargets"]
            up = {target["labels"]["job"] for target in targets if target["health"] == "up"}
            if up == JOBS and all(target["health"] == "up" for target in targets):
                break
            why = ", ".join(f"{target['scrapeUrl']}: {target['lastError']}" for target in targets)
        except OSError as error:
            why = str(error)
        if time.monotonic() > deadline:
            sys.exit(f"not every target is up after {PATIENCE_S} s: {why}")
        time.sleep(1)
    for result in query(prometheus, "up"):
        print(f"up {result['value'][1]}: {result['metric']['job']} {result['metric']['instance']}")


def rule_errors(prometheus: str) -> list[str]:
    """What went wrong in the last evaluation of each rule."""
    rules = [rule for group in api(prometheus, "rules")["groups"] for rule in group["rules"]]
    print(f"rules: {len(rules)}")
    if not rules:
        return ["no rule is loaded"]
    return [
        f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}"
        for rule in rules
        if rule["health"] != "ok"
    ]


def panel_errors(prometheus: str) -> list[str]:
    """Panels whose expressions fail or have no answer."""
    errors = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            place = f"panel {panel['title']!r}: {target['expr']}"
            try:
                results = query(prometheus, target["expr"])
            except urllib.error.HTTPError as error:
                errors.append(f"{place}: {error.read().decode()}")
                continue
            values = ", ".join(result["value"][1] for result in results[:4])
            print(f"{panel['title']} ({len(results)} series): {values}")
            if not results and panel["title"] not in MAY_BE_EMPTY:
                errors.append(f"{place}: no answer")
    return errors


def main() -> None:
    prometheus = sys.argv[1].rstrip("/")
    wait_for_targets(prometheus)
    # The rules ask for rates over one minute, which need two scrapes, and the panels for what the rules record.
    time.sleep(30)
    errors = rule_errors(prometheus) + panel_errors(prometheus)
    firing = query(prometheus, 'ALERTS{alertstate="firing"}')
    print("firing:", ", ".join(alert["metric"]["alertname"] for alert in firing) or "nothing")
    if errors:
        sys.exit("\n".join(errors))


if __name__ == "__main__":
    main()
