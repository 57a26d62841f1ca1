"""Brings a Superset to what the files say: roles, users and assets; then looks whether it is so.

In: the metadata database of superset_config.py, the bundle, passwords from the environment. Out: exit 0 only when the
metadata database holds every asset as the files have it. Running it again changes nothing. It works on the metadata
database directly, with the command behind POST /api/v1/assets/import/, so it needs neither a running server nor a
login, and can run before the server's first start.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import yaml
from flask import Flask

import bundle as bundle_files

ANALYST = "Analyst"

# What an analyst may do: look at dashboards and charts, filter, open the data behind them. Filter states and permanent
# links are written on the way; they belong to who looks, and no dashboard changes by them.
ANALYST_PERMISSIONS: tuple[tuple[str, str], ...] = (
    ("can_read", "Dashboard"),
    ("can_read", "Chart"),
    ("can_read", "Dataset"),
    ("can_get_drill_info", "Dataset"),
    ("can_read", "CurrentUserRestApi"),
    # The token against forged requests: a script of the analyst's needs it as the browser does.
    ("can_read", "SecurityRestApi"),
    ("can_read", "DashboardFilterStateRestApi"),
    ("can_write", "DashboardFilterStateRestApi"),
    ("can_read", "DashboardPermalinkRestApi"),
    ("can_write", "DashboardPermalinkRestApi"),
    ("can_read", "CssTemplate"),
    ("can_read", "Theme"),
    ("can_read", "Tag"),
    ("can_read", "Annotation"),
    ("can_dashboard", "Superset"),
    ("can_dashboard_permalink", "Superset"),
    ("can_language_pack", "Superset"),
    ("can_log", "Superset"),
    ("can_csv", "Superset"),
    ("can_view_chart_as_table", "Dashboard"),
    ("can_view_query", "Dashboard"),
    ("can_drill", "Dashboard"),
    ("can_recent_activity", "Log"),
    ("can_time_range", "Api"),
    ("can_query", "Api"),
    ("can_query_form_data", "Api"),
    ("can_get", "Datasource"),
    ("can_get_column_values", "Datasource"),
    ("can_userinfo", "UserDBModelView"),
    ("resetmypassword", "UserDBModelView"),
    ("menu_access", "Home"),
    ("menu_access", "Dashboards"),
)


class DeployError(Exception):
    """What is not as the files say, in one sentence."""


def wanted_roles(user: str) -> list[str]:
    return ["Admin"] if user == os.environ.get("SUPERSET_ADMIN_USER", "admin") else [ANALYST]


def sync_users() -> None:
    """An administrator and an analyst with the passwords of the environment."""
    from superset import db, security_manager

    users = (
        (
            os.environ.get("SUPERSET_ADMIN_USER", "admin"),
            os.environ.get("SUPERSET_ADMIN_PASSWORD", "admin"),
        ),
        (
            os.environ.get("SUPERSET_ANALYST_USER", "analyst"),
            os.environ.get("SUPERSET_ANALYST_PASSWORD", "analyst"),
        ),
    )
    for name, password in users:
        roles = [security_manager.find_role(role) for role in wanted_roles(name)]
        user = security_manager.find_user(username=name)
        if user is None:
            user = security_manager.add_user(
                name, name.capitalize(), "Vaultstream", f"{name}@localhost", roles, password
            )
            if not user:
                raise DeployError(f"user {name} cannot be made")
        if list(user.roles) != roles:
            user.roles = roles
        if not password_matches(user.password, password):
            security_manager.reset_password(user.id, password)
    db.session.commit()


def password_matches(stored: str | None, password: str) -> bool:
    from werkzeug.security import check_password_hash

    return bool(stored) and check_password_hash(stored, password)


def sync_analyst(dataset_uuids: set[str]) -> None:
    """The role holds exactly what it is meant to hold: what was added by hand goes."""
    from superset import db, security_manager
    from superset.connectors.sqla.models import SqlaTable

    role = security_manager.add_role(ANALYST)
    granted = []
    for permission, view in ANALYST_PERMISSIONS:
        found = security_manager.find_permission_view_menu(permission, view)
        if found is None:
            raise DeployError(f"this Superset has no permission {permission} on {view}")
        granted.append(found)
    for dataset in db.session.query(SqlaTable).all():
        if str(dataset.uuid) in dataset_uuids:
            found = security_manager.find_permission_view_menu("datasource_access", dataset.perm)
            if found is None:
                raise DeployError(f"no permission exists for the dataset {dataset.table_name}")
            granted.append(found)
    if set(role.permissions) != set(granted):
        role.permissions = granted
    db.session.commit()


# ---- Assets


def models() -> dict[str, Any]:
    """What each folder of the bundle holds, the dependent ones first."""
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    return {"dashboards": Dashboard, "charts": Slice, "datasets": SqlaTable, "databases": Database}


def uuids(files: bundle_files.Files, folder: str) -> set[str]:
    return {file["uuid"] for path, file in files.items() if path.startswith(f"{folder}/")}


def import_assets(files: bundle_files.Files) -> None:
    from superset.commands.importers.v1.assets import ImportAssetsCommand

    ImportAssetsCommand(bundle_files.as_texts(files)).run()


def remove_what_left(files: bundle_files.Files) -> list[str]:
    """Assets that an earlier bundle brought and this one has no more. What people made themselves stays."""
    from superset import db

    removed = []
    for folder, model in models().items():
        kept = uuids(files, folder)
        for asset in db.session.query(model).filter_by(is_managed_externally=True).all():
            if str(asset.uuid) not in kept:
                removed.append(f"{folder}/{asset}")
                db.session.delete(asset)
    db.session.commit()
    return removed


def exported() -> bundle_files.Files:
    """What the metadata database holds, as Superset itself would export it, by kind and uuid."""
    from superset import db
    from superset.commands.chart.export import ExportChartsCommand
    from superset.commands.dashboard.export import ExportDashboardsCommand
    from superset.commands.database.export import ExportDatabasesCommand
    from superset.commands.dataset.export import ExportDatasetsCommand

    exporters = {
        "dashboards": ExportDashboardsCommand,
        "charts": ExportChartsCommand,
        "datasets": ExportDatasetsCommand,
        "databases": ExportDatabasesCommand,
    }
    found: bundle_files.Files = {}
    for folder, model in models().items():
        for asset in db.session.query(model).filter_by(is_managed_externally=True).all():
            for path, content in exporters[folder]([asset.id], export_related=False).run():
                if path.startswith(f"{folder}/"):
                    text = content() if callable(content) else content
                    found[f"{folder}/{asset.uuid}"] = yaml.safe_load(text)
    return found


def differences(wanted: Any, found: Any, path: str) -> list[str]:
    """Where found lacks what is wanted. What Superset adds of its own is not a difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            line
            for key, value in wanted.items()
            for line in differences(value, found.get(key), f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            line
            for number, (one, other) in enumerate(zip(wanted, found, strict=True))
            for line in differences(one, other, f"{path}[{number}]")
        ]
    # An empty value and a missing one are the same to Superset.
    return (
        []
        if wanted == found or (not wanted and not found)
        else [f"{path} is {found!r}, not {wanted!r}"]
    )


def comparable(folder: str, file: dict[str, Any]) -> dict[str, Any]:
    """A file without what an import rewrites: numbers of charts and datasets, and what only an import reads."""
    left_out = ("query_context", "is_managed_externally", "uuid", "version")
    kept = {key: value for key, value in file.items() if key not in left_out}
    if folder == "databases":
        # Exported under its newer name.
        kept.pop("allow_csv_upload", None)
        kept.get("extra", {}).pop("schemas_allowed_for_csv_upload", None)
    if folder == "datasets":
        for part, key in (("columns", "column_name"), ("metrics", "metric_name")):
            kept[part] = {entry[key]: entry for entry in kept.get(part, [])}
    if folder == "dashboards":
        for node in kept["position"].values():
            if isinstance(node, dict):
                node.get("meta", {}).pop("chartId", None)
        for native in kept["metadata"]["native_filter_configuration"]:
            native["scope"]["excluded"] = len(native["scope"]["excluded"])
    return kept


def verify(files: bundle_files.Files) -> None:
    """Every asset of the files is there with every value, and the dashboards hold all their charts."""
    from superset import db
    from superset.models.dashboard import Dashboard

    held = exported()
    wrong: list[str] = []
    for path, file in files.items():
        folder = path.split("/")[0]
        if folder not in models():
            continue
        found = held.get(f"{folder}/{file['uuid']}")
        if found is None:
            wrong.append(f"{path} is missing")
            continue
        wrong += differences(comparable(folder, file), comparable(folder, found), path)
    for path, file in files.items():
        if path.startswith("dashboards/"):
            placed = {
                node["meta"]["uuid"]
                for node in file["position"].values()
                if isinstance(node, dict) and node["type"] == "CHART"
            }
            dashboard = db.session.query(Dashboard).filter_by(uuid=file["uuid"]).one()
            if {str(chart.uuid) for chart in dashboard.slices} != placed:
                wrong.append(f"{path} does not hold the charts that its layout shows")
    if wrong:
        raise DeployError("the import did not arrive: " + "; ".join(wrong[:40]))


# ---- The whole


def as_administrator(app: Flask) -> Any:
    """Everything that is imported belongs to the administrator."""
    from superset import security_manager
    from superset.utils.core import override_user

    del app
    return override_user(
        security_manager.find_user(username=os.environ.get("SUPERSET_ADMIN_USER", "admin"))
    )


def deploy(app: Flask, only_verify: bool) -> None:
    from superset import appbuilder, security_manager

    files = bundle_files.from_environment()
    if only_verify:
        # An export asks who the user is.
        with as_administrator(app):
            verify(files)
        return
    # What `superset init` does: the permissions that roles are made of, and the roles that come with Superset.
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    security_manager.add_role(ANALYST)
    sync_users()
    with as_administrator(app):
        import_assets(files)
        for gone in remove_what_left(files):
            print(f"removed {gone}, which the bundle has no more")
        sync_analyst(uuids(files, "datasets"))
        verify(files)
    count = sum(1 for path in files if path != "metadata.yaml")
    print(f"{count} assets are as the bundle has them")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Bring Superset to what the files say, and verify it."
    )
    parser.add_argument("--verify", action="store_true", help="change nothing, only compare")
    arguments = parser.parse_args()
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        try:
            deploy(app, arguments.verify)
        except (DeployError, bundle_files.BundleError) as problem:
            print(f"deploy: {problem}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
