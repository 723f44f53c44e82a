"""The HTTP API: paths, models, routes and problems."""
