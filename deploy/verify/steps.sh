# Output, waiting, and the commands of the runbook; sourced by the verification scripts.
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
# Run every command that the runbook and the page of troubleshooting show, in the deployment at hand: the script defines heyday and
# rabbitmqctl. ADA is the address of a user.
runbook() {
    local line said number=0
    while read -r -u 3 line; do
        said=$(eval "${line//ada@example.com/${ADA:-ada@example.com}}" 2>&1 </dev/null) ||
            die "the runbook's command fails here: $line: $(tail -n 3 <<<"$said")"
        number=$((number + 1))
    done 3< <(sed -n 's/^    \(\(heyday\|rabbitmqctl\) [^#]*\).*/\1/p' "$top"/docs/{OPERATIONAL_RUNBOOK,TROUBLESHOOTING_GUIDE}.md | sed 's/ *$//' | sort -u)
    say "the $number commands of the runbook and of troubleshooting work here"
}
