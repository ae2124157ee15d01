"""A player who plays through servers of either version, and checks each answer against what it knows of itself."""

import itertools
import math

from servers import ADMIN_TOKEN, until

# Within this many seconds what one instance ended is invalid on all, and its changes are visible on all.
SOON = 2


def expect(answer, status, code=None):
    assert answer.status == status, f"{status} was expected: {answer}"
    if code:
        assert answer.body["code"] == code, f"{code} was expected: {answer}"
    return answer


class Player:
    numbers = itertools.count(1)

    def __init__(self, server):
        self.number = next(self.numbers)
        body = expect(server.call("POST", "/api/v1/auth/guest", body={}), 201).body
        self.id = body["player"]["id"]
        self.username, self.tokens = None, body["tokens"]
        self.version = self.state(server)["version"]
        self.owned, self.keys = {}, itertools.count(1)
        self.last_keyed = None

    def call(self, server, method, path, body=None, **headers):
        return server.call(method, f"/api/v1{path}", self.tokens["access_token"], body, **headers)

    def state(self, server):
        return expect(self.call(server, "GET", "/me"), 200).body

    def change(self, server, path, body):
        """A mutation with a key; its state is one version on."""
        self.catch_up(server)
        key = f"{self.number}-{next(self.keys)}"
        answer = expect(self.call(server, "POST", path, body, Idempotency_Key=key), 200)
        assert "Idempotency-Replayed" not in answer.headers, "a new key was known"
        self.advance(answer.body["state"])
        self.last_keyed = (key, path, body, answer.body)
        return answer.body

    def advance(self, state, by=1):
        assert state["version"] == self.version + by, f"{self.version} + {by} became {state['version']}"
        self.version = state["version"]

    def catch_up(self, server):
        """Whatever was played elsewhere is seen here."""
        return until(
            f"{server.name} sees version {self.version} of player {self.number}",
            lambda: (state := self.state(server))["version"] >= self.version and state,
            patience=10,
        )

    def repeat_elsewhere(self, server):
        """The last mutation, sent again to another server, has the same outcome and no further effect."""
        key, path, body, before = self.last_keyed
        answer = expect(self.call(server, "POST", path, body, Idempotency_Key=key), 200)
        assert answer.headers["Idempotency-Replayed"] == "true", f"applied again: {answer}"
        for field in before.keys() - {"state"}:
            assert answer.body[field] == before[field], f"{field} of {path} changed: {answer}"
        self.advance(answer.body["state"], by=0)
        again = body | {"clicks": 999} if "clicks" in body else {"quantity": 999}
        expect(self.call(server, "POST", path, again, Idempotency_Key=key), 422, "idempotency_key_reused")

    def play(self, server):
        """A round of everything."""
        state = self.catch_up(server)
        assert state["version"] == self.version, f"nobody else plays: {state}"
        owned = {it["id"]: it["owned"] for it in state["generators"]}
        assert owned == self.owned, f"{self.owned} was expected: {state}"
        self.poll(server)
        self.click(server)
        self.grow(server)
        self.act(server)
        self.be_refused(server)
        self.check_books(server)
        self.refresh(server)
        self.look_around(server)

    def poll(self, server):
        answer = expect(self.call(server, "GET", "/me"), 200)
        tag = answer.headers["ETag"]
        assert tag.startswith('W/"'), tag
        answer = expect(self.call(server, "GET", "/me", If_None_Match=tag), 304)
        assert answer.body is None

    def click(self, server):
        accepted = self.change(server, "/me/clicks", {"clicks": 3})["accepted"]
        assert 0 <= accepted <= 3, accepted
        self.repeat_elsewhere(server)

    def grow(self, server):
        """Buys the next upgrade, after as many generators as it asks for."""
        self.receive(server, 1e12)
        catalogue = expect(server.call("GET", "/api/v1/catalog"), 200).body
        has = self.state(server)["upgrades"]
        upgrade = next(it for it in catalogue["upgrades"]
                       if it["id"] not in has and it["requires"]["type"] == "generator_owned")
        generator, count = upgrade["requires"]["generator"], upgrade["requires"]["count"]
        path = f"/me/generators/{generator}/purchase"
        missing = max(count - self.owned.get(generator, 0), 1)
        stale = {"quantity": missing, "expected_version": self.version - 1}
        refused = expect(self.call(server, "POST", path, stale), 409, "version_mismatch")
        assert refused.body["version"] == self.version, refused
        bought = self.change(server, path, {"quantity": missing, "expected_version": self.version})
        self.has(bought["state"], generator, missing)
        assert bought["purchased"] == missing and bought["spent"] > 0, bought
        self.receive(server, upgrade["cost"])
        bought = self.change(server, f"/me/upgrades/{upgrade['id']}/purchase", {})
        assert bought["spent"] == upgrade["cost"] and upgrade["id"] in bought["state"]["upgrades"], bought
        again = self.call(server, "POST", f"/me/upgrades/{upgrade['id']}/purchase", {})
        expect(again, 409, "already_owned")

    def receive(self, server, energy):
        body = {"energy": energy, "reason": "a test of two versions"}
        answer = expect(server.call("POST", f"/api/v1/admin/players/{self.id}/grant", ADMIN_TOKEN, body), 200)
        self.advance(answer.body["state"])
        assert answer.body["state"]["energy"] >= energy, answer

    def has(self, state, generator, more):
        self.owned[generator] = self.owned.get(generator, 0) + more
        owned = {it["id"]: it["owned"] for it in state["generators"]}
        assert owned == self.owned, f"{self.owned} was expected: {state}"

    def act(self, server):
        self.receive(server, 1e12)
        actions = [{"type": "click", "clicks": 1}, {"type": "buy_generator", "id": "hand_crank", "quantity": 1}]
        key = f"{self.number}-{next(self.keys)}"
        answer = expect(self.call(server, "POST", "/me/actions", {"actions": actions}, Idempotency_Key=key), 200)
        assert len(answer.body["results"]) == 2, answer
        self.advance(answer.body["state"], by=2)
        self.has(answer.body["state"], "hand_crank", 1)

    def be_refused(self, server):
        dear = {"quantity": 1_000_000}
        answer = self.call(server, "POST", "/me/generators/hand_crank/purchase", dear)
        expect(answer, 409, "insufficient_energy")
        expect(self.call(server, "POST", "/me/generators/nothing/purchase", dear), 404, "not_found")
        expect(server.call("GET", "/api/v1/me"), 401, "unauthenticated")
        assert self.state(server)["version"] == self.version, "a refusal changed something"

    def check_books(self, server):
        """Each balance of the ledger follows from the one before, whoever wrote it."""
        entries, cursor = [], ""
        while cursor is not None:
            page = expect(self.call(server, "GET", f"/me/ledger?limit=10{cursor and f'&cursor={cursor}'}"), 200).body
            entries += page["entries"]
            cursor = page["next_cursor"]
        balance = 0
        for entry in reversed(entries):
            expected = balance + entry["earned"] + entry["delta"]
            balance = entry["balance_after"]
            assert math.isclose(balance, expected, rel_tol=1e-9, abs_tol=1e-6), f"{expected} was expected: {entry}"
        kinds = [entry["kind"] for entry in entries]
        assert len(set(kinds)) == 3, f"grants, purchases and upgrades were expected: {kinds}"
        export = expect(self.call(server, "GET", "/me/export"), 200).body
        assert [it["id"] for it in export["ledger"]] in ([e["id"] for e in entries], [e["id"] for e in reversed(entries)])

    def refresh(self, server):
        body = {"refresh_token": self.tokens["refresh_token"]}
        tokens = expect(server.call("POST", "/api/v1/auth/refresh", body=body), 200).body["tokens"]
        again = expect(server.call("POST", "/api/v1/auth/refresh", body=body), 200).body["tokens"]
        assert again["refresh_token"] == tokens["refresh_token"], "a repeat has the same successor"
        self.tokens = tokens
        sessions = expect(self.call(server, "GET", "/auth/sessions"), 200).body
        assert sessions, sessions

    def look_around(self, server):
        name = f"Player {self.number} on {server.name}"[:24].strip()
        self.advance(expect(self.call(server, "PATCH", "/me", {"display_name": name}), 200).body)
        profile = expect(server.call("GET", f"/api/v1/players/{self.id}"), 200).body
        assert profile["display_name"] == name, profile
        if server.offers("/api/v1/rankings/me"):
            place = until(
                f"player {self.number} is ranked",
                lambda: (answer := self.call(server, "GET", "/rankings/me")).status == 200 and answer.body["rank"],
            )
            assert place >= 1
            entries = expect(server.call("GET", "/api/v1/rankings?limit=100"), 200).body["entries"]
            assert all(a["score"] >= b["score"] for a, b in itertools.pairwise(entries)), entries

    def register(self, server):
        """The guest becomes somebody, with the same progress."""
        self.username = f"player_{self.number}"
        body = {"username": self.username, "password": f"{self.username}'s password"}
        answer = expect(self.call(server, "POST", "/auth/register", body), 201).body
        assert answer["player"]["id"] == self.id, answer
        self.tokens = answer["tokens"]
        self.advance(self.state(server))

    def sign_in(self, server):
        body = {"username": self.username, "password": f"{self.username}'s password"}
        answer = expect(server.call("POST", "/api/v1/auth/login", body=body), 200).body
        assert answer["player"]["id"] == self.id, answer
        self.tokens = answer["tokens"]

    def sign_out(self, server, other):
        """What ends on one server ends on the other."""
        expect(self.call(server, "POST", "/auth/logout"), 204)
        until(f"{other.name} knows of the end", lambda: self.call(other, "GET", "/me").status == 401, patience=SOON)
