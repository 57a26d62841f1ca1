#!/bin/sh
# Starts Redis with one user, who may do what the booking service does and nothing else; nothing is kept on disk.
# In: BOOKING_REDIS_PASSWORD, of letters, digits and - _ . ~ only. Out: a server on port 6379. Invariant: the password is in a file of the container's memory
# and in no argument.
set -eu

# Another character would end the word in the settings, or would have to be written otherwise in the URL of the instances.
case "$BOOKING_REDIS_PASSWORD" in
    '' | *[!A-Za-z0-9_.~-]*)
        echo "BOOKING_REDIS_PASSWORD must consist of letters, digits and - _ . ~" >&2
        exit 1
        ;;
esac

umask 077
cat >/tmp/redis.conf <<END
port 6379
dir /tmp
save ""
appendonly no
maxmemory 64mb
maxmemory-policy allkeys-lru
user default off
user booking on >$BOOKING_REDIS_PASSWORD ~booking:* &booking:* -@all +auth +hello +ping +select +client|setname +get +set +mget +incr +expire +publish +subscribe +unsubscribe
END
unset BOOKING_REDIS_PASSWORD
exec redis-server /tmp/redis.conf
