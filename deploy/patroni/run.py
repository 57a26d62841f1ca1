"""Runs Patroni with a lease that may be shorter than 20 s.

In: the arguments of Patroni. Out: Patroni. When a primary vanishes with its Patroni, or is cut off, nobody can be
promoted before its lease in etcd has ended, and Patroni makes every shorter `ttl` 20 s. Here a `ttl` from 7 s on
counts. Patroni's own rule still holds: loop_wait + 2 * retry_timeout <= ttl. It makes a primary that cannot renew its
lease give up before the lease has ended.
"""

from patroni.__main__ import main
from patroni.config import Config

# The smallest ttl that Patroni's rule allows: loop_wait is 1 s at least, and retry_timeout is 3 s at least.
SHORTEST_TTL = 7
METHOD = "_Config__get_and_maybe_adjust_int_value"

adjust = getattr(Config, METHOD)


def adjust_with_short_ttl(self, config, param, min_value):
    return adjust(self, config, param, SHORTEST_TTL if param == "ttl" else min_value)


setattr(Config, METHOD, adjust_with_short_ttl)

if __name__ == "__main__":
    main()
