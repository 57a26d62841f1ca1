"""A person's session with Superset's REST interface."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import requests
import yaml

TIMEOUT_S = 120


class Superset:
    """Signed in as somebody, or as nobody when no user is given."""

    def __init__(self, url: str, user: str | None = None, password: str = "") -> None:
        self.url = url
        self.session = requests.Session()
        self.chart_ids: dict[str, int] = {}
        if user is None:
            return
        answer = self.session.post(
            f"{url}/api/v1/security/login",
            json={"username": user, "password": password, "provider": "db", "refresh": False},
            timeout=TIMEOUT_S,
        )
        answer.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        answer = self.request("GET", "/api/v1/security/csrf_token/")
        answer.raise_for_status()
        self.session.headers["X-CSRFToken"] = answer.json()["result"]
        self.session.headers["Referer"] = url

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(
            method, self.url + path, timeout=TIMEOUT_S, allow_redirects=False, **options
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def result(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()["result"]

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """Every asset of a kind: chart, dashboard, dataset or database."""
        return list(self.result(f"/api/v1/{kind}/?q=(page_size:1000)"))

    def import_assets(self, archive: bytes) -> None:
        answer = self.request(
            "POST",
            "/api/v1/assets/import/",
            files={"bundle": ("bundle.zip", archive, "application/zip")},
        )
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:2000]}"

    def export_assets(self) -> dict[str, Any]:
        """Everything, by path without the name of the root folder, which holds the time."""
        answer = self.get("/api/v1/assets/export/")
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:500]}"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return {
                name.split("/", 1)[1]: yaml.safe_load(archive.read(name))
                for name in archive.namelist()
                if not name.endswith("metadata.yaml")
            }

    def chart_data(self, query_context: dict[str, Any]) -> requests.Response:
        return self.request("POST", "/api/v1/chart/data", json=query_context)

    def chart_id(self, uuid: str) -> int:
        """The number that Superset gave the chart; an import keeps it."""
        if uuid not in self.chart_ids:
            self.chart_ids = {entry["uuid"]: int(entry["id"]) for entry in self.all_of("chart")}
        return self.chart_ids[uuid]

    def query_context(self, chart_id: int) -> dict[str, Any]:
        """The query that the bundle gave the chart."""
        return dict(json.loads(self.result(f"/api/v1/chart/{chart_id}")["query_context"]))
