"""`heyday` as a whole: version, usage, exit codes, closed pipes, completion and progress."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import tomllib
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from actors.cli import main
from actors.commands import progress
from actors.commands.color import in_color
from actors.commands.progress import Progress
from actors.commands.registry import COMMANDS, parser_for
from tests.forks import folder_of_heyday
from tests.service.adapters.postgres.conftest import Store

ROOT = Path(__file__).parents[3]
HEYDAY = [sys.executable, "-m", "actors.cli"]


def heyday(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a fork of a process that has imported heyday, with these settings and no others."""
    return _run([f"{folder_of_heyday()}/heyday", *words], environment)


def python_heyday(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it by an interpreter of its own: for what happens at its start or its end."""
    return _run([*HEYDAY, *words], environment)


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEYDAY_")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def usage_error(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The standard error of a command with wrong arguments."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug report needs it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"heyday {version('heyday')}\n"


REQUIRED = {
    "call": ["/health"],
    "explain": ["ada@example.com"],
    "completion": ["bash"],
    "hold": ["--reason", "a test"],
    "import": ["people.csv"],
    "occasions": ["list"],
    "prune": ["--before", "2020"],
}
"""The arguments that a command does not do without."""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_refuses_unknown_options_with_its_usage(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage of the whole program does not help."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: heyday {name} ")

    required = REQUIRED.get(name, [])
    said = usage_error(name, *required, "--no-such-option", capsys=capsys)

    assert said.startswith(f"usage: heyday {name} ")
    assert "--no-such-option" in said


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("occasions set", ["birthday", "--nope"]),
        ("occasions set", ["birthday", "--language", "de"]),
        ("occasions render", ["birthday", "--user", "a@example.com", "--years", "3"]),
        ("limits set", ["--nope"]),
        ("limits", ["--nope"]),
    ],
)
def test_wrong_arguments_of_an_action_are_answered_with_its_usage(
    action: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage of the command names no option of the action."""
    said = usage_error(*action.split(), *words, capsys=capsys)

    assert said.startswith(f"usage: heyday {action} [-h]")
    assert f"heyday {action}: error: " in said


def test_doctor_names_each_host_that_is_not_found_and_libraries_say_nothing() -> None:
    """A typing error in one of four URLs is the usual first mistake."""
    urls = {
        "DATABASE": "postgresql://u:p@db.invalid/heyday",
        "REDIS": "redis://redis.invalid",
        "RABBITMQ": "amqp://u:p@rabbit.invalid/",
        "EMAIL": "http://email.invalid",
    }

    done = python_heyday("doctor", **{f"HEYDAY_{name}_URL": url for name, url in urls.items()})

    assert (done.returncode, done.stderr) == (1, "")
    for host in ("db.invalid:5432", "redis.invalid:6379", "rabbit.invalid:5672", "email.invalid"):
        assert host in done.stdout


@pytest.mark.parametrize("words", [("chaos", "--help"), ("demo", "--once")])
def test_a_command_without_its_packages_names_the_extra(tmp_path: Path, words: tuple[str, ...]) -> None:
    """An installation for nodes lacks them. No index has heyday, so a bare name could be another's package."""
    (tmp_path / "psutil.py").write_text("raise ModuleNotFoundError(\"No module named 'psutil'\", name='psutil')")

    done = python_heyday(*words, PYTHONPATH=str(tmp_path))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"heyday: {words[0]} needs the package psutil: install heyday again, as WHEEL[embedded] or .[embedded]\n"
    )


def test_an_unknown_command_is_refused_with_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error must not start anything."""
    said = usage_error("redirve", capsys=capsys)

    assert all(f"'{name}'" in said or name in said for name in COMMANDS)


def test_arguments_that_contradict_each_other_are_answered_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The rule is not one of the parser, but it is shown in the same way."""
    said = usage_error("redrive", capsys=capsys)

    assert said.startswith("usage: heyday redrive ")
    assert "expected either ids of messages or --status" in said


@pytest.mark.parametrize(
    "words", [["explain", "\udcff@example.com"], ["call", "POST", "/x\udcff"], ["occasions", "show", "\udcff"]]
)
def test_an_argument_that_is_no_text_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal with another encoding sends such bytes. No server takes them."""
    said = usage_error(*words, capsys=capsys)

    assert "expected arguments in the encoding of this terminal, not '" in said


@pytest.mark.parametrize(
    "words",
    [
        ["redrive", "--status", "sent"],
        ["occasions", "set", "birthday", "--weekend", "never"],
        ["occasions", "set", "birthday", "--leap-day", "never"],
        ["occasions", "test-send", "birthday", "--to", "a@example.com", "--service", "third"],
        ["release", "1"],
        ["redrive", "1"],
        ["preview", "--user", "1"],
    ],
)
def test_a_value_that_is_refused_is_answered_in_the_words_of_the_help(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the accepted values, and no class of Python."""
    said = usage_error(*words, capsys=capsys)

    assert "usage:" not in said
    assert not re.search(r"<|UUID", said)
    assert re.search(r"choose from '[a-z]|expected an id such as", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", ""], "argument USER: expected the id of a user (a UUID) or an email address, not ''"),
        (["redrive", "--status", "failed", "--user", "ada"], "argument --user: expected the id of a user"),
        (["occasions", "render", "birthday", "--user", "ada"], "argument --user: expected the id of a user"),
        (
            ["occasions", "render", "birthday", "--user", "a@example.com", "--years", "3"],
            "expected --user or made-up values",
        ),
        (["occasions", "set", "Name day", "--text", "Hey"], "nothing was changed: code: "),
        (["occasions", "set", "birthday", "--text", "{name}"], "nothing was changed: text: "),
        (
            ["occasions", "set", "birthday", "--language", "de", "--text", "{name}"],
            "nothing was changed: texts.de.text",
        ),
        (["occasions", "set", "birthday", "--offset-days", "61"], "nothing was changed: offsetDays: "),
        (["preview", "--from", "2027-03-12", "--to", "2027-03-11"], "--to: expected an instant after --from"),
        (["preview", "--as-if-down", "2027-03-12", "2027-03-11"], "--as-if-down: expected FROM before TO"),
    ],
)
def test_a_value_that_no_database_takes_is_refused_before_it_is_asked(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that is away, or slow, must not hide the mistake. Nor must eight lines of usage: one is read."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", "postgresql://127.0.0.1:1/heyday")

    whole = usage_error(*words, capsys=capsys)

    assert said in whole
    assert ("usage:" in whole) is ("made-up" in said)  # this one is about which arguments go together


def test_a_port_that_no_machine_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The event loop would take its last 16 bits."""
    assert "expected a whole number from 0 to 65535" in usage_error("email-stub", "--port", "99999", capsys=capsys)


@pytest.mark.parametrize("times", ["0", "-1", "x"])
def test_a_crash_for_no_time_is_refused(times: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The node would never crash."""
    said = usage_error("run", "--crash-at", f"claimed:{times}", capsys=capsys)

    assert "expected FAILPOINT or FAILPOINT:N" in said


def test_the_usage_of_a_call_is_one_method_and_one_path(capsys: pytest.CaptureFixture[str]) -> None:
    """It showed that both may be repeated, which is refused."""
    assert "[METHOD] PATH\n" in usage_error("call", capsys=capsys)


@pytest.mark.parametrize(
    "line",
    [
        "import --format csv {folder}",
        "import {folder}/nowhere.csv",
        "import {folder}/people.csv --refused {folder}",
        "import {folder}/people.csv --key-file {folder}",
        "doctor --ledger {folder}",
        "doctor --ledger {folder}/nowhere",
        "chaos --json {folder}",
        "chaos --json {folder}/nowhere/verdict.json",
        "chaos --json {folder}/people.csv/verdict.json",
        "chaos --directory {folder}/people.csv",
        "chaos --directory {folder}/people.csv/logs",
        "chaos --directory {folder}",
    ],
)
def test_a_path_that_cannot_be_used_is_wrong_usage(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any server is contacted, and before a rehearsal of an hour."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", "postgresql://127.0.0.1:1/heyday")
    (tmp_path / "people.csv").write_text("firstName,email,timezone\n")
    words = [word.format(folder=tmp_path) for word in line.split()]

    said = usage_error(*words, capsys=capsys)

    reasons = "Is a directory|No such file or directory|Not a directory|File exists|expected a directory that is empty"
    assert re.search(rf"^heyday {words[0]}: error: .*{words[-1]}: ({reasons})$", said, re.MULTILINE)


def test_a_file_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The fault is that of the machine, wherever a command meets it."""

    def fail(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "/var/lib/heyday")

    monkeypatch.setattr("actors.commands.completion.run", fail)

    assert main(["completion", "bash"]) == 1
    assert capsys.readouterr().err == "heyday: /var/lib/heyday: Permission denied\n"


@pytest.mark.parametrize("name", ["run", "migrate", "preview", "doctor"])
def test_every_mistake_in_the_settings_is_reported_with_exit_code_2(name: str) -> None:
    """Before any server is contacted."""
    done = heyday(name, HEYDAY_DATABASE_URL="mysql://db", HEYDAY_LATE_LIMIT="soon")

    assert done.returncode == 2
    assert done.stderr.startswith("heyday: the configuration has mistakes:\n")
    assert "HEYDAY_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["migrate", "preview", "doctor"])
def test_a_database_that_is_away_is_one_sentence_with_exit_code_1(name: str) -> None:
    """`doctor` writes a report instead."""
    away = {"HEYDAY_REDIS_URL": "redis://127.0.0.1:1", "HEYDAY_EMAIL_URL": "http://127.0.0.1:1"}

    done = heyday(name, HEYDAY_DATABASE_URL="postgresql://127.0.0.1:1/heyday", **away)

    assert done.returncode == 1
    assert "postgres is unavailable" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


async def closed_pipe(words: list[str], **environment: str) -> tuple[int, str]:
    """Run a command whose reader closes the pipe at once. Returns exit code and standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        *HEYDAY,
        *words,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writer,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writer)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    "words",
    [
        "redrive --status failed --dry-run",
        "doctor",
        "completion bash",
        "--version",
        *(
            pytest.param(words, marks=pytest.mark.nightly)
            for words in (
                "redrive --status failed --dry-run --json",
                "preview",
                "migrate",
                "migrate --json",
                "doctor --queries",
                "doctor --json",
                "redrive --help",
            )
        ),
    ],
)
async def test_a_closed_pipe_ends_any_command_quietly(store: Store, redis_url: str, words: str) -> None:
    """`heyday redrive --dry-run | head -1` is common."""
    settings = {"HEYDAY_REDIS_URL": redis_url, "HEYDAY_EMAIL_URL": "http://127.0.0.1:1"}

    code, said = await closed_pipe(words.split(), HEYDAY_DATABASE_URL=store.dsn, **settings)

    assert (code, said) == (0, "")


QUESTION = '{"occasion":"birthday","date":"1990-01-01","timezone":"UTC","year":2027}'


@pytest.mark.parametrize("words", ["when", "completion bash", "doctor", "--version"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_sentence_with_exit_code_1(words: str, unbuffered: str) -> None:
    """The error names standard output, and not one of the servers that are away as well."""
    away = "HEYDAY_DATABASE_URL=postgresql://127.0.0.1:1/x HEYDAY_REDIS_URL=redis://127.0.0.1:1"
    settings = f"PYTHONUNBUFFERED={unbuffered} {away} HEYDAY_EMAIL_URL=http://127.0.0.1:1"

    done = in_bash(f"echo '{QUESTION}' | {settings} {sys.executable} -m actors.cli {words} >/dev/full")

    assert done.returncode == 1
    assert done.stderr == "heyday: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("streams", [">&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_streams_that_are_closed_change_no_exit_code(streams: str) -> None:
    """Some supervisors start a command without them."""
    for words, code in (("when </dev/null", 0), ("when", 0), ("completion bash", 0), ("migrate", 2)):
        done = in_bash(f"{sys.executable} -m actors.cli {words} {streams}")

        assert (words, done.returncode) == (words, code)
        assert "Traceback" not in done.stderr


def test_what_a_terminal_cannot_show_is_escaped_as_in_json() -> None:
    """Names of people have characters of every script, and a terminal may have an old encoding."""
    script = (
        "import sys; from actors.commands.output import standard_streams\nwith standard_streams(): print(sys.argv[1])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, '["Zoë 李 😀"]'],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )

    assert done.stdout == '["Zoë \\u674e \\ud83d\\ude00"]\n'.encode("latin-1")
    assert json.loads(done.stdout.decode("latin-1")) == ["Zoë 李 😀"]


def in_bash(command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell without settings, and with an empty standard input."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEYDAY_")}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_an_interrupted_command_says_so_by_its_exit_code() -> None:
    """A script must tell Ctrl-C from a result that is not well."""
    process = await asyncio.create_subprocess_exec(
        *HEYDAY,
        "when",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # The tests may run in the background, where a shell has the signal ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    question = b'{"occasion":"birthday","date":"2000-03-01","timezone":"UTC","year":2027}\n'
    while not process.stdout._buffer:  # type: ignore[attr-defined]  # it answers in blocks, or line by line
        process.stdin.write(question * 500)
        await process.stdin.drain()
        await asyncio.sleep(0.01)

    process.send_signal(signal.SIGINT)
    # A signal between Python's look for one and the system call to read is seen when that returns: at the latest at the
    # end of the input.
    _, said = await asyncio.wait_for(process.communicate(b""), 60)

    assert (process.returncode, said) == (130, b"heyday: interrupted: what was done until now stays done\n")


def test_an_interrupt_while_modules_are_imported_leaves_no_traceback() -> None:
    """They take a quarter of a second, and an impatient person ends a command that was a typing error at once."""
    script = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'actors.commands.registry':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        f"{program('heyday')}"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (130, "heyday: interrupted\n")


LIGHT = ("health", "call", "preview", "explain", "occasions", "redrive", "prune", "hold", "release", "holds", "limits")
"""Commands that speak to the database alone, or to one node."""


def test_commands_import_no_library_of_servers_that_they_do_not_use() -> None:
    """Each takes a tenth of a second or more. Containers run `heyday health` every few seconds."""
    script = (
        "import sys\n"
        "from importlib import import_module\n"
        "from actors import cli\n"
        "from actors.commands.registry import COMMANDS\n"
        f"for name in {LIGHT}:\n"
        "    import_module(COMMANDS[name].module)\n"
        "    print(name, *{'asyncpg', 'croniter'}.intersection(sys.modules) if name == 'health' else (),\n"
        "          *{'aiohttp', 'aio_pika', 'redis', 'aiosmtplib', 'structlog'}.intersection(sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == list(LIGHT)


def program(name: str) -> str:
    """Return Python code that calls the entry point of an installed program, which pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = project["project"]["scripts"][name].partition(":")
    return f"from {module} import {function}\nsys.exit({function}())\n"


def test_a_closed_pipe_ends_the_calendar_filter_quietly(tmp_path: Path) -> None:
    """It reads standard input, so it is tried with a file."""
    questions = tmp_path / "questions"
    questions.write_text('{"occasion":"birthday","date":"1990-01-01","timezone":"UTC","year":2027}\n' * 10_000)
    command = f"{sys.executable} -m actors.cli when < {questions} | head -1"

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('{"send_at":"2027-01-01T09:00:00Z"')


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_every_command_and_its_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options of a command that is not imported would be missing."""
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    parser = parser_for(COMMANDS)
    assert parser.prog in script
    missing = [name for name in COMMANDS if name not in script]
    options = ("dry-run", "tzdata-diff", "greetings", "error-rate", "crash-at", "seconds-per-day", "queries")
    assert missing + [option for option in options if option not in script] == []


def test_bash_completes_a_command_by_the_script(tmp_path: Path) -> None:
    """The script is tried by the shell that is installed everywhere."""
    file = tmp_path / "heyday.bash"
    file.write_text(heyday("completion", "bash").stdout)
    complete = (
        f"source {file}; f=$(complete -p heyday | sed 's/.*-F \\([^ ]*\\).*/\\1/');"
        "COMP_WORDS=(heyday red); COMP_CWORD=1; COMP_LINE='heyday red'; $f heyday red heyday; echo ${COMPREPLY[@]}"
    )

    done = subprocess.run(["bash", "-c", complete], capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["redrive"], done.stderr


@pytest.mark.parametrize(
    ("terminal", "environment", "colored"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_output_is_colored_on_a_terminal_only_and_never_with_no_color(
    terminal: bool, environment: dict[str, str], colored: bool
) -> None:
    """An empty NO_COLOR counts as not set."""
    stream = Terminal() if terminal else io.StringIO()

    assert in_color(stream, environment) is colored


def test_the_log_of_a_node_has_no_colors_in_a_file() -> None:
    """Escape sequences hide words from a search."""
    settings = {
        "HEYDAY_DATABASE_URL": "postgresql://127.0.0.1:1/heyday",
        "HEYDAY_REDIS_URL": "redis://127.0.0.1:1",
        "HEYDAY_EMAIL_URL": "http://127.0.0.1:1",
        "HEYDAY_BIND": "127.0.0.1:0",
        "HEYDAY_LOG_FORMAT": "console",
    }
    with subprocess.Popen(
        [*HEYDAY, "run"], cwd=ROOT, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    ) as node:
        assert node.stderr is not None
        line = node.stderr.readline()
        node.kill()

    assert "node" in line
    assert "\x1b" not in line


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line must not stay among the results."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "QUIET_FOR", 0.0)
    monkeypatch.setattr(progress, "REPAINT_INTERVAL", 0.001)

    with Progress("redriving messages", total=10) as work:
        work.advance(4)
        while "4 of 10" not in terminal.getvalue():
            pass

    assert re.search(r"redriving messages: 4 of 10 \(\d+ s\)", terminal.getvalue())
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("width", "columns"), [("30", 30), ("", 50), ("nonsense", 50)])
def test_progress_fits_the_terminal(width: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of standard error: the output may go into a pipe. The variable COLUMNS comes first."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 50))
    monkeypatch.setattr(progress, "QUIET_FOR", 0.0)
    monkeypatch.setenv("COLUMNS", width)

    with os.fdopen(child, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress("w" * 100):
            while not (shown := re.findall(rb"w+", os.read(parent, 4096))):
                pass
    os.close(parent)

    assert len(shown[0]) == columns - 1


def test_progress_writes_nothing_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of a scheduled job stay clean."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setattr(progress, "QUIET_FOR", 0.0)

    with Progress("redriving messages") as work:
        work.advance()

    assert file.getvalue() == ""
