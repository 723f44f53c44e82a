"""What a setting may be that synth alone reads. What functions read too: `eventstore._setting_rules`."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, TypeVar

from eventstore import _setting_rules as rules
from eventstore.http.paths import API_ROUTES, ApiFunction

_Value = TypeVar("_Value")

LOG_RETENTION: Final[Mapping[int, str]] = {
    1: "ONE_DAY",
    3: "THREE_DAYS",
    5: "FIVE_DAYS",
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
    731: "TWO_YEARS",
    1827: "FIVE_YEARS",
    3653: "TEN_YEARS",
}
"""Days that a log can be kept (those of CloudWatch's choices that we offer), and the CDK's name for each."""

RECORD_AGE_MAX_S: Final = 23 * 3_600
"""A stream forgets its records after 24 hours: the mapping must give up, and say so, before that."""

CONSUMER_TIMEOUT_S: Final = 120
"""How long a try of a batch may take: several times what it keeps in reserve (`limits.INDEX_RESERVE_S`)."""

LATE_PERIODS: Final = 4
"""Periods before the latest ones in which an alarm still sees what it waits for: metrics come some minutes
late, and where `FILL` stands for a value that isn't there yet, nothing is missing that CloudWatch would wait
for."""

OLD_PERIODS: Final = 5
"""Minutes in which a consumer's records have to be old until its alarm `Late` rings."""

LATE_RINGS_WITHIN_S: Final = (OLD_PERIODS + LATE_PERIODS) * 60
"""How long after its threshold `Late` may ring: the mapping must not give records up before."""

AUDIENCES_MAX: Final = 50
"""Audiences of one authorizer; it can't be raised. Source: API Gateway's quotas of HTTP APIs."""

SCOPES_MAX: Final = 10
"""Scopes of one route; it can't be raised. Source: as above."""

HEADERS_MAX_BYTES: Final = 10_240
"""Of a request's line and headers, by which tokens and origins come. Source: as above."""

CORS_HEADERS: Final = (
    *("authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-correlation-id"),
    *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-user-agent"),
)
"""What a browser needs to send: the API's own headers, and those of a signature (SigV4)."""

CORS_METHODS: Final = tuple(sorted({route.method for route in API_ROUTES}))

_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_LENGTH: Final = "(?=[^:/]{1,253}(?:[:/]|$))"
_HOST: Final = f"{_HOST_LENGTH}{_LABEL}(?:[.]{_LABEL})*"
_PORT: Final = (
    "(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)


def _sent(
    value: object, *, pattern: str, what: str, most: int | None = None, of: str = ""
) -> tuple[str, ...]:
    """Return texts that callers send in headers: each short enough to come, and no more than AWS takes."""
    found = rules.texts(value, pattern=pattern, what=what)
    for one in found:
        if len(one) > HEADERS_MAX_BYTES:
            raise rules.WrongSetting(
                f"has {rules.shown(one)} of {len(one):,} characters; API Gateway takes {HEADERS_MAX_BYTES:,} "
                "bytes of headers, so no request could match it"
            )
    if most is not None and len(found) > most:
        raise rules.WrongSetting(f"names {len(found):,}; API Gateway takes {most} for {of}, and no more")
    return found


def origins(value: object) -> tuple[str, ...]:
    """Return origins as browsers send them: any other would never match."""
    found = _sent(
        value,
        pattern=f"[*]|https?://(?:[*]|{_HOST}{_PORT})",
        what="an origin such as https://app.example.com (lower case, a port up to 65535, no path, no / at "
        "its end), or *",
    )
    if "*" in found and len(found) > 1:
        raise rules.WrongSetting("has '*' and others; '*' is every origin, so keep that or the others")
    for one in found:
        if re.fullmatch("https:.*:443|http:.*:80", one):
            raise rules.WrongSetting(f"has {one!r}; browsers leave that port out, so it would never match")
    return found


headers: Final = partial(_sent, pattern="[A-Za-z0-9!#$%&'*+.^_`|~-]+", what="a header's name, or *")
methods: Final = partial(
    rules.texts, pattern="|".join(CORS_METHODS), what=f"one of: {', '.join(CORS_METHODS)}"
)
issuer: Final = partial(
    rules.text,
    pattern=f"(?=.{{1,2048}}$)https://(?i:{_HOST}){_PORT}(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?",
    what="the issuer's https URL of at most 2,048 characters: a host, perhaps a port up to 65535 and a path, "
    "without query and fragment",
)
audiences: Final = partial(
    _sent,
    pattern=r"[^\s,]+",
    what="an audience, without spaces",
    most=AUDIENCES_MAX,
    of="an authorizer",
)
scopes: Final = partial(
    _sent,
    pattern=r"[!#-+\--[\]-~]+",
    what="a scope, without spaces",
    most=SCOPES_MAX,
    of="a route",
)
SCOPES: Final[Mapping[str, ApiFunction]] = {
    "jwtScopesAppend": "append",
    "jwtScopesRead": "read",
    "jwtScopesReplay": "replays",
}
"""The settings of scopes, and the function whose routes ask for them."""

_ATOM: Final = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
email: Final = partial(
    rules.text,
    pattern=f"(?=[^@]{{1,64}}@){_ATOM}(?:[.]{_ATOM})*@{_HOST_LENGTH}(?i:{_LABEL}(?:[.]{_LABEL})+)",
    what="one e-mail address",
)
topic_arn: Final = partial(
    rules.text,
    pattern="arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}",
    what="the ARN of a standard SNS topic",
)


def or_off(rule: Callable[[object], _Value]) -> Callable[[object], _Value | Literal["off"]]:
    """A rule that takes `off` too, and says so."""

    def checked(value: object) -> _Value | Literal["off"]:
        if isinstance(value, str) and value.strip() == "off":
            return "off"
        try:
            return rule(value)
        except rules.WrongSetting as wrong:
            raise rules.WrongSetting(f"{wrong}, or off") from None

    return checked


def kept(
    rule: Callable[[object], _Value], *, never: _Value, why: str, retain_data: bool
) -> Callable[[object], _Value]:
    """A rule that refuses a value of the local cloud's wherever data is retained."""

    def checked(value: object) -> _Value:
        found = rule(value)
        if retain_data and found == never:
            raise rules.WrongSetting(f"is {rules.shown(found)}; where data is retained, {why}")
        return found

    return checked


def whole(low: int, high: int) -> partial[int]:
    return partial(rules.whole, low=low, high=high)


def number(low: float, high: float) -> partial[float]:
    return partial(rules.number, low=low, high=high)


def flag(value: object) -> bool:
    return value if isinstance(value, bool) else rules.one_of(value, choices=("true", "false")) == "true"


def clocks(*, retain_data: bool) -> Callable[[object], Literal["checked", "shared"]]:
    why = "it must be 'checked': a wrong clock would hide events from readers of all streams, for good"
    return kept(rules.clocks, never="shared", why=why, retain_data=retain_data)


def partial_batch(*, retain_data: bool) -> Callable[[object], Literal["report", "raise"]]:
    why = "it must be 'report': by 'raise' one bad record repeats its whole batch until all of it is given up"
    return kept(rules.partial_batch, never="raise", why=why, retain_data=retain_data)


def packages_for(*, retain_data: bool) -> Callable[[object], Literal["aws", "machine"]]:
    why = "it must be 'aws': Lambda's Python need not be this computer's, and then no function would start"
    return kept(_packages_for, never="machine", why=why, retain_data=retain_data)


def _packages_for(value: object) -> Literal["aws", "machine"]:
    choices: tuple[Literal["aws", "machine"], ...] = ("aws", "machine")
    return rules.one_of(value, choices=choices)


def auth_kind(value: object) -> Literal["iam", "jwt", "none"]:
    choices: tuple[Literal["iam", "jwt", "none"], ...] = ("iam", "jwt", "none")
    return rules.one_of(value, choices=choices)


def function_log_retention_days(value: object) -> int:
    days = rules.whole(value, low=1, high=max(LOG_RETENTION))
    if days not in LOG_RETENTION:
        raise rules.WrongSetting(f"is {days}; CloudWatch offers: {', '.join(map(str, LOG_RETENTION))}")
    return days
