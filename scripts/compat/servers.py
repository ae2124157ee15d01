"""Programs that the test runs: servers of either version, their Postgres, their Redis."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

PATIENCE = 60
ADMIN_TOKEN = "operators-of-the-compatibility-test"


def until(what, condition, patience=PATIENCE):
    """Waits until `condition` gives something."""
    started = time.monotonic()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() - started < patience, f"{what}: not within {patience} s"
        time.sleep(0.02)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers = status, headers
        self.body = json.loads(body) if body else None

    def __repr__(self):
        return f"{self.status} {self.body}"


class Server:
    """A running program, `name` in whatever is told of it."""

    def __init__(self, name, program, folder, variables, role="all"):
        self.name, self.log = name, pathlib.Path(folder, f"{name}.log")
        known = {"PATH": os.environ["PATH"], "PORT": "0", "METRICS_PORT": "0", "DRAIN_DELAY_SECONDS": "0"}
        known |= {"RATE_LIMIT_PER_SECOND": "10000", "RATE_LIMIT_BURST": "10000", "ROLE": role}
        known |= {"RATE_LIMIT_AUTH_PER_MINUTE": "10000", "ADMIN_TOKEN": ADMIN_TOKEN}
        out = pathlib.Path(folder, f"{name}.out")
        with out.open("w") as stdout, self.log.open("a") as stderr:
            self.process = subprocess.Popen(
                [os.path.abspath(program)], env=known | variables, stdout=stdout, stderr=stderr, cwd=folder
            )

        def listens():
            assert self.process.poll() is None, f"{name} did not start:\n{self.log.read_text()}"
            return "http://" in out.read_text()

        until(f"{name} listens", listens)
        self.base = out.read_text().split("http://")[1].split(",")[0].split()[0]
        until(f"{name} is ready", lambda: self.call("GET", "/readyz").status == 200)

    def call(self, method, path, token=None, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.base}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            return Answer(answer.code, answer.headers, answer.read())

    def offers(self, path):
        """Whether this version has such a path."""
        return path in self.call("GET", "/openapi.json").body["paths"]

    def stop(self):
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        assert status == 0, f"{self.name} ended with {status}"
        faults = [line for line in self.log.read_text().splitlines() if " ERROR " in line]
        assert not faults, f"{self.name} logged errors: {faults}"

    def kill(self):
        self.process.kill()
        self.process.wait()


class Postgres:
    """The Postgres that a server brings along, with an empty database that the server itself leaves alone."""

    def __init__(self, program, folder):
        self.keeper = Server("keeper", program, folder, {"DATA_DIR": f"{folder}/data"}, role="api")
        self.sockets = f"{folder}/data/run"
        self.database = "idlewatt"
        self.query("create database compat")
        self.database = "compat"
        self.url = f"host={self.sockets} user=idlewatt dbname=compat"

    def query(self, statement):
        """Rows of columns."""
        command = ["psql", "--no-psqlrc", "--csv", "--tuples-only", "--host", self.sockets, "--username", "idlewatt"]
        command += ["--set", "ON_ERROR_STOP=1", "--command", statement, self.database]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        return [line.split(",") for line in done.stdout.splitlines()]

    def kill(self):
        # It stops its Postgres, in order.
        self.keeper.process.terminate()
        self.keeper.process.wait(PATIENCE)


class Redis:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command + ["--dir", str(folder)], stdout=subprocess.DEVNULL)
        self.url = f"redis://127.0.0.1:{port}"

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until("Redis listens", listens)

    def kill(self):
        self.process.kill()
        self.process.wait()
