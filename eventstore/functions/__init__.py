"""The handlers of the Lambda functions: an event of AWS in, its answer out."""
