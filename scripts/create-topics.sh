#!/usr/bin/env bash
# Creates the topics of the system on a Kafka cluster, or brings their settings up to date. It can run at every
# deployment, with a user that may create topics; the services may not.
#
#   KAFKA_BOOTSTRAP_SERVERS    host:port,…
#   KAFKA_COMMAND_CONFIG       properties file with the client's security settings, if any
#   KAFKA_PARTITIONS           12: as many replicas of fee-svc can share the work; later it can only grow
#   KAFKA_USER                 the services' user, who is allowed what they need, and nothing else; nobody if empty
#   KAFKA_REPLICATION_FACTOR   3
#   KAFKA_TOPICS, KAFKA_CONFIGS, KAFKA_ACLS  Kafka's commands, should they have another name than here
set -euo pipefail

partitions=${KAFKA_PARTITIONS:-12}
replication=${KAFKA_REPLICATION_FACTOR:-3}
read -ra topics <<<"${KAFKA_TOPICS:-kafka-topics.sh}"
read -ra configs <<<"${KAFKA_CONFIGS:-kafka-configs.sh}"
read -ra acls <<<"${KAFKA_ACLS:-kafka-acls.sh}"
common=(--bootstrap-server "${KAFKA_BOOTSTRAP_SERVERS:?}")
[ -z "${KAFKA_COMMAND_CONFIG:-}" ] || common+=(--command-config "$KAFKA_COMMAND_CONFIG")

day=$((24 * 60 * 60 * 1000))

# topic NAME PARTITIONS DAYS
topic() {
	local settings="retention.ms=$(($3 * day)),cleanup.policy=delete"
	[ "$replication" -lt 3 ] || settings+=",min.insync.replicas=2" # an acknowledged event is on two machines
	local created has
	created=$("${topics[@]}" "${common[@]}" --create --if-not-exists --topic "$1" --partitions "$2" --replication-factor "$replication")
	[ -z "$created" ] || echo "$created"
	if [[ $created != *"Created topic"* ]]; then
		has=$("${topics[@]}" "${common[@]}" --describe --topic "$1" | sed -n 's/.*PartitionCount: *\([0-9]*\).*/\1/p')
		[ "$has" -ge "$2" ] || "${topics[@]}" "${common[@]}" --alter --topic "$1" --partitions "$2"
	fi
	"${configs[@]}" "${common[@]}" --alter --entity-type topics --entity-name "$1" --add-config "$settings"
}

# An event that fee-svc has not taken within its time is lost, so it has a week, with every holiday in it.
topic transfers-completed "$partitions" 7
topic fee-charges "$partitions" 7
# What could not be understood waits for a person. There is little of it, and its order is worth keeping.
topic transfers-completed-dead-letter 1 365

# allow OPERATION RESOURCE…
allow() {
	[ -z "${KAFKA_USER:-}" ] || "${acls[@]}" "${common[@]}" --add --allow-principal "User:$KAFKA_USER" --operation "$@"
}

allow Write --topic transfers-completed --topic fee-charges --topic transfers-completed-dead-letter
# Dead letters are read by operators.
allow Read --topic transfers-completed --topic transfers-completed-dead-letter --group fee-svc
