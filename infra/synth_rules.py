"""What a setting may be that synth alone reads. What functions read too: `eventstore.setting_rules`."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal

from eventstore import setting_rules as rules
from eventstore.http.paths import API_ROUTES

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


CORS_HEADERS: Final = (
    *("authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-correlation-id"),
    *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-user-agent"),
)
"""What a browser needs to send: the API's own headers, and those of a signature (SigV4)."""

CORS_METHODS: Final = tuple(sorted({route.method for route in API_ROUTES}))

HTTPS_URL: Final = "https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\\s?#]*)?"
origins: Final = partial(
    rules.texts,
    pattern="[*]|https?://([*]|[A-Za-z0-9.-]+(:[0-9]{1,5})?)",
    what="an origin such as https://app.example.com (no path, no / at its end), or *",
)
headers: Final = partial(rules.texts, pattern="[A-Za-z0-9!#$%&'*+.^_`|~-]+", what="a header's name, or *")
methods: Final = partial(
    rules.texts, pattern="|".join(CORS_METHODS), what=f"one of: {', '.join(CORS_METHODS)}"
)
issuer: Final = partial(
    rules.text, pattern=HTTPS_URL, what="the issuer's https URL, without query and fragment"
)
audiences: Final = partial(rules.texts, pattern="[^\\s,]+", what="an audience, without spaces")
scopes: Final = partial(rules.texts, pattern="[!#-+\\--[\\]-~]+", what="a scope, without spaces")
email: Final = partial(
    rules.text, pattern="[^@\\s,;<>]{1,64}@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+", what="one e-mail address"
)
topic_arn: Final = partial(
    rules.text,
    pattern="arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}",
    what="the ARN of a standard SNS topic",
)


def whole(low: int, high: int) -> partial[int]:
    return partial(rules.whole, low=low, high=high)


def number(low: float, high: float) -> partial[float]:
    return partial(rules.number, low=low, high=high)


def flag(value: object) -> bool:
    return value if isinstance(value, bool) else rules.one_of(value, choices=("true", "false")) == "true"


def packages_for(value: object) -> Literal["aws", "machine"]:
    choices: tuple[Literal["aws", "machine"], ...] = ("aws", "machine")
    return rules.one_of(value, choices=choices)


def auth_kind(value: object) -> Literal["iam", "jwt", "none"]:
    choices: tuple[Literal["iam", "jwt", "none"], ...] = ("iam", "jwt", "none")
    return rules.one_of(value, choices=choices)


def log_retention_days(value: object) -> int:
    days = rules.whole(value, low=1, high=max(LOG_RETENTION))
    if days not in LOG_RETENTION:
        raise rules.WrongSetting(f"is {days}; CloudWatch offers: {', '.join(map(str, LOG_RETENTION))}")
    return days
