"""The CDK app: settings, two stacks, and the constructs that they compose."""
