"""The event store as a CDK app: `cdk deploy --all -c environment=dev|prod|local`."""

import sys

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.data_stack import DataStack
from infra.service_stack import ServiceStack
from infra.settings import Settings, SettingsError


def compose(*, app: App) -> tuple[DataStack, ServiceStack]:
    """The stacks of the environment that the app's context names; synth fails where cdk-nag finds fault."""
    settings = Settings.from_context(app.node.get_all_context())
    name = f"EventStore-{settings.environment}"
    data = DataStack(app, f"{name}-Data", settings=settings)
    service = ServiceStack(app, f"{name}-Service", data=data, settings=settings)
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    return data, service


if __name__ == "__main__":
    app = App()
    try:
        compose(app=app)
    except SettingsError as error:
        sys.exit(str(error))
    app.synth()
