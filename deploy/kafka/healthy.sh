#!/usr/bin/env bash
# Asks the broker for the versions that it speaks, as every client does first.
# In: the port of a listener without TLS, on this machine. Out: exit 0 when the broker has answered this very request.
# It is bash alone, on purpose: Kafka's own program starts a JVM with the broker's heap options, and when the check's time is
# over Docker ends only the shell around it.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/$1"
# The length; ApiVersions (18) in version 0; "ping" as the number of the request; "healthy" as the name of the client.
printf '\0\0\0\021\0\022\0\0ping\0\007healthy' >&3
# The answer begins with its length and the request's number. A NUL byte ends each read, and no line is waited for longer
# than the health check's own time.
answer=
for _ in 1 2 3 4 5; do
    LC_ALL=C IFS= read -r -d '' -t 5 part <&3 || exit 1
    answer+="$part"
    [[ "$answer" != *ping* ]] || exit 0
done
exit 1
