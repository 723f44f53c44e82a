"""The local cloud: deploys this repository's CDK app to an AWS on 127.0.0.1, and drives it over HTTP.

A part of the repository, not of the distributed library: it needs `app.py`, and what `make run` installs.
"""
