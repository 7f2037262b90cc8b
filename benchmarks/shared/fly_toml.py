"""The fly.toml of an app with a release command and checks: the group web, and two more that can be added.

flyctl leases a machine that it creates for `wait_timeout`, and its next deploy waits 60 s for such a lease: with the
default of 5 minutes, a deploy after an interrupted one would fail.
"""


def web(times: str) -> str:
    """Return a fly.toml of one group, with a check of these times."""
    return f"""
app = "web"
primary_region = "iad"
deploy = {{ release_command = "bin/migrate", wait_timeout = "30s" }}

[http_service]
internal_port = 8080
processes = ["web"]
checks = [{{ path = "/", timeout = "2s", {times} }}]

[processes]
web = "serve"
"""


WORKER = 'worker = "work"\n'
CRON = 'cron = "supercronic /crontab"\n[mounts]\nsource = "data"\ndestination = "/data"\nprocesses = ["cron"]\n'
"""A group with a volume; no group can be added after it."""
