"""The API's documents, made when the code changes: OpenAPI, examples, descriptions, problems."""
