"""The configuration: the meaning of each variable, and the report of each error."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import time, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from service.api_keys import parse_api_keys
from service.domain.calendar import LeapDay
from service.settings import (
    BadConfiguration,
    Rate,
    Secret,
    Settings,
    UnknownOutcome,
    effective,
    read,
    read_calendar,
    read_database_url,
)

REQUIRED = {
    "HEYDAY_DATABASE_URL": "postgresql://user:sesame@db/heyday",
    "HEYDAY_REDIS_URL": "rediss://:sesame@redis:6380/0",
    "HEYDAY_EMAIL_URL": "https://mail.example.com/v1",
}


def mistakes(**variables: str) -> list[str]:
    """The errors of these variables, together with those of missing required ones."""
    with pytest.raises(BadConfiguration) as bad:
        read(REQUIRED | {f"HEYDAY_{name}": value for name, value in variables.items()})
    return bad.value.errors


def test_three_urls_are_enough() -> None:
    """Every other setting has its documented default."""
    settings = read(REQUIRED)

    assert settings.rabbitmq_url is None
    assert (settings.bind_host, settings.bind_port) == ("127.0.0.1", 8080)
    assert (settings.send_at, settings.leap_day) == (time(9), LeapDay.FEB28)
    assert settings.late_limit == timedelta(hours=48)
    assert settings.unknown_outcome is UnknownOutcome.RESEND
    assert settings.email_timeout == timedelta(seconds=10)
    assert settings.email_rate is None
    assert settings.rate_limit == Rate(100.0)
    assert (settings.daily_cron, settings.minute_cron, settings.recovery_cron) == (
        "0 0 * * *",
        "* * * * *",
        "*/10 * * * *",
    )
    assert read(REQUIRED).node_id != settings.node_id


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("SEND_AT", "08:30:15", "send_at", time(8, 30, 15)),
        ("LEAP_DAY", "mar1", "leap_day", LeapDay.MAR1),
        ("LATE_LIMIT", "2d", "late_limit", timedelta(days=2)),
        ("EMAIL_TIMEOUT", "500ms", "email_timeout", timedelta(milliseconds=500)),
        ("EMAIL_RATE", "50", "email_rate", Rate(50.0)),
        ("EMAIL_RATE", "90/m", "email_rate", Rate(1.5, 60)),
        ("RATE_LIMIT", "off", "rate_limit", None),
        ("UNKNOWN_OUTCOME", "hold", "unknown_outcome", UnknownOutcome.HOLD),
        ("BIND", "[::1]:0", "bind_host", "::1"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("NODE_ID", "node-1.example", "node_id", "node-1.example"),
        ("EMAIL_CONCURRENCY", " 7 ", "email_concurrency", 7),
        ("EMAIL_CONCURRENCY", "", "email_concurrency", Settings.email_concurrency),
        ("DATABASE_URL", "postgresql:///d?host=/run/pg", "database_url", "postgresql:///d?host=/run/pg"),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
        ("RABBITMQ_URL", "amqps://u:p@h/vhost", "rabbitmq_url", "amqps://u:p@h/vhost"),
        ("BIND", "localhost:0", "bind_port", 0),
        ("EMAIL_RATE", "1/h", "email_rate", Rate(1 / 3600, 3600)),
        ("EMAIL_ATTEMPTS", "1", "email_attempts", 1),
        ("EMAIL_BACKOFF", "5s", "email_backoff", timedelta(seconds=5)),
        ("EMAIL_BACKOFF_LIMIT", "1h", "email_backoff_limit", timedelta(hours=1)),
        ("CIRCUIT_FAILURES", "3", "circuit_failures", 3),
        ("CIRCUIT_RESET", "1m", "circuit_reset", timedelta(minutes=1)),
        ("DELIVERY_ACTORS", "8", "delivery_actors", 8),
        ("DATABASE_CONNECTIONS", "4", "database_connections", 4),
        ("DAILY_CRON", "0 0 */2 * *", "daily_cron", "0 0 */2 * *"),
        ("MINUTE_CRON", "*/2 * * * *", "minute_cron", "*/2 * * * *"),
        ("RECOVERY_CRON", "0 * * MAR FRI", "recovery_cron", "0 * * MAR FRI"),
        ("DRAIN_WITHIN", "45s", "drain_within", timedelta(seconds=45)),
        ("IDEMPOTENCY_LASTS", "72h", "idempotency_lasts", timedelta(hours=72)),
        ("LOG_FORMAT", "console", "log_format", "console"),
    ],
)
def test_a_variable_is_read(variable: str, text: str, field: str, value: object) -> None:
    """An empty value counts as not set."""
    assert getattr(read(REQUIRED | {f"HEYDAY_{variable}": text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SEND_AT", "9:00"),
        ("SEND_AT", "24:00"),
        ("LEAP_DAY", "feb29"),
        ("LATE_LIMIT", "0s"),
        ("LATE_LIMIT", "48"),
        ("LATE_LIMIT", "-1h"),
        ("LATE_LIMIT", "400d"),
        ("EMAIL_RATE", "0"),
        ("EMAIL_RATE", "fast"),
        ("EMAIL_CONCURRENCY", "0"),
        ("EMAIL_CONCURRENCY", "٣"),
        ("EMAIL_CONCURRENCY", "1e3"),
        ("DAILY_CRON", "0 0 * *"),
        ("DAILY_CRON", "0 0 0 * * *"),
        ("DAILY_CRON", "61 * * * *"),
        ("BIND", "8080"),
        ("BIND", "127.0.0.1:70000"),
        ("NODE_ID", "a b"),
        ("LOG_FORMAT", "xml"),
        ("UNKNOWN_OUTCOME", "retry"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("SEND_AT", "0٩:00"),
        ("LATE_LIMIT", "9" * 400 + "d"),
        ("EMAIL_TIMEOUT", "0.0001ms"),
        ("EMAIL_RATE", "0.5/h"),
        ("EMAIL_RATE", "9" * 400),
        ("EMAIL_ATTEMPTS", "0"),
        ("EMAIL_BACKOFF", "fast"),
        ("EMAIL_BACKOFF_LIMIT", "1 hour"),
        ("CIRCUIT_FAILURES", "-1"),
        ("CIRCUIT_RESET", "15"),
        ("DELIVERY_ACTORS", "101"),
        ("DATABASE_CONNECTIONS", "3"),
        ("MINUTE_CRON", "@daily"),
        # A date that never comes crashes the search for the latest one. Random instants differ each time.
        ("RECOVERY_CRON", "0 0 30 2 *"),
        ("RECOVERY_CRON", "R * * * *"),
        ("RECOVERY_CRON", "r(0-9) * * * *"),
        ("RATE_LIMIT", "none"),
        ("DRAIN_WITHIN", "0s"),
        ("LOG_LEVEL", "trace"),
    ],
)
def test_a_mistake_names_the_variable_its_value_and_what_was_expected(variable: str, text: str) -> None:
    """An operator can correct it without the documentation."""
    (mistake,) = mistakes(**{variable: text})

    assert mistake.startswith(f"HEYDAY_{variable}={text!r}: expected ")


def test_every_mistake_is_reported_together() -> None:
    """An operator can correct all of them at once."""
    with pytest.raises(BadConfiguration) as bad:
        read({"HEYDAY_SEND_AT": "noon", "HEYDAY_BIND": "0.0.0.0:80", "HEYDAY_REDIS_URL": "http://sesame"})

    assert [mistake.split()[0].split("=")[0].rstrip(":") for mistake in bad.value.errors] == [
        "HEYDAY_DATABASE_URL",
        "HEYDAY_REDIS_URL",
        "HEYDAY_EMAIL_URL",
        "HEYDAY_SEND_AT",
        "HEYDAY_API_KEYS",
    ]


def test_a_secret_never_shows_its_value() -> None:
    """Neither an error nor any repr has it."""
    (mistake,) = mistakes(DATABASE_URL="oracle://sesame")
    settings = read(REQUIRED | {"HEYDAY_RABBITMQ_URL": "amqp://u:sesame@h", "HEYDAY_API_KEYS": "sesame,sesame-too"})

    assert "sesame" not in mistake
    assert "sesame" not in repr(settings) + str(settings) + repr(asdict(settings))
    assert repr(Secret("sesame")) == "'***'"
    # It is still the string that libraries need.
    assert f"{settings.rabbitmq_url}" == "amqp://u:sesame@h"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DATABASE_URL", "postgresql://u:sesame@h:port/d"),
        ("REDIS_URL", "sesame"),
        ("TRACES", "collector:4318"),
        ("EMAIL_URL", "http://[sesame"),
        ("RABBITMQ_URL", "rabbitmq://u:sesame@h"),
    ],
)
def test_a_mistake_in_a_secret_says_what_was_expected_without_its_value(variable: str, text: str) -> None:
    """The message is logged, and perhaps copied into a ticket."""
    (mistake,) = mistakes(**{variable: text})

    assert mistake.startswith(f"HEYDAY_{variable}='***': expected a URL such as ")
    assert "sesame" not in mistake


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "EMAIL_URL", "RABBITMQ_URL", "API_KEYS"])
def test_every_secret_may_come_from_a_file(tmp_path: Path, variable: str) -> None:
    """The file of the API keys is remembered, because it is read again."""
    name = f"HEYDAY_{variable}"
    text = ({"HEYDAY_RABBITMQ_URL": "amqp://u:p@h", "HEYDAY_API_KEYS": "key"} | REQUIRED)[name]
    file = tmp_path / "secret"
    file.write_text(f"{text}\n", encoding="utf-8")

    settings = read(REQUIRED | {name: "", f"{name}_FILE": str(file)})

    assert getattr(settings, variable.lower()) == (parse_api_keys("key") if variable == "API_KEYS" else text)
    assert settings.api_keys_file == (file if variable == "API_KEYS" else None)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("REDIS_URL", "redis://:?sesame@redis:6379/0"),
        ("REDIS_URL", "redis://user:12?sesame@redis"),
        ("REDIS_URL", "redis://:1/sesame@redis"),
        ("RABBITMQ_URL", "amqp://user:?sesame@rabbit/"),
        ("RABBITMQ_URL", "amqp://user:1#sesame@rabbit/"),
        ("DATABASE_URL", "postgresql://heyday:?sslmode=sesame@db/x"),
        ("EMAIL_URL", "http://user:1?sesame@provider"),
    ],
)
def test_the_rest_of_a_password_that_is_not_encoded_is_not_shown(variable: str, url: str) -> None:
    """It looks like a path or an option, and errors name those."""
    [mistake] = mistakes(**{variable: url})

    assert "sesame" not in mistake
    assert "%3F" in mistake


@pytest.mark.parametrize("gap", ["\t", "\n", "\r\n", "\0"])
@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DATABASE_URL", "postgresql://heyday:ses{}ame@db/heyday"),
        ("REDIS_URL", "redis://:ses{}ame@redis"),
        ("REDIS_URL", "redis+sentinel://one{}:26379/service"),
        ("RABBITMQ_URL", "amqp://user:ses{}ame@rabbit"),
        ("EMAIL_URL", "https://host/pa{}th"),
        ("EMAIL_URL", "smtp://user:ses{}ame@host"),
        ("EMAIL_PROXY", "http://user:ses{}ame@proxy"),
        ("TRACES", "http://collector/{}traces"),
    ],
)
def test_a_url_with_a_tab_or_line_break_is_a_mistake(variable: str, url: str, gap: str) -> None:
    """A secret file may have two lines. Part of the password would be lost, or a library would fail later."""
    [mistake] = mistakes(**{variable: url.format(gap)})

    assert mistake.startswith(f"HEYDAY_{variable}='***': expected a URL such as ")


@pytest.mark.parametrize("host", ["db..internal", "x" * 64, ".internal", f"é{'x' * 60}.internal"])
@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DATABASE_URL", "postgresql://h:s@one,{}:5433/heyday"),
        ("REDIS_URL", "redis://{}:6379"),
        ("REDIS_URL", "redis+sentinel://one,{}/service"),
        ("RABBITMQ_URL", "amqp://{}/"),
        ("EMAIL_URL", "https://{}/api"),
        ("EMAIL_URL", "smtp://{}:587"),
        ("EMAIL_PROXY", "http://{}:3128"),
        ("TRACES", "http://{}:4318"),
    ],
)
def test_a_host_that_no_name_server_can_be_asked_for_is_a_mistake(variable: str, url: str, host: str) -> None:
    """A label of a host is empty or too long. Looking it up raises no OSError, so no retry would report it."""
    [mistake] = mistakes(**{variable: url.format(host)})

    assert mistake.startswith(f"HEYDAY_{variable}='***': expected a URL such as ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.internal.:5432/d",
        "postgresql://my_db/d",
        "postgresql://bücher.example/d",
        "postgresql://[::1]/d",
        f"postgresql://%2Frun%2F{'x' * 60}/d",
    ],
)
def test_other_forms_of_a_host_are_taken(url: str) -> None:
    assert read_database_url({"HEYDAY_DATABASE_URL": url}) == url


def test_a_path_of_the_email_service_may_have_an_at_sign() -> None:
    assert read({**REQUIRED, "HEYDAY_EMAIL_URL": "https://host/@team"}).email_url == "https://host/@team"


def test_a_secret_file_that_is_no_text_or_empty_is_a_mistake(tmp_path: Path) -> None:
    """A volume that was not filled must not look like an intended value, also where none is needed."""
    binary, empty = tmp_path / "binary", tmp_path / "empty"
    binary.write_bytes(b"\xff\xfe sesame")
    empty.touch()

    (unreadable,) = mistakes(API_KEYS_FILE=str(binary))
    (missing,) = mistakes(EMAIL_URL="", EMAIL_URL_FILE=str(empty))
    (no_queue,) = mistakes(RABBITMQ_URL_FILE=str(empty))
    (no_token,) = mistakes(EMAIL_TOKEN_FILE=str(empty))

    assert unreadable.startswith(f"HEYDAY_API_KEYS_FILE={str(binary)!r}: expected a readable file")
    assert "sesame" not in unreadable
    assert missing.startswith("HEYDAY_EMAIL_URL is not set: expected a URL such as http")
    assert no_queue.startswith("HEYDAY_RABBITMQ_URL is not set: expected a URL such as amqp")
    assert no_token.startswith("HEYDAY_EMAIL_TOKEN is not set: expected a token")
    assert no_token.endswith(f"but its file {str(empty)!r} is empty")


@pytest.mark.parametrize("lacks", ["the exporter", "all of it"])
def test_traces_without_what_they_need_are_a_mistake_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """The error comes at start, before an operator looks for traces."""

    def find(_name: str) -> None:
        if lacks == "all of it":
            raise ModuleNotFoundError("opentelemetry")

    assert read(REQUIRED | {"HEYDAY_TRACES": "http://collector:4318"}).traces_url == "http://collector:4318"
    monkeypatch.setattr("service.settings.find_spec", find)

    [mistake] = mistakes(TRACES="http://collector:4318")

    assert mistake.endswith("install heyday again, as WHEEL[tracing] or .[tracing]")
    assert read(REQUIRED).traces_url is None


def test_a_migration_needs_the_database_only() -> None:
    """It runs before the other servers exist."""
    assert read_database_url({"HEYDAY_DATABASE_URL": "postgresql://h/d"}) == "postgresql://h/d"
    with pytest.raises(BadConfiguration, match="HEYDAY_DATABASE_URL is not set"):
        read_database_url({"HEYDAY_REDIS_URL": "redis://h"})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """Orchestrators provide secrets as files. A newline at the end is not part of the value."""
    file = tmp_path / "secret"
    file.write_text("redis://:sesame@redis/0\n")
    environment = REQUIRED | {"HEYDAY_REDIS_URL": "", "HEYDAY_REDIS_URL_FILE": str(file)}

    assert read(environment).redis_url == "redis://:sesame@redis/0"


def test_a_secret_twice_or_in_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """heyday cannot guess which of the two is meant."""
    assert "both set" in mistakes(REDIS_URL_FILE=str(tmp_path / "secret"))[0]
    assert "expected a readable file" in mistakes(REDIS_URL="", REDIS_URL_FILE=str(tmp_path / "secret"))[0]


@pytest.mark.parametrize(
    ("host", "mistaken"), [("127.0.0.1", False), ("[::1]", False), ("localhost", False), ("192.0.2.1", True)]
)
def test_without_keys_only_this_machine_is_served(host: str, mistaken: bool) -> None:
    """An API that deletes users must not be open to a network by mistake."""
    environment = REQUIRED | {"HEYDAY_BIND": f"{host}:8080"}

    if mistaken:
        assert mistakes(BIND=f"{host}:8080")[0].startswith("HEYDAY_API_KEYS is not set")
    else:
        assert read(environment).api_keys == ()
    keys = ("a-key-of-16-chars", "another-key-of-16")
    assert read(environment | {"HEYDAY_API_KEYS": ", ".join(keys)}).api_keys == parse_api_keys(",".join(keys))


@pytest.mark.parametrize("keys", ["a", "a-key-of-16-chars,short", "fifteen-letters"])
def test_a_key_that_can_be_guessed_is_refused_beyond_this_machine(keys: str) -> None:
    """The message shows no key."""
    [mistake] = mistakes(BIND="0.0.0.0:8080", API_KEYS=keys)

    assert mistake.startswith("HEYDAY_API_KEYS='***': expected secrets of 16 characters or more")
    assert read(REQUIRED | {"HEYDAY_API_KEYS": keys}).api_keys == parse_api_keys(keys)


@pytest.mark.parametrize("keys", ["", "short"])
def test_a_mistake_about_an_address_of_ipv6_quotes_it_as_it_was_written(keys: str) -> None:
    """Without its brackets it could not be found, and would not be taken."""
    [mistake] = mistakes(BIND="[::]:8080", API_KEYS=keys)

    assert "because HEYDAY_BIND=[::]:8080 is not a loopback address" in mistake


def test_behind_a_proxy_a_node_on_loopback_needs_keys_too(tmp_path: Path) -> None:
    """A proxy brings in the clients of other machines. An empty file of keys is a mistake everywhere."""
    [no_key] = mistakes(TRUSTED_PROXIES="127.0.0.1")
    [short] = mistakes(TRUSTED_PROXIES="127.0.0.1", API_KEYS="short")
    (tmp_path / "keys").write_text("\n")
    [empty] = mistakes(API_KEYS_FILE=str(tmp_path / "keys"))

    assert "at least one key, because HEYDAY_TRUSTED_PROXIES is set" in no_key
    assert "16 characters or more, because HEYDAY_TRUSTED_PROXIES is set" in short
    assert empty.startswith("HEYDAY_API_KEYS is not set")
    settings = read(REQUIRED | {"HEYDAY_TRUSTED_PROXIES": "10.0.0.0/8", "HEYDAY_API_KEYS": "a:read:" + "k" * 16})
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"),)


def test_the_calendar_needs_no_servers() -> None:
    """`heyday when` reads two variables only."""
    assert read_calendar({"HEYDAY_SEND_AT": "07:00", "HEYDAY_REDIS_URL": "rubbish"}) == (time(7), LeapDay.FEB28)
    with pytest.raises(BadConfiguration):
        read_calendar({"HEYDAY_LEAP_DAY": "never"})


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("HEYDAY_SENDAT", "HEYDAY_SENDAT is not a setting and has no effect; did you mean HEYDAY_SEND_AT?"),
        ("HEYDAY_LATELIMIT", "HEYDAY_LATELIMIT is not a setting and has no effect; did you mean HEYDAY_LATE_LIMIT?"),
        ("HEYDAY_EMAIL_URL_FILES", "did you mean HEYDAY_EMAIL_URL_FILE?"),
        ("HEYDAY_ZZZZ", "HEYDAY_ZZZZ is not a setting and has no effect"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_setting(variable: str, sentence: str) -> None:
    """Otherwise a misspelt name has no effect and no message."""
    [unknown] = read(REQUIRED | {variable: "08:00"}).unknown

    assert unknown.name == variable
    assert str(unknown).endswith(sentence)


def test_a_setting_that_is_missing_under_its_name_is_reported_with_the_name_that_is_there() -> None:
    """The node exits before it can log a warning."""
    with pytest.raises(BadConfiguration) as refused:
        read({**REQUIRED, "HEYDAY_EMAIL_URL": "", "HEYDAY_EMIAL_URL": "http://email"})

    missing, misspelt = refused.value.errors
    assert missing.startswith("HEYDAY_EMAIL_URL is not set")
    assert misspelt == "HEYDAY_EMIAL_URL is not a setting and has no effect; did you mean HEYDAY_EMAIL_URL?"


def test_variables_that_kubernetes_sets_for_a_service_are_no_slips() -> None:
    """A Service named `heyday` adds such variables to every container."""
    links = {
        "HEYDAY_SERVICE_HOST": "10.0.0.1",
        "HEYDAY_SERVICE_PORT_HTTP": "80",
        "HEYDAY_PORT": "tcp://10.0.0.1:80",
        "HEYDAY_PORT_80_TCP_ADDR": "10.0.0.1",
        "HEYDAY_REDIS_SERVICE_HOST": "10.0.0.2",
        "HEYDAY_REDIS_PORT_6379_TCP": "tcp://10.0.0.2:6379",
    }

    assert read(REQUIRED | links | {"PATH": "/bin"}).unknown == ()


@pytest.mark.parametrize("expression", ["0 0 1 * *", "0 0 29 2 *", "0 0 * * 1", "0 0 * 1 *", "0 1 1-28 * *"])
def test_a_daily_cron_rarer_than_the_planning_horizon_is_a_mistake(expression: str) -> None:
    """No run would plan what is due between two runs."""
    [error] = mistakes(DAILY_CRON=expression)

    assert error == (
        f"HEYDAY_DAILY_CRON={expression!r}: expected a run at least every 48 hours, "
        "because each run plans that far ahead"
    )


@pytest.mark.parametrize("expression", ["0 0 * * *", "* * * * *", "0 */6 * * *", "0 0 */2 * *", "30 23 * * 1,3,5,7"])
def test_a_daily_cron_within_the_planning_horizon_is_taken(expression: str) -> None:
    """Every other day is enough."""
    assert read(REQUIRED | {"HEYDAY_DAILY_CRON": expression}).daily_cron == expression


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "EMAIL_URL", "RABBITMQ_URL", "API_KEYS"])
def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path, variable: str) -> None:
    """Editors on Windows write it, and do not show it."""
    name = f"HEYDAY_{variable}"
    text = ({"HEYDAY_RABBITMQ_URL": "amqp://u:p@h", "HEYDAY_API_KEYS": "key"} | REQUIRED)[name]
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")

    settings = read(REQUIRED | {name: "", f"{name}_FILE": str(file)})

    assert getattr(settings, variable.lower()) == (parse_api_keys("key") if variable == "API_KEYS" else text)
    assert [one.read() for one in settings.secret_files] == [text]


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        (
            "EMAIL_TOKEN",
            "Bearer sesame",
            "'***': expected the token alone, without the scheme of Authorization before it",
        ),
        (
            "EMAIL_TOKEN",
            "basic sesame",
            "'***': expected the token alone, without the scheme of Authorization before it",
        ),
        ("EMAIL_URL", "https://u:sesame@h/send-email", "'***': expected the base of the service, without /send-email"),
        ("EMAIL_URL", "https://h/v1/send-email/?x=1", "'***': expected the base of the service, without /send-email"),
        ("ONLY_TO", "*@example.com", "'*@example.com': expected addresses and @domains"),
        ("ONLY_TO", "@*.example.com", "'@*.example.com': expected addresses and @domains"),
        ("BIND", "http://0.0.0.0:8080", "'http://0.0.0.0:8080': expected HOST:PORT"),
        ("BIND", "*:8080", "'*:8080': expected HOST:PORT"),
    ],
)
def test_what_other_programs_take_is_told_where_it_means_nothing(variable: str, text: str, expected: str) -> None:
    """Each of these was taken as it is."""
    found = mistakes(**{variable: text})

    assert len(found) == 1
    assert found[0].startswith(f"HEYDAY_{variable}={expected}")
    assert "sesame" not in found[0]


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("EMAIL_TOKEN", "sesame"),
        ("EMAIL_HEADERS", "X-Api-Key: sesame"),
        ("API_KEYS", "sesame"),
        ("DATABASE_URL", "postgresql://u:sesame@h/d"),
        ("ONLY_TO", "ada@example.com,@test.example.com"),
        ("EMAIL_CONCURRENCY", "7"),
    ],
)
def test_quotation_marks_of_an_env_file_are_told(tmp_path: Path, variable: str, text: str, quote: str) -> None:
    """`docker run --env-file` passes them on, and a token with them is another token."""
    (mistake,) = mistakes(**{variable: f"{quote}{text}{quote}"})

    assert mistake.startswith(f"HEYDAY_{variable}=")
    assert mistake.endswith(": expected a value without quotation marks around it")
    assert "sesame" not in mistake

    file = tmp_path / "secret"
    file.write_text(f"{quote}{text}{quote}\n", encoding="utf-8")
    if "sesame" in text:
        assert mistakes(**{variable: "", f"{variable}_FILE": str(file)}) == [mistake]


@pytest.mark.parametrize("text", ["one,two", "one\ntwo\n", "one\r\n\r\ntwo", " one , \n two,"])
def test_api_keys_are_separated_by_commas_or_lines(tmp_path: Path, text: str) -> None:
    """Operators write files with one key per line, and each key was refused with 401."""
    file = tmp_path / "keys"
    file.write_bytes(text.encode())

    assert read(REQUIRED | {"HEYDAY_API_KEYS_FILE": str(file)}).api_keys == parse_api_keys("one,two")
    assert read(REQUIRED | {"HEYDAY_API_KEYS": text}).api_keys == parse_api_keys("one,two")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("REDIS_URL", "redis+sentinel://:p@a:26379,b:26379,c/greetings/0"),
        ("REDIS_URL", "rediss+sentinel://a/greetings"),
        ("RABBITMQ_URL", "amqps://u:p@a:5671,b:5671/vhost"),
    ],
)
def test_a_url_may_have_several_hosts(variable: str, text: str) -> None:
    """Sentinels and RabbitMQ clusters have several."""
    assert getattr(read(REQUIRED | {f"HEYDAY_{variable}": text}), variable.lower()) == text


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("REDIS_URL", "redis://a,b/0"),
        ("REDIS_URL", "redis+sentinel://a:26379,b:26379"),
        ("REDIS_URL", "redis+sentinel://a/greetings/zero"),
        ("RABBITMQ_URL", "amqp://u:p@a:5672,/vhost"),
        ("RABBITMQ_URL", "amqp://u:p@a:5672,b:port/vhost"),
    ],
)
def test_a_url_with_several_hosts_that_lacks_something_is_a_mistake(variable: str, text: str) -> None:
    """The error comes at start, and not at the first failover."""
    [error] = mistakes(**{variable: text})

    assert error.startswith(f"HEYDAY_{variable}='***': expected a URL such as ")


def test_a_drain_shorter_than_one_call_is_refused() -> None:
    """Calls under way would have unknown outcomes at each deployment."""
    with pytest.raises(BadConfiguration, match="HEYDAY_DRAIN_WITHIN=20s: expected at least HEYDAY_EMAIL_TIMEOUT=30s"):
        read(REQUIRED | {"HEYDAY_EMAIL_TIMEOUT": "30s"})


def test_effective_settings_show_no_secret_and_no_address() -> None:
    """They are in the log of every start, where two nodes that differ can be compared."""
    settings = read(
        REQUIRED
        | {
            "HEYDAY_API_KEYS": "sesame-sesame-sesame",
            "HEYDAY_EMAIL_TOKEN": "sesame",
            "HEYDAY_EMAIL_FROM": "sesame@example.com",
            "HEYDAY_ONLY_TO": "sesame@example.com",
            "HEYDAY_EMAIL_RATE": "6000/m",
            "HEYDAY_SEND_AT": "08:30",
        }
    )

    shown = effective(settings)

    assert (shown["email_rate"], shown["send_at"], shown["late_limit"]) == ("100/s", "08:30:00", "172800s")
    assert (shown["cluster"], shown["rate_limit"]) == ("off", "100/s")
    assert "sesame" not in str(shown)
    assert (shown["email_token"], shown["email_proxy"], shown["rabbitmq_url"]) == ("set", "off", "off")
    assert (shown["api_keys"], shown["only_to"], shown["email_events_secrets"]) == ("1", "1", "0")
    assert (shown["email_fallback"], shown["console"]) == ("off", "on")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("DATABASE_URL", "postgresql"),
        ("REDIS_URL", "redis"),
        ("REDIS_URL", "redis+sentinel"),
        ("RABBITMQ_URL", "amqp"),
        ("EMAIL_URL", "http"),
        ("EMAIL_URL", "smtp"),
        ("EMAIL_FALLBACK_URL", "https"),
        ("EMAIL_FALLBACK_URL", "smtps"),
        ("EMAIL_PROXY", "http"),
        ("TRACES", "http"),
    ],
)
@pytest.mark.parametrize("host", ["[", "[::1", "[::1]x", "[zz]", "a b", "a\\b", "h:99999", "h:0", "h:x", "h\u2100"])
def test_an_address_that_no_server_has_is_named_without_its_password(name: str, scheme: str, host: str) -> None:
    """Such a node would wait for a server that cannot be there."""
    path = "/service" if "sentinel" in scheme else ""

    (said,) = mistakes(**{name: f"{scheme}://user:sesame@{host}{path}"})

    assert re.fullmatch(rf"HEYDAY_{name}='\*\*\*': expected a URL such as [a-z]+(\+sentinel)?://.*", said)
    assert "sesame" not in said
