"""System Health: nodes, servers, circuit, planning, jobs and alerts. Begin here."""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import CIRCUIT, GREEN, NONE_IS_GOOD, ORANGE, RED, UP, figure, series, table, timeline

NOW = Row(
    "Now",
    [
        figure(
            "How many nodes answer? · nodes up",
            "`answer`: nodes that Prometheus reaches. `live`: nodes that the nodes themselves count as living. Both should be equal.",
            {"answer": "sum(up{ALL})", "live": "max(nodes_living{ALL})"},
            unit="none",
            steps=((None, RED), (1, GREEN)),
        ),
        figure(
            "May greetings leave? · circuit state",
            "The circuit of the primary email service, open if it is open on any node. While it is open, nothing is lost.",
            {
                "circuit": """
                    max(circuit_breaker_state{NODE, service="message-api"} == 1)
                    or max(circuit_breaker_state{NODE, service="message-api"})
                """
            },
            unit="none",
            words=CIRCUIT,
        ),
        figure(
            "Does every server answer? · dependencies up",
            "PostgreSQL, Redis and RabbitMQ as the nodes see them; the worst of all nodes.",
            {"{{system}}": "min by (system) (dependency_up{NODE})"},
            unit="none",
            words=UP,
        ),
        figure(
            "How long has the oldest message been due? · oldest due age",
            "Age of the oldest due message that has not left. During a wave it rises until the wave has left.",
            {"oldest": "max(oldest_due_message_age_seconds{ALL})"},
            unit="s",
            steps=((None, GREEN), (60, ORANGE), (600, RED)),
        ),
        figure(
            "How far ahead is planning complete? · planned ahead",
            "Normally between 24 and 48 hours. Later messages do not exist yet.",
            {"ahead": "max(planned_ahead_seconds{ALL})"},
            unit="s",
            steps=((None, RED), (24 * 3600, GREEN)),
        ),
        figure(
            "How many alerts fire? · alerts firing",
            "The alerts of deploy/alerts. The list is below.",
            {"alerts": 'count(ALERTS{app="heyday", alertstate="firing"}) or vector(0)'},
            unit="none",
            steps=NONE_IS_GOOD,
        ),
    ],
)

LATELY = Row(
    "Lately",
    [
        timeline(
            "Which alerts fired, and when? · alert history",
            "Each bar is an alert of deploy/alerts. docs/OPERATIONAL_RUNBOOK.md has a section for each.",
            {"{{alertname}}": 'max by (alertname) (ALERTS{app="heyday", alertstate="firing"})'},
            words={1: ("fires", RED)},
            none="none fired",
        ),
        timeline(
            "Which server was away, and for which node? · outages",
            "A server is away while an actor waits for it. `cluster` means that the node refuses its database.",
            {"{{system}} for {{node}}": "dependency_up{NODE} NAMED"},
            words=UP,
        ),
        series(
            "Did a node come, go, or die? · living nodes, deaths",
            "`living`: nodes that are not dead. `died`: nodes that other nodes found dead. A drained node is not counted as dead.",
            {"living": "max(nodes_living{NODE})", "died": "sum(increase(node_deaths_total{NODE}[$__rate_interval]))"},
            unit="none",
        ),
        table(
            "Which version runs where? · versions",
            "The versions of heyday and of its time zone data. All nodes should have the same.",
            "heyday_info{NODE}",
            unit="none",
            columns={"node": "node", "instance": "address", "version": "version", "tzdata": "time zones"},
        ),
    ],
)

PROCESSES = Row(
    "Processes",
    [
        series(
            "How busy is each node? · CPU",
            "Processor time per second. A node is one process on one core, so 100 % is its maximum.",
            {"{{node}}": "rate(process_cpu_seconds_total{NODE}[$__rate_interval]) NAMED"},
            unit="percentunit",
            width=8,
            limits=((0.9, ORANGE),),
        ),
        series(
            "How much memory does each node use? · memory (RSS)",
            "Resident memory. It does not grow with the backlog.",
            {"{{node}}": "process_resident_memory_bytes{NODE} NAMED"},
            unit="bytes",
            width=8,
        ),
        series(
            "Is a process blocked? · event loop lag",
            "The greatest delay of the event loop in the last 30 seconds.",
            {"{{node}}": "event_loop_lag_seconds{NODE} NAMED"},
            unit="s",
            width=8,
            limits=((0.5, ORANGE),),
        ),
        series(
            "Which actor cannot keep up? · mailbox depth",
            "The ten fullest mailboxes. A full mailbox makes its senders wait.",
            {"{{actor}}": "topk(10, max by (actor) (actor_mailbox_depth{NODE}))"},
            unit="none",
            width=8,
        ),
        series(
            "Are the machines' clocks right? · clock skew",
            "A node's clock minus the database's clock. The database's clock decides; a wrong clock of a node only makes its logs misleading.",
            {"{{node}}": "clock_skew_seconds{NODE} NAMED"},
            unit="s",
            width=8,
            least=None,
            limits=((-5, ORANGE), (-4.999, GREEN), (5, ORANGE)),
        ),
        series(
            "How close is a node to its limit of open files? · open file descriptors",
            "Connections count as files. At 100 % the node can open no more.",
            {"{{node}}": "process_open_fds{NODE} / process_max_fds{NODE} NAMED"},
            unit="percentunit",
            width=8,
            limits=((0.8, ORANGE),),
        ),
    ],
)

JOBS = Row(
    "Jobs",
    [
        figure(
            "When did each job last succeed? · time since last success",
            "The latest success on any node. The daily job plans, the minute job claims due messages, recovery finds lost work.",
            {"{{exported_job}}": "time() - max by (exported_job) (job_last_success_timestamp_seconds{ALL})"},
            unit="s",
            width=8,
            height=6,
            steps=((None, GREEN), (25 * 3600, RED)),
        ),
        series(
            "Do the jobs run, and do they succeed? · job runs by outcome",
            "Runs by outcome, over the chosen nodes.",
            {
                "{{exported_job}} {{outcome}}": "sum by (exported_job, outcome) (increase(job_runs_total{NODE}[$__rate_interval]))"
            },
            unit="none",
            width=8,
            height=6,
        ),
        series(
            "Does a job take longer than it used to? · job duration",
            "Mean duration of a run, by job.",
            {
                "{{exported_job}}": """
                    sum by (exported_job) (rate(job_duration_seconds_sum{NODE}[$__rate_interval]))
                    / (sum by (exported_job) (rate(job_duration_seconds_count{NODE}[$__rate_interval])) > 0)
                """
            },
            unit="s",
            width=8,
            height=6,
        ),
        figure(
            "How old is the time zone data? · tzdata age",
            "Age since the earliest possible release date, so up to half a year too high. After one year, update it.",
            {"age": "time() - min(tzdata_release_timestamp_seconds{NODE})"},
            unit="s",
            width=6,
            steps=((None, GREEN), (300 * 86400, ORANGE), (365 * 86400, RED)),
        ),
        figure(
            "Did the database's clock jump? · clock jumps",
            "Jumps within the time shown, as the node saw them that saw most. The clock was set, or its machine was suspended.",
            {"jumps": "max(increase(clock_jumps_total{NODE}[$__range]))"},
            unit="none",
            width=6,
            steps=NONE_IS_GOOD,
        ),
    ],
)

BOARD = dashboard(
    "heyday-system-health",
    "heyday · System Health",
    "Are all nodes and servers there, and do they work?",
    [NOW, LATELY, PROCESSES, JOBS],
)
