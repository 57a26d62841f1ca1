"""Whether every operation of the OpenAPI document was exercised, by the service's own counts.

In: SERVICE_URL. Out: a line for each operation with how often each status came; exit 1 when an operation never
succeeded, or when an answer was a server error. 503 with a Retry-After is no error of the service while its database is away, but the
database of this test never is, so 503 counts as one, too.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter, defaultdict

import httpx

COUNT = re.compile(
    r'^booking_http_request_duration_seconds_count\{method="(\w+)",route="([^"]*)",status="(\d+)"\} (\d+)$'
)


def main() -> int:
    client = httpx.Client(base_url=os.environ["SERVICE_URL"], timeout=30)
    document = client.get("/openapi.json").json()
    counts: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for line in client.get("/metrics").text.splitlines():
        if found := COUNT.match(line):
            counts[found[1], found[2]][int(found[3])] += int(found[4])
    wrong = []
    for path, item in document["paths"].items():
        for method in item:
            statuses = counts[method.upper(), path]
            shown = "  ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
            print(f"{method.upper():6} {path:70} {shown}")
            if not any(200 <= status < 300 for status in statuses):
                wrong.append(f"{method.upper()} {path} never succeeded")
    for (method, path), statuses in counts.items():
        if failed := sum(count for status, count in statuses.items() if status >= 500):
            wrong.append(f"{method} {path}: {failed} server errors")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
