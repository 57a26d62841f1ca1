#!/usr/bin/env bash
# One of Kafka's programs under the name that people type, such as kafka-topics.
# In: the program's arguments. Out: what the program says, and its exit code.
# Its heap is small: the broker's options are in this environment, and both must fit into the container's memory.
set -euo pipefail

KAFKA_HEAP_OPTS="-Xmx128m" KAFKA_JMX_OPTS='' exec "/opt/kafka/bin/$(basename "$0").sh" "$@"
