"""The settings of `tacit serve`, each in one place: its name, what it may be, what it is where nobody sets it.

A setting called `reset_hours` is `reset_hours = 72` in the file, `TACIT_SERVE_RESET_HOURS` in the environment and
`--reset-hours` as a flag. Flags go before the environment, the environment before the file, the file before the
defaults. Whatever is refused is named by where it stands and by what is allowed, never by its value: something else
may have been pasted there.
"""

from __future__ import annotations

import ipaddress
import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, assert_never

from tacit import errors
from tacit.server.config import DAY_MS, HOUR_MS, MINUTE_MS, Config, ConnectionLimits, HandshakeLimits, RateLimits
from tacit.server.logs import FORMATS, LEVELS
from tacit.signed.origin import parse_origin
from tacit.signed.profiles import Profile, name_of
from tacit.wire.limits import MIB

PREFIX: Final = "TACIT_SERVE_"
FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
"""This environment variable names the file where no flag does."""
FILE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text in one line, of at most 255 characters unless said otherwise."""

    most: int = 255

    @property
    def allowed(self) -> str:
        return f"a text of 1 to {self.most} printable characters"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class SomeOf:
    """Some of some words, each once: a list in the file, with commas between them elsewhere."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"any of {', '.join(self.words)}, each once"


@dataclass(frozen=True, slots=True)
class Networks:
    """Some addresses and networks: a list in the file, with commas between them elsewhere."""

    most: int = 64

    @property
    def allowed(self) -> str:
        return f"at most {self.most} addresses, and networks of them as 192.0.2.0/24, that are not all there are"


@dataclass(frozen=True, slots=True)
class Origins:
    """Some origins: a list in the file, with commas between them elsewhere."""

    most: int = 64

    @property
    def allowed(self) -> str:
        return f"at most {self.most} origins of web pages, such as https://chat.example.org"


Kind = Number | Text | OneOf | SomeOf | Networks | Origins
Value = int | str | list[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; without a default it is left out where nobody sets it."""

    name: str
    kind: Kind
    default: Value | None
    help: str

    @property
    def flag(self) -> str:
        """As an argument."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"{PREFIX}{self.name.upper()}"


SELF_SIGNED: Final = "self-signed"
OWN_CERTIFICATE: Final = ".tls.pem"
PROFILES: Final = {name_of(each): each for each in (Profile.STANDARD, Profile.FIPS, Profile.COMPAT)}

SETTINGS: Final = (
    Setting("host", Text(), "127.0.0.1", "The address or name to listen on. Without TLS it has to be loopback."),
    Setting("port", Number(0, 65535), 8080, "The port to listen on; 0 takes a free one."),
    Setting(
        "database",
        Text(4096),
        "tacit.db",
        "The SQLite file, made where it does not exist; a relative path begins where the server is started.",
    ),
    Setting(
        "ballast_mb",
        Number(0, 4096),
        16,
        "MiB beside the database that are given up when the disk is full, so that there is room to put that right.",
    ),
    Setting(
        "name",
        Text(),
        None,
        "The name that clients know the server by; by default the URL's host. Every account is bound to it: never "
        "change it.",
    ),
    Setting(
        "url",
        Text(),
        None,
        "The URL that clients use, such as https://chat.example.org; by default that of the host and port above.",
    ),
    Setting(
        "tls",
        OneOf((SELF_SIGNED,)),
        None,
        "The server makes a key and its certificate for itself, once, in a file beside the database that ends in "
        f"{OWN_CERTIFICATE}. Clients are given its pin.",
    ),
    Setting(
        "tls_certificate",
        Text(4096),
        None,
        "Instead: a file with the certificate and its chain in PEM. A new one is taken within a minute.",
    ),
    Setting("tls_key", Text(4096), None, "A file with the certificate's key in PEM, where it is not in the same file."),
    Setting(
        "trusted_proxies",
        Networks(),
        None,
        "The proxies in front of the server, each of which adds to X-Forwarded-For who connected to it. The limits "
        "count by that; what anybody else writes there counts for nothing.",
    ),
    Setting(
        "origins",
        Origins(),
        None,
        "The origins of web pages that may open a WebSocket here, beside the server's own.",
    ),
    Setting(
        "profiles",
        SomeOf(tuple(PROFILES)),
        list(PROFILES),
        "The profiles of which accounts and conversations may begin here; what is there already goes on.",
    ),
    Setting("session_days", Number(1, 365), 30, "How long a device's session lasts."),
    Setting(
        "registration_minutes",
        Number(1, 60),
        10,
        "How long a session lasts that may only publish an account: at registration, or by password or recovery key.",
    ),
    Setting(
        "reset_hours",
        Number(1, 8760),
        72,
        "How long a reset waits that a device asks for without password or recovery key, and can be cancelled.",
    ),
    Setting("reset_lapse_hours", Number(1, 8760), 72, "How long it may be carried out after that."),
    Setting(
        "connections",
        Number(1, 1_000_000),
        None,
        "How many connections are open at most; by default as many as the system lets the process have.",
    ),
    Setting(
        "connections_per_address",
        Number(0, 1_000_000),
        1_000,
        "How many of them an address may have; 0 for no limit.",
    ),
    Setting(
        "handshakes",
        Number(0, 1_000_000),
        1_000,
        "How many WebSockets wait at a time that have not said yet whose they are; 0 for no limit.",
    ),
    Setting(
        "handshakes_per_address",
        Number(0, 1_000_000),
        100,
        "How many of those an address may have; 0 for no limit.",
    ),
    Setting(
        "requests_per_device",
        Number(0, 10_000_000),
        3_000,
        "How many requests and messages of a device are taken in a minute; 0 for no limit.",
    ),
    Setting(
        "requests_per_address",
        Number(0, 10_000_000),
        12_000,
        "How many requests of an address are taken in a minute, whoever makes them; 0 for no limit.",
    ),
    Setting("metrics_host", Text(), "127.0.0.1", "Where the metrics are listened for. It has to be loopback too."),
    Setting("metrics_port", Number(0, 65535), None, "Its port; 0 takes a free one. Without it there are no metrics."),
    Setting(
        "drain_seconds",
        Number(0, 300),
        0,
        "How long after the signal to stop everything is still taken, while /health/ready says 503.",
    ),
    Setting("grace_seconds", Number(1, 300), 10, "How long after that what was accepted may take to be answered."),
    Setting("log_format", OneOf(FORMATS), "text", "How the log's lines on standard error are written."),
    Setting("log_level", OneOf(LEVELS), "info", "What is logged: info has a line for each request, warning none."),
)
BY_NAME: Final = {each.name: each for each in SETTINGS}


def load(flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None) -> dict[str, Value | None]:
    """Every setting by its name, from wherever it is set; raises `InvalidArgument`.

    The file is `file`, else the one that the environment names.
    """
    if file is None and environment.get(FILE_VARIABLE):
        file = Path(environment[FILE_VARIABLE])
    values: dict[str, Value | None] = {each.name: each.default for each in SETTINGS}
    values |= from_file(file) if file is not None else {}
    values |= from_environment(environment)
    values |= {name: _from_text(BY_NAME[name], BY_NAME[name].flag, text) for name, text in flags.items()}
    return values


def from_file(path: Path) -> dict[str, Value]:
    """What a TOML file sets; raises `InvalidArgument` with the file, the key and what is allowed."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES + 1)
        if len(raw) > FILE_BYTES:
            raise errors.InvalidArgument(f"{path}: a configuration file has at most {FILE_BYTES} bytes")
        table = tomllib.loads(raw.decode())
    except OSError as error:
        raise errors.InvalidArgument(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.InvalidArgument(f"{path}: not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        place = str(error).rpartition("(at ")[2].rstrip(")")
        raise errors.InvalidArgument(f"{path}: not TOML ({place})") from None
    for name in table:
        if name not in BY_NAME:
            raise errors.InvalidArgument(f"{path}: {name!r:.66} is no setting; there are {', '.join(BY_NAME)}")
    return {name: _checked(BY_NAME[name], f"{path}: {name}", value) for name, value in table.items()}


def from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    """What the environment sets; raises `InvalidArgument`, for a variable of the prefix that is no setting too."""
    by_variable = {each.variable: each for each in SETTINGS}
    found: dict[str, Value] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in by_variable:
            known = ", ".join((FILE_VARIABLE, *by_variable))
            raise errors.InvalidArgument(f"{variable[:64]} is no setting; there are {known}")
        setting = by_variable[variable]
        found[setting.name] = _from_text(setting, variable, text)
    return found


def _from_text(setting: Setting, place: str, text: str) -> Value:
    value: object = text
    if isinstance(setting.kind, Number) and text.isascii() and text.isdigit() and len(text) < 16:
        value = int(text)
    if isinstance(setting.kind, SomeOf | Networks | Origins):
        value = [word.strip() for word in text.split(",") if word.strip()]
    return _checked(setting, place, value)


def _checked(setting: Setting, place: str, value: object) -> Value:
    """A value that the setting may have; raises `InvalidArgument`."""
    match setting.kind:
        case Number(least, most):
            if type(value) is int and least <= value <= most:
                return value
        case Text(most):
            if isinstance(value, str) and 1 <= len(value) <= most and value.isprintable():
                return value
        case OneOf(words):
            if isinstance(value, str) and value in words:
                return value
        case SomeOf(words):
            if isinstance(value, list) and all(word in words for word in value) and len(set(value)) == len(value):
                return value
        case Networks(most):
            if isinstance(value, list) and len(value) <= most and all(map(_is_network, value)):
                return value
        case Origins(most):
            if isinstance(value, list) and len(value) <= most and all(map(_is_origin, value)):
                return value
        case _:
            assert_never(setting.kind)
    raise errors.InvalidArgument(f"{place}: {setting.kind.allowed}")


def _is_origin(value: object) -> bool:
    with suppress(errors.InvalidArgument):
        return isinstance(value, str) and bool(parse_origin(value))
    return False


def _is_network(value: object) -> bool:
    """Whether this is an address or a network that is smaller than the whole internet."""
    try:
        return isinstance(value, str) and ipaddress.ip_network(value).prefixlen > 0
    except ValueError:
        return False


def config_of(values: Mapping[str, Any]) -> Config:
    """The configuration that these settings make; raises `InvalidArgument` where they contradict each other."""
    certificate, key = _tls_files(values)
    return Config(
        host=values["host"],
        port=values["port"],
        database=Path(values["database"]),
        ballast_bytes=values["ballast_mb"] * MIB,
        name=values["name"],
        url=values["url"],
        tls_certificate=certificate,
        tls_key=key,
        proxies=tuple(ipaddress.ip_network(each) for each in values["trusted_proxies"] or ()),
        profiles=tuple(PROFILES[name] for name in values["profiles"]),
        session_ms=values["session_days"] * DAY_MS,
        registration_ms=values["registration_minutes"] * MINUTE_MS,
        reset_wait_ms=values["reset_hours"] * HOUR_MS,
        reset_lapse_ms=values["reset_lapse_hours"] * HOUR_MS,
        origins=tuple(str(parse_origin(each)) for each in values["origins"] or ()),
        handshakes=HandshakeLimits(values["handshakes"], values["handshakes_per_address"]),
        connections=ConnectionLimits(values["connections"], values["connections_per_address"]),
        rates=RateLimits(values["requests_per_device"], values["requests_per_address"]),
        metrics_host=values["metrics_host"],
        metrics_port=values["metrics_port"],
        drain_seconds=values["drain_seconds"],
        grace_seconds=values["grace_seconds"],
        log_format=values["log_format"],
        log_level=values["log_level"],
    )


def _tls_files(values: Mapping[str, Any]) -> tuple[Path | None, Path | None]:
    """The files of certificate and key; a key that is None is in the certificate's."""
    tls, certificate, key = values["tls"], values["tls_certificate"], values["tls_key"]
    if tls is not None and (certificate is not None or key is not None):
        raise errors.InvalidArgument("there is tls as well as files for it: set the one or the other")
    if certificate is None and key is not None:
        raise errors.InvalidArgument("there is tls_key, but no tls_certificate")
    if tls is not None:
        return Path(values["database"]).with_suffix(OWN_CERTIFICATE), None
    return Path(certificate) if certificate else None, Path(key) if key else None


def commented(values: Mapping[str, Value | None]) -> str:
    """A configuration file that sets these values, with what each setting means and may be."""
    example = SETTINGS[1]
    parts = [
        "# The settings of `tacit serve --config FILE`. Each is a flag and an environment variable as well, as\n"
        f"# {example.flag} and {example.variable} are for {example.name}: flags go before the environment,\n"
        "# that before this file. A line that begins with # sets nothing.\n"
    ]
    for each in SETTINGS:
        value = values[each.name]
        shown = f"# {each.name} =" if value is None else f"{each.name} = {json.dumps(value, ensure_ascii=False)}"
        parts.append(f"# {each.help}\n# {each.kind.allowed.capitalize()}.\n{shown}\n")
    return "\n".join(parts)
