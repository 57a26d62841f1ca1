#!/usr/bin/env bash
# Makes an authority and a certificate for each of the three Kafka nodes; renews a certificate that ends within 30 days.
# In: nothing, or "renew" to make every node's certificate anew. KAFKA_HOSTS: the nodes' host names, in the order of
# their numbers. Out, each in a volume of its own: the authority with its key in /authority; its certificate alone in
# /ca, for clients; key and certificate of node N in /node-N, for Kafka's user. /state is made writable for that user.
# Invariant: an authority that is there is kept, because clients and nodes trust it. Run as root in the image of
# PostgreSQL, which has OpenSSL.
set -euo pipefail

KAFKA_USER=1000
AUTHORITY_DAYS=3650
NODE_DAYS=397
RENEW_SECONDS=$((30 * 24 * 3600))
KEY=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

make_authority() {
    echo "making an authority"
    openssl req -x509 -days "$AUTHORITY_DAYS" -subj '/CN=Vaultstream Kafka' "${KEY[@]}" \
        -keyout /authority/ca.key -out /authority/ca.crt.new
    mv /authority/ca.crt.new /authority/ca.crt
}

# Key and certificate of a node: its number, its host name.
make_node() {
    local dir="/node-$1"
    echo "making the certificate of kafka-$1, host $2"
    openssl req -new -subj "/CN=kafka-$1" "${KEY[@]}" -keyout /authority/node.key -out /authority/node.csr
    openssl x509 -req -days "$NODE_DAYS" -in /authority/node.csr \
        -CA /authority/ca.crt -CAkey /authority/ca.key -CAcreateserial -out /authority/node.crt \
        -extfile <(printf 'basicConstraints = CA:FALSE\nsubjectAltName = DNS:%s, DNS:localhost\nextendedKeyUsage = serverAuth, clientAuth\n' "$2")
    cat /authority/node.key /authority/node.crt >"$dir/node.pem.new"
    cp /authority/node.crt "$dir/node.crt"
    cp /authority/ca.crt "$dir/ca.crt"
    chown -R "$KAFKA_USER" "$dir"
    mv "$dir/node.pem.new" "$dir/node.pem"
    rm /authority/node.key /authority/node.csr /authority/node.crt
}

# Whether the certificate of a node is of this authority and does not end soon.
is_good() {
    [[ -e "/node-$1/node.pem" ]] &&
        openssl verify -CAfile /authority/ca.crt "/node-$1/node.crt" >/dev/null &&
        openssl x509 -checkend "$RENEW_SECONDS" -noout -in "/node-$1/node.crt" >/dev/null
}

umask 077
[[ -e /authority/ca.crt ]] || make_authority
install -m 0644 /authority/ca.crt /ca/ca.crt
chmod 0755 /ca
read -r -a hosts <<<"$KAFKA_HOSTS"
for number in 1 2 3; do
    if [[ "${1:-}" == renew ]] || ! is_good "$number"; then
        make_node "$number" "${hosts[number - 1]}"
    fi
done
chown "$KAFKA_USER" /state
