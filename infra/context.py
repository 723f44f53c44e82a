"""Where settings stand: in `cdk.json` by environment, each overridden with `-c key=value`."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final, TypeAlias, TypeVar

from eventstore._setting_rules import WrongSetting, is_environment, shown

Context: TypeAlias = Mapping[str, object]
_Value = TypeVar("_Value")

DEFAULT_ENVIRONMENT: Final = "dev"


class SettingsError(ValueError):
    """A setting is missing, unknown or out of range; the message says which, and how to repair it."""


class SettingsReader:
    """Takes values out of the context: an override (`-c key=value`) first, then the environment's own."""

    def __init__(self, context: Context) -> None:
        environments = context.get("environments")
        if not isinstance(environments, Mapping):
            raise SettingsError(
                "There are no environments: cdk.json must hold them under context.environments, and the "
                "command must run in its folder."
            )
        self.environment = str(context.get("environment", DEFAULT_ENVIRONMENT))
        if self.environment not in environments:
            raise SettingsError(
                f"Unknown environment {self.environment!r}: cdk.json has {', '.join(environments)}. "
                f"Name one of them with -c environment=..., or add it under context.environments."
            )
        if not is_environment(self.environment):
            raise SettingsError(
                f"The environment {self.environment!r} of cdk.json can't name stacks: it must be 1-64 "
                "letters, digits or -, and not begin with -. Rename it under context.environments."
            )
        recorded = environments[self.environment]
        if not isinstance(recorded, Mapping):
            raise SettingsError(
                f"The environment {self.environment!r} of cdk.json is {shown(recorded)}; it must be an "
                "object with a value for each setting."
            )
        self._recorded: Context = recorded
        self._overrides = context
        self._known = {"environment", "environments"}

    def optional(self, key: str, rule: Callable[[object], _Value]) -> _Value | None:
        """What the rule makes of a setting, None where it isn't set."""
        self._known.add(key)
        value = self._overrides.get(key, self._recorded.get(key))
        if value is None:
            return None
        try:
            return rule(value)
        except WrongSetting as wrong:
            raise self.error(key, str(wrong)) from None

    def required(self, key: str, rule: Callable[[object], _Value]) -> _Value:
        """What the rule makes of a setting."""
        value = self.optional(key, rule)
        if value is None:
            raise self.error(key, "is missing")
        return value

    def is_overridden(self, key: str) -> bool:
        return key in self._overrides

    def error(self, key: str, what: str, *, only_in_file: bool = False) -> SettingsError:
        where = f"in cdk.json under context.environments.{self.environment}"
        repair = f"Set it {where}." if only_in_file else f"Set it {where}, or with -c {key}=..."
        return SettingsError(f"Setting {key} of environment {self.environment!r} {what}. {repair}")

    def refuse_unknown_keys(self) -> None:
        """A mistyped key must not be taken for an absent one."""
        # The CDK and its CLI keep keys of their own in the context; each of them has a `:`, `/` or `-`.
        overrides = [key for key in self._overrides if key.isidentifier()]
        for key in (*self._recorded, *overrides):
            if key not in self._known:
                hint = get_close_matches(key, self._known, n=1) or sorted(self._known)
                raise SettingsError(
                    f"Unknown setting {key!r} in cdk.json or given with -c. Did you mean {' or '.join(hint)}?"
                )
