# The stores of docker-compose.prod.yml on one machine, with an email service; sourced by scripts that run nodes beside them. They set COMPOSE_PROJECT_NAME and SECRETS.
stores() { docker compose --file "$verify/../../docker-compose.prod.yml" --file "$verify/stores.yml" "$@"; }
start_stores() {
    stop_stores   # of an earlier run, with other secrets
    chmod -R a+rX "$SECRETS"   # Compose mounts the files as they are, and the servers are not root
    stores up --detach postgres redis rabbitmq-1 rabbitmq-2 rabbitmq-3 email 2>&1 | grep -iE 'error|fail' || true
    say "the stores are started, and nothing waits for them"
}
stop_stores() { stores down --volumes --timeout 20 >/dev/null 2>&1 || true; }
rabbitmqctl() { stores exec -T rabbitmq-1 rabbitmqctl "$@"; }
# How many calls the email service has accepted.
accepted() {
    stores exec -T email python3 -c \
        'import sys, urllib.request; print(urllib.request.urlopen("http://127.0.0.1:8025/accepted").read().decode())' | grep -c .
}
greeted() { [ "$(accepted)" -ge 1 ]; }
# ada BIRTHDAY: the JSON of a user
ada() {
    echo '{"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "timezone": "Etc/UTC", "birthdayDate": "1990-'"$1"'"}'
}
