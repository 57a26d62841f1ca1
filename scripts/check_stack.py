"""Rules that every service of deploy/swarm/stack.yml keeps.

In: the output of `docker compose config --format json` for it, on standard input. Out: a line for each violation, and
exit 1 if there is one.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

Service = dict[str, Any]
Stack = dict[str, Any]

# Ours bring their check along.
WITH_CHECK = ("vaultstream/cdc-reader:", "vaultstream/vault-loader:")


def is_job(service: Service) -> bool:
    return service.get("deploy", {}).get("mode") == "replicated-job"


def keeps_data(service: Service) -> bool:
    return any(volume["type"] == "volume" for volume in service.get("volumes", []))


def violations_of(name: str, service: Service) -> Iterator[str]:
    """What is wrong with one service."""
    deploy = service.get("deploy", {})
    if not {"max-size", "max-file"} <= set(service.get("logging", {}).get("options", {})):
        yield f"{name}: its log is not rotated"
    tag = service["image"].rpartition(":")[2]
    if not tag or "/" in tag or tag == "latest":
        yield f"{name}: its image has no pinned tag"
    if not service.get("healthcheck") and not service["image"].startswith(WITH_CHECK):
        yield f"{name}: it has no health check; disable it where there is nothing to ask"
    if deploy.get("endpoint_mode") != "dnsrr":
        yield f"{name}: its name leads to the swarm's load balancer, which forgets idle connections"
    if not deploy.get("restart_policy"):
        yield f"{name}: nothing says when it is started again"
    if not is_job(service):
        update = deploy.get("update_config", {})
        if not {"parallelism", "order", "failure_action"} <= set(update):
            yield f"{name}: nothing says how it is updated"
        if not deploy.get("resources", {}).get("limits", {}).get("memory"):
            yield f"{name}: its memory is not bounded"
    if keeps_data(service) and not deploy.get("placement", {}).get("constraints"):
        yield f"{name}: it keeps data and may be started where its volume is not"
    for variable, value in (service.get("environment") or {}).items():
        for secret in re.findall(r"<secret:([^>]+)>", str(value)):
            if secret not in {entry["source"] for entry in service.get("secrets", [])}:
                yield f"{name}: {variable} refers to the secret {secret}, which it does not have"
        if "PASSWORD" in variable and not str(value).startswith("<secret:"):
            yield f"{name}: {variable} is not a secret of the swarm"


def violations_of_stack(stack: Stack) -> Iterator[str]:
    """What is wrong between services, configs and secrets."""
    used = {entry["source"] for service in stack["services"].values() for entry in service.get("secrets", [])}
    for name, secret in stack["secrets"].items():
        if not secret.get("external"):
            yield f"the secret {name} is in a file"
        if name not in used:
            yield f"nobody has the secret {name}"
    with open("deploy/swarm/lib.sh", encoding="utf-8") as file:
        made = re.search(r"SECRETS=\(([^)]*)\)", file.read())
    if made is None or set(made[1].split()) != set(stack["secrets"]):
        yield "deploy-ha.sh makes other secrets than the stack has"
    for name, config in stack["configs"].items():
        if not os.path.exists(config["file"]):
            yield f"{config['file']}, the file of the config {name}, does not exist"
    for key in ("postgres", "etcd"):
        members = [name for name in stack["services"] if re.fullmatch(key + r"-\d", name)]
        places = {str(stack["services"][name]["deploy"]["placement"]["constraints"]) for name in members}
        if len(members) != 3 or len(places) != 3:
            yield f"{key}: three members in three places are wanted"


def main() -> int:
    stack: Stack = json.load(sys.stdin)
    services: dict[str, Service] = stack["services"]
    found = [line for name in sorted(services) for line in violations_of(name, services[name])]
    found += violations_of_stack(stack)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(services)} services, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
