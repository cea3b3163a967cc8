# Output and waiting of the verification scripts; sourced by both.
say() { echo "$(date -u +%T)  $*"; }
die() { say "$*"; exit 1; }
in_time() { # in_time SECONDS WHAT COMMAND...: wait until the command succeeds
    local within=$1 what=$2 until=$((SECONDS + $1)) from=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || die "$what: not within $within s"
        sleep 1
    done
    say "$what after $((SECONDS - from)) s"
}
