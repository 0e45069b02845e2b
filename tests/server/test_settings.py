"""Where a setting comes from, and what is refused with its place and without its value."""

from __future__ import annotations

import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest

from tacit import errors
from tacit.server.config import DAY_MS, HOUR_MS, MINUTE_MS, Config, ConnectionLimits, HandshakeLimits, RateLimits
from tacit.server.settings import (
    BY_NAME,
    FILE_BYTES,
    FILE_VARIABLE,
    PREFIX,
    SETTINGS,
    Networks,
    Number,
    OneOf,
    Origins,
    Setting,
    SomeOf,
    commented,
    config_of,
    load,
)
from tacit.signed.profiles import Profile
from tacit.wire.limits import MIB

NOTHING: dict[str, str] = {}
PASTED = "hunter2 hunter2"


def file(folder: Path, text: str) -> Path:
    path = folder / "tacit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_nobody_sets_is_the_default_of_the_configuration() -> None:
    assert config_of(load({}, NOTHING, None)) == Config("127.0.0.1", 8080, Path("tacit.db"), ballast_bytes=16 * MIB)


def test_a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default(tmp_path: Path) -> None:
    path = file(tmp_path, "port = 1\nsession_days = 1\nreset_hours = 1\n")
    environment = {f"{PREFIX}PORT": "2", f"{PREFIX}SESSION_DAYS": "2", "PORT": "9"}
    values = load({"port": "3"}, environment, path)
    assert [values[name] for name in ("port", "session_days", "reset_hours", "reset_lapse_hours")] == [3, 2, 1, 72]


def test_the_environment_names_the_file_where_no_flag_does(tmp_path: Path) -> None:
    path = file(tmp_path, "port = 1\n")
    environment = {FILE_VARIABLE: str(path)}
    assert load({}, environment, None)["port"] == 1
    other = tmp_path / "other.toml"
    other.write_text("port = 2\n")
    assert load({}, environment, other)["port"] == 2


def test_every_setting_reaches_the_configuration() -> None:
    given = {
        "host": "localhost",
        "port": "9",
        "database": "other.db",
        "ballast_mb": "1",
        "name": "chat",
        "url": "https://chat.example",
        "tls_certificate": "a.pem",
        "tls_key": "a.key",
        "trusted_proxies": "127.0.0.1, 2001:db8::/64",
        "profiles": "fips, compat",
        "session_days": "2",
        "registration_minutes": "3",
        "reset_hours": "4",
        "reset_lapse_hours": "5",
        "connections": "10",
        "connections_per_address": "9",
        "origins": "HTTPS://Chat.example:443, http://localhost:3000",
        "handshakes": "12",
        "handshakes_per_address": "11",
        "requests_per_device": "8",
        "requests_per_address": "0",
        "metrics_host": "::1",
        "metrics_port": "0",
        "drain_seconds": "6",
        "grace_seconds": "7",
        "log_format": "json",
        "log_level": "error",
    }
    assert {*given, "tls"} == set(BY_NAME)
    assert config_of(load(given, NOTHING, None)) == Config(
        "localhost",
        9,
        Path("other.db"),
        "chat",
        "https://chat.example",
        Path("a.pem"),
        Path("a.key"),
        (ip_network("127.0.0.1/32"), ip_network("2001:db8::/64")),
        ballast_bytes=MIB,
        profiles=(Profile.FIPS, Profile.COMPAT),
        session_ms=2 * DAY_MS,
        registration_ms=3 * MINUTE_MS,
        reset_wait_ms=4 * HOUR_MS,
        reset_lapse_ms=5 * HOUR_MS,
        connections=ConnectionLimits(10, 9),
        origins=("https://chat.example", "http://localhost:3000"),
        handshakes=HandshakeLimits(12, 11),
        rates=RateLimits(8, 0),
        metrics_host="::1",
        metrics_port=0,
        drain_seconds=6,
        grace_seconds=7,
        log_format="json",
        log_level="error",
    )


@pytest.mark.parametrize(
    ("database", "file"), [("chat.db", "chat.tls.pem"), ("/var/lib/x/chat", "/var/lib/x/chat.tls.pem")]
)
def test_a_key_of_its_own_is_beside_the_database(database: str, file: str) -> None:
    config = config_of(load({"tls": "self-signed", "database": database}, NOTHING, None))
    assert (config.tls_certificate, config.tls_key) == (Path(file), None)


@pytest.mark.parametrize(
    "given",
    [{"tls": "self-signed", "tls_certificate": "a"}, {"tls": "self-signed", "tls_key": "a"}, {"tls_key": "a"}],
)
def test_tls_is_set_in_one_way(given: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidArgument, match="tls"):
        config_of(load(given, NOTHING, None))


@pytest.mark.parametrize(
    "networks",
    ["proxy.example", "10.0.0.1/8", "0.0.0.0/0", "::/0", "192.0.2.1/33", "127.0.0.1:80", ",".join(["10.0.0.1"] * 65)],
)
def test_what_is_no_proxys_address_is_refused(networks: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="--trusted-proxies: at most 64 addresses"):
        load({"trusted_proxies": networks}, NOTHING, None)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_a_bad_value_is_refused_by_its_place_and_never_shown(tmp_path: Path, setting: Setting) -> None:
    name = setting.name
    bad = f"{PASTED}\n"
    path = file(tmp_path, f'{name} = """{bad}"""\n')
    sources: list[tuple[str, dict[str, str], dict[str, str], Path | None]] = [
        (f"{path}: {name}", {}, {}, path),
        (setting.variable, {}, {setting.variable: bad}, None),
        (setting.flag, {name: bad}, {}, None),
    ]
    for place, flags, environment, source in sources:
        with pytest.raises(errors.InvalidArgument) as caught:
            load(flags, environment, source)
        assert caught.value.detail == f"{place}: {setting.kind.allowed}"


@pytest.mark.parametrize(
    "line",
    [
        "port = -1",
        "port = 65536",
        "port = 80.0",
        "port = true",
        'port = "80"',
        'host = ""',
        "host = 1",
        'host = "a\\u0007b"',
        f'host = "{"x" * 256}"',
        'profiles = "standard"',
        'profiles = ["standard", "standard"]',
        'profiles = ["standard", "none"]',
        "profiles = [[]]",
        "session_days = 0",
        "[port]\nx = 1",
    ],
)
def test_the_edges_of_what_is_allowed_in_a_file(tmp_path: Path, line: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"tacit\.toml: "):
        load({}, NOTHING, file(tmp_path, line))


@pytest.mark.parametrize("text", ["", "-1", "+1", "1_0", "¹", "65536", "9" * 30])
def test_a_number_in_the_environment_is_digits(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"{PREFIX}PORT: a whole number from 0 to 65535"):
        load({}, {f"{PREFIX}PORT": text}, None)


def test_an_unknown_key_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    path = file(tmp_path, f'prot = "{PASTED}"\n')
    with pytest.raises(errors.InvalidArgument) as caught:
        load({}, NOTHING, path)
    assert caught.value.detail == f"{path}: 'prot' is no setting; there are {', '.join(BY_NAME)}"
    with pytest.raises(errors.InvalidArgument) as caught:
        load({}, {f"{PREFIX}PROT": PASTED}, None)
    assert caught.value.detail.startswith(f"{PREFIX}PROT is no setting; there are {FILE_VARIABLE}, {PREFIX}HOST, ")
    assert PASTED not in caught.value.detail


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"gone.toml: cannot be read: No such file"):
        load({}, NOTHING, tmp_path / "gone.toml")
    with pytest.raises(errors.InvalidArgument, match="cannot be read"):
        load({}, NOTHING, tmp_path)
    with pytest.raises(errors.InvalidArgument, match=r"tacit.toml: not TOML \(line 2, column 8\)"):
        load({}, NOTHING, file(tmp_path, f"port = 1\nport = {PASTED}\n"))
    with pytest.raises(errors.InvalidArgument, match="at most"):
        load({}, NOTHING, file(tmp_path, "#" * (FILE_BYTES + 1)))
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe9"\n')
    with pytest.raises(errors.InvalidArgument, match="not UTF-8"):
        load({}, NOTHING, path)


def test_the_commented_file_sets_what_it_was_made_of(tmp_path: Path) -> None:
    values = load({}, NOTHING, None)
    assert load({}, NOTHING, file(tmp_path, commented(values))) == values
    assert tomllib.loads(commented(values)).keys() == {each.name for each in SETTINGS if each.default is not None}
    values = load({"name": 'a "näme"\\', "profiles": "", "port": "0"}, NOTHING, None)
    assert load({}, NOTHING, file(tmp_path, commented(values))) == values


def test_the_commented_file_says_of_each_setting_what_it_means_and_may_be() -> None:
    text = commented(load({}, NOTHING, None))
    for each in SETTINGS:
        assert f"# {each.help}\n# {each.kind.allowed.capitalize()}.\n" in text
        assert isinstance(each.kind, Number | SomeOf | OneOf | Networks | Origins) or "printable" in each.kind.allowed


@pytest.mark.parametrize("value", ["null", "*", "https://chat.example/page", ", ".join(["https://chat.example"] * 65)])
def test_origins_are_origins(value: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="--origins: at most 64 origins"):
        load({"origins": value}, NOTHING, None)
