"""Rules that every service of docker-compose.yml keeps.

In: the output of `docker compose config --format json` for all profiles, on standard input. Out: a line for each
violation, and exit 1 if there is one.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

Service = dict[str, Any]


def violations_of(name: str, service: Service) -> Iterator[str]:
    """What is wrong with one service."""
    options = service.get("logging", {}).get("options", {})
    if not {"max-size", "max-file"} <= set(options):
        yield f"{name}: its log is not rotated"
    if not service.get("mem_limit"):
        yield f"{name}: its memory is not bounded"
    tag = service.get("image", "").rpartition(":")[2]
    if not tag or "/" in tag or tag == "latest":
        yield f"{name}: its image has no pinned tag"
    for port in service.get("ports", []):
        if port.get("host_ip") != "127.0.0.1":
            yield f"{name}: port {port['published']} listens to the world by default"
    # Our own images bring their check along.
    if not service.get("healthcheck") and not service["image"].startswith("vaultstream/"):
        yield f"{name}: it has no health check; disable it where there is nothing to ask"
    for volume in service.get("volumes", []):
        # Compose would make an empty folder where a file is meant.
        if volume["type"] == "bind" and not os.path.exists(volume["source"]):
            yield f"{name}: {volume['source']} does not exist"
        if volume["type"] == "volume" and not volume.get("source"):
            yield f"{name}: {volume['target']} is a volume without a name"


def violations_together(services: dict[str, Service]) -> Iterator[str]:
    """What is wrong between services."""
    builds = Counter(service["image"] for service in services.values() if service.get("build"))
    for image, count in builds.items():
        if count > 1:
            yield f"{image} is built by {count} services"
    ports = Counter(
        port["published"] for service in services.values() for port in service.get("ports", [])
    )
    for port, count in ports.items():
        if count > 1:
            yield f"port {port} is published by {count} services"


def main() -> int:
    services: dict[str, Service] = json.load(sys.stdin)["services"]
    found = [line for name in sorted(services) for line in violations_of(name, services[name])]
    found += violations_together(services)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(services)} services, {len(found)} violations")
    return 1 if found or not services else 0


if __name__ == "__main__":
    sys.exit(main())
