# The faults of the stack while greetings leave; sourced by run.sh.
begun() { [ "$(sql "select count(*) from messages where status = 'sent'")" -gt 20 ]; }
rolling_update() {
    local image
    image=$(docker service inspect "${stack}_node" --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}')
    # The same code with another version is another image.
    printf 'FROM %s\nLABEL org.opencontainers.image.version=verification-next\n' "$image" |
        docker build --quiet --tag heyday:verification-next - >/dev/null 2>&1
    docker service update --detach --no-resolve-image --image heyday:verification-next "${stack}_node" >/dev/null 2>&1
    say "rolling update to another image begun; $(left) left"
    sleep 15
}
# The oldest container: if a node dies that was just updated, Swarm rolls the update back.
kill_node() {
    docker ps --quiet --filter "name=^${stack}_node\." --filter status=running | tail -n 1 | xargs docker kill >/dev/null
    middle=$(date -u +%FT%TZ)
    say "a node killed; $(left) left"
    sleep 5
}
kill_leader() {
    local was
    was=$(leader)
    docker kill "$(container "$was")" >/dev/null
    say "$was killed, which led heyday.delivery; $(left) left"
}
