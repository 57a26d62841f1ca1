"""Configuration of Superset for Vaultstream's dashboards.

Everything that differs between machines comes from the environment; no secret stands here or in the bundle. The same
file serves the demo (scripts/superset.sh) and the container.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

HOME = Path(os.environ.get("SUPERSET_HOME", Path.home() / ".superset"))
LANGUAGE = os.environ.get("SUPERSET_LANGUAGE", "ru")

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ.get(
    "SUPERSET_METADATA_URI", f"sqlite:///{HOME / 'superset.db'}?timeout=30"
)


def warehouse_password(url: URL) -> str | None:
    """The password of a connection: the mart reader's comes from the environment, and no other is known."""
    if url.username == os.environ.get("MART_READER_USER", "mart_reader"):
        return os.environ["MART_READER_PASSWORD"]
    return None


# With a password store Superset keeps no password in its metadata database, encrypted or not.
SQLALCHEMY_CUSTOM_PASSWORD_STORE = warehouse_password

# ---- What is fresh, and what it costs
#
# A dashboard asks again every ten seconds. In the mode "fetch" that goes through the cache; the default, "force", goes
# around it, and then every open tab asks the warehouse. The datasets' cache_timeout is one second: so much of the two
# seconds from a booking's commit to the dashboard may the cache use up. However many people look, a query with the same
# filters reaches the warehouse once a second at most.
#
# The cache is made of files because it has to be one for all worker processes.
DASHBOARD_AUTO_REFRESH_MODE = "fetch"
DATA_CACHE_CONFIG: dict[str, Any] = {
    "CACHE_TYPE": "FileSystemCache",
    "CACHE_DIR": str(HOME / "cache" / "data"),
    "CACHE_DEFAULT_TIMEOUT": 1,
    # Files, not bytes. When there are more, the expired ones go: nearly all of them.
    "CACHE_THRESHOLD": 500,
}
CACHE_CONFIG: dict[str, Any] = {
    "CACHE_TYPE": "FileSystemCache",
    "CACHE_DIR": str(HOME / "cache" / "metadata"),
    "CACHE_DEFAULT_TIMEOUT": 60,
    "CACHE_THRESHOLD": 500,
}
# A query that a person waits for does not hold the warehouse longer than this many seconds.
SUPERSET_WEBSERVER_TIMEOUT = 60
SAMPLES_ROW_LIMIT = 100

# ---- Who gets in
#
# Nobody without a login: the role Public is empty and nothing makes it like another one.
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = None
AUTH_USER_REGISTRATION = False
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "30 per minute"
RATELIMIT_STORAGE_URI = "memory://"
PREVENT_UNSAFE_DB_CONNECTIONS = True
FAB_ADD_SECURITY_API = True
WTF_CSRF_ENABLED = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Set to true behind TLS.
SESSION_COOKIE_SECURE = os.environ.get("SUPERSET_COOKIE_SECURE", "false").lower() == "true"

# The page may load from its own server only: no map tiles, no fonts, no counters from elsewhere.
TALISMAN_ENABLED = True
TALISMAN_CONFIG: dict[str, Any] = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'", "data:"],
        "script-src": ["'self'", "'strict-dynamic'"],
        "frame-ancestors": ["'self'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": SESSION_COOKIE_SECURE,
}

FEATURE_FLAGS = {
    "DASHBOARD_RBAC": False,
    "ALERT_REPORTS": False,
    "ALLOW_FULL_CSV_EXPORT": False,
    "EMBEDDED_SUPERSET": False,
    "ENABLE_TEMPLATE_PROCESSING": False,
}

# ---- How it looks

BABEL_DEFAULT_LOCALE = LANGUAGE
LANGUAGES = {
    "ru": {"flag": "ru", "name": "Русский"},
    "en": {"flag": "us", "name": "English"},
}
CURRENCIES = ["RUB", "USD", "EUR"]
if LANGUAGE == "ru":
    D3_FORMAT = {
        "decimal": ",",
        "thousands": "\u00a0",
        "grouping": [3],
        "currency": ["", "\u00a0₽"],
    }
    D3_TIME_FORMAT = {
        "dateTime": "%A, %e %B %Y г. %X",
        "date": "%d.%m.%Y",
        "time": "%H:%M:%S",
        "periods": ["AM", "PM"],
        "days": [
            "воскресенье",
            "понедельник",
            "вторник",
            "среда",
            "четверг",
            "пятница",
            "суббота",
        ],
        "shortDays": ["вс", "пн", "вт", "ср", "чт", "пт", "сб"],
        "months": [
            "январь",
            "февраль",
            "март",
            "апрель",
            "май",
            "июнь",
            "июль",
            "август",
            "сентябрь",
            "октябрь",
            "ноябрь",
            "декабрь",
        ],
        "shortMonths": [
            "янв",
            "фев",
            "мар",
            "апр",
            "май",
            "июн",
            "июл",
            "авг",
            "сен",
            "окт",
            "ноя",
            "дек",
        ],
    }

EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "vaultstream",
        "description": "One scheme for all dashboards",
        "label": "Vaultstream",
        "isDefault": True,
        "colors": [
            "#1F5FA8",
            "#2CA5A5",
            "#F2A541",
            "#D9594C",
            "#6C63A6",
            "#7FB069",
            "#3F88C5",
            "#94A3B8",
            "#B5651D",
            "#E48BA6",
            "#4C6A92",
            "#A3C4BC",
        ],
    }
]
EXTRA_SEQUENTIAL_COLOR_SCHEMES = [
    {
        "id": "vaultstream_blues",
        "description": "From nothing to much",
        "label": "Vaultstream blues",
        "isDiverging": False,
        "isDefault": True,
        "colors": ["#EAF2FB", "#B9D4EE", "#7FB0DE", "#3F88C5", "#1F5FA8"],
    }
]

Path(DATA_CACHE_CONFIG["CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
Path(CACHE_CONFIG["CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
