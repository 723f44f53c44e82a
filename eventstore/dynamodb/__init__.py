"""The event store on DynamoDB: `schema` names the table, `store` is the adapter, `client` its settings.

Importing this package imports nothing else, so that the CDK app can read `schema` without boto3.
"""
