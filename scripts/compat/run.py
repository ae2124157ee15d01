"""Runs the version before on the schema of this one, then both, then the one before alone again, as after a roll-back."""

import argparse
import os
import subprocess
import tempfile

from player import Player
from servers import Postgres, Redis, Server


def told(step):
    print(f"   {step}", flush=True)


def run(before, now, folder, started, with_redis):
    postgres = Postgres(now, folder)
    started.append(postgres)
    variables = {"DATABASE_URL": postgres.url, "JWT_SECRET": "both-versions-sign-with-this-secret"}
    if with_redis:
        redis = Redis(folder)
        started.append(redis)
        variables["REDIS_URL"] = redis.url

    def start(name, program):
        server = Server(name, program, folder, variables)
        started.append(server)
        return server

    subprocess.run([os.path.abspath(now), "migrate"], check=True, env=variables | {"PATH": os.environ["PATH"]},
                   cwd=folder, capture_output=True)
    files = len([it for it in os.listdir("sql/migrations") if it.endswith(".sql")])
    noted = postgres.query("select number, checksum from schema_migrations order by number")
    assert len(noted) == files, noted
    # Its first server stores its catalogue, and leaves its boards and caches in Redis.
    new = start("now-first", now)
    players = [Player(new)]
    players[0].play(new)
    new.stop()
    told(f"this version made a schema of {files} migrations, and plays on it")

    old = start("before", before)
    players.append(Player(old))
    for player in players:
        player.play(old)
    players[0].register(old)
    players[0].play(old)
    told("the one before goes on alone")

    new = start("now", now)
    players.append(Player(new))
    for _ in range(2):
        for here, there in ((new, old), (old, new)):
            for player in players:
                player.play(here)
                player.change(here, "/me/clicks", {"clicks": 2})
                player.repeat_elsewhere(there)
    players[0].sign_out(new, old)
    players[0].sign_in(old)
    players[0].play(new)
    players[0].sign_out(old, new)
    players[0].sign_in(new)
    players[0].play(old)
    told("both play at once: states, keys, tokens, sign-outs and ledgers of either hold on the other")

    old.stop()
    for player in players:
        player.play(new)
    players[1].register(new)
    new.stop()
    told("this version plays on alone")

    old = start("before-again", before)
    for player in players:
        player.play(old)
    players[1].sign_in(old)
    players[1].play(old)
    old.stop()
    told("the one before goes on after a roll-back")

    new = start("now-again", now)
    for player in players:
        player.play(new)
    new.stop()
    told("and this version after that")

    rows = dict(postgres.query("select player_id, version from players"))
    for player in players:
        assert rows[player.id] == str(player.version), f"{player.version} was expected: {rows}"
    assert postgres.query("select number, checksum from schema_migrations order by number") == noted
    dead = postgres.query("select kind, error from jobs where status = 'dead'")
    assert not dead, dead


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--before", required=True)
    arguments.add_argument("--now", required=True)
    arguments.add_argument("--redis", action="store_true")
    given = arguments.parse_args()
    print(f"== {'with' if given.redis else 'without'} a Redis", flush=True)
    started = []
    with tempfile.TemporaryDirectory() as folder:
        # The database's user needs access.
        os.chmod(folder, 0o755)
        try:
            run(given.before, given.now, folder, started, given.redis)
        finally:
            for one in reversed(started):
                one.kill()


main()
