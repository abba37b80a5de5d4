# Apache Kafka from its Maven jars: one node, broker and controller (KRaft). Sourced by scripts/services.

kafka_pom=$scripts/kafka-pom.xml

kafka_variable() { echo SAGA_KAFKA_BROKERS; }
kafka_url() { echo "127.0.0.1:$(port_of kafka)"; }
kafka_port_kinds() { echo kafka kafka-controller; }
kafka_user() { id -un; }
kafka_end_signal() { echo TERM; }
kafka_kill_signal() { echo KILL; }

kafka_identity() {
    comm=java
    marker=$(folder_of kafka)/server.properties
}

kafka_missing_packages() {
    if [[ -z $(kafka_java) ]]; then echo openjdk-17-jre-headless; fi
    if [[ ! -d $(kafka_jars) ]] && ! type -P mvn >/dev/null; then echo maven; fi
}

# A Java of 17 or later, by the release file that lies beside it: asking java itself takes longer.
kafka_java() {
    local java
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(type -P java)" /usr/lib/jvm/*/bin/java; do
        if [[ -x $java ]] && java_is_17 "$(readlink -f "$java")"; then
            echo "$java"
            return
        fi
    done
}

java_is_17() {
    local release=${1%/bin/java}/release version
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$release" 2>/dev/null)
    [[ -n $version ]] && ((version >= 17))
}

# The folder's name changes with the pom, so that a changed version is fetched.
kafka_jars() { echo "$(folder_of kafka)/jars-$(cksum <"$kafka_pom" | cut -d ' ' -f 1)"; }

kafka_prepare() {
    kafka_fetch_jars
    kafka_write_settings
}

kafka_fetch_jars() {
    local jars
    jars=$(kafka_jars)
    if [[ -d $jars ]]; then return; fi
    say kafka "fetching its jars with Maven"
    rm -rf "$(folder_of kafka)"/jars-*
    mvn -B -q -Dstyle.color=never -f "$kafka_pom" dependency:copy-dependencies \
        -DoutputDirectory="$jars.new" >>"$(log_of kafka)" 2>&1 ||
        die_with_log kafka "could not fetch its jars"
    mv "$jars.new" "$jars"
}

# After a kill, the controller refuses the broker until the session of the one before has ended: by default 9 s.
kafka_write_settings() {
    local folder
    folder=$(folder_of kafka)
    cat >"$folder/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$(port_of kafka-controller)
listeners=PLAINTEXT://127.0.0.1:$(port_of kafka),CONTROLLER://127.0.0.1:$(port_of kafka-controller)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port_of kafka)
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$folder/data
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=10
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
END
    cat >"$folder/log4j2.properties" <<'END'
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %c{1} %m%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
END
}

kafka_initialise() {
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d =)
    "$(kafka_java)" -Xmx128m -cp "$(kafka_jars)/*" kafka.tools.StorageTool format --standalone -t "${id/#-/A}" \
        -c "$(folder_of kafka)/server.properties"
}

kafka_command() {
    local folder
    folder=$(folder_of kafka)
    argv=("$(kafka_java)" -Xms256m -Xmx512m -Djava.awt.headless=true
        -Dlog4j2.configurationFile="$folder/log4j2.properties"
        -cp "$(kafka_jars)/*" kafka.Kafka "$folder/server.properties")
}

# Asks for metadata (key 3, version 1, no topics). The answer counts the brokers after its length and
# correlation id; a node that is not ready yet counts none.
kafka_answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(port_of kafka)" || exit 1
        printf '\0\0\0\16\0\3\0\1\0\0\0\7\377\377\0\0\0\0' >&3
        [[ $(timeout 3 head -c 12 <&3 | od -An -tx1 | tr -d ' \n') == ????????0000000700000001 ]]
    ) 2>/dev/null
}
