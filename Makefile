# The commands of the project.

# Players and duration of the load tests, as `make load PLAYERS=500`.
export PLAYERS DURATION ROUNDS BEFORE MINUTES

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(shell command -v cargo-deny || echo .tools/bin/cargo-deny)

.PHONY: help run web web-types test test-web test-types fuzz-api test-pooler test-telemetry check check-deploy audit audit-advisories k6-smoke k6-load \
    k6-spike k6-soak k6-live k6-breakpoint load chroot-test rollout-test compat-test bench-writes bench-overload bench-instances \
    bench-rankings bench-reads bench-streams bench-live bench-compare bench-limits bench-page balance

help: ## List the commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## Build and start the server, with an embedded database unless DATABASE_URL is set
	@[ -n "$$DATABASE_URL" ] || scripts/ensure-postgres
	@command -v npm >/dev/null && scripts/build-web || echo 'The page is not built: that needs Node 20 and npm.' >&2
	cargo run --release

test: ## Run every test, against a real PostgreSQL and a real Redis
	@scripts/ensure-postgres
	@scripts/ensure-redis
	@scripts/ensure-program pgbouncer
	@scripts/test-types
	@scripts/test-web
	@DETERMINISTIC=1 EXAMPLES=25 scripts/fuzz-api
	cargo test --lib --tests
	cargo test --package idlewatt-load

web: ## Build the page into web/dist; the next build of the server embeds it
	@scripts/build-web

web-types: ## Make the types of the page's client again, after a change of the API
	cargo run --quiet -- openapi >target/openapi.json
	@scripts/ensure-node && scripts/web-modules
	cd web && npm run --silent types

test-web: ## The page: types, lints, unit tests, size, and a real browser against a real server
	@scripts/test-web

test-types: ## Types of a TypeScript client from the OpenAPI document: a call of every operation compiles
	@scripts/test-types

fuzz-api: ## EXAMPLES=500 generated calls of each operation: the server does what the OpenAPI document says, without a 5xx
	@EXAMPLES=$${EXAMPLES:-500} scripts/fuzz-api

test-pooler: ## Run the tests of the API with a pooler in transaction mode in front of every database
	@scripts/ensure-postgres
	@scripts/ensure-redis
	@scripts/ensure-program pgbouncer
	TEST_DATABASE_POOLER=1 cargo test --test api

test-telemetry: ## Run the tests of the exporters (OpenTelemetry, Sentry), which a default build omits
	@scripts/ensure-postgres
	@scripts/ensure-redis
	cargo test --features otlp,sentry --test process exporting

check: ## Formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo clippy --all-targets --features otlp,sentry -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --no-deps --quiet

check-deploy: ## Check the files of deployments against their schemas, and test the alerts
	@scripts/check-deploy

audit: $(CARGO_DENY) ## Check licences, sources and unwanted crates, from the lock file
	@# A build fetches the crates of this platform; the audit reads those of all platforms.
	cargo fetch --locked --quiet
	$(CARGO_DENY) --offline --all-features check bans licenses sources

audit-advisories: $(CARGO_DENY) ## Check for known vulnerabilities; needs the network
	$(CARGO_DENY) check advisories

.tools/bin/cargo-deny:
	cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --quiet --root .tools

k6-smoke: ## Fifty players for half a minute, against BASE_URL or a server of its own
	@scripts/k6 smoke

k6-load: ## PLAYERS=100 players who join, play for DURATION=1m, and leave
	@scripts/k6 load

k6-spike: ## PLAYERS=300 players who join at once
	@scripts/k6 spike

k6-soak: ## PLAYERS=50 players for DURATION=1h
	@scripts/k6 soak

k6-live: ## PLAYERS=50 players with a socket each for DURATION=30s, and an operator who sends announcements
	@scripts/k6 live

k6-breakpoint: ## More and more players, up to PLAYERS=2000, until a threshold breaks
	@scripts/k6 breakpoint

load: ## PLAYERS=1000 players for DURATION=30 seconds, native; plots the latencies in target/load.svg
	@scripts/load

chroot-test: ## Run a server with only the files of the container; as root
	@scripts/chroot-test

rollout-test: ## Restart two instances behind haproxy in turn, ROUNDS=10 times, under 500 requests/s: none may fail
	@scripts/rollout-test

compat-test: ## Run the previous version, REF, on this schema: alone, beside this one, and after a roll-back
	@scripts/compat-test

bench-writes: ## Durable clicks beside pgbench, in turn on one database
	@bench/writes

bench-overload: ## Twice the clicks that can be served: accepted ones, refused ones, memory
	@bench/overload

bench-live: ## Sockets: memory, fan-out beside Socket.IO, calls, states, a storm, clients that do not read
	@bench/live

bench-instances: ## Database work if every request goes to another instance
	@bench/instances

bench-rankings: ## Boards of a million players: pages, ranks, a rebuild, memory
	@bench/rankings

bench-reads: ## Reads beside a bare handler, in turn, with and without a Redis
	@bench/reads

bench-streams: ## Events appended and read, beside one transaction an event by pgbench
	@bench/streams

bench-compare: ## Reads and clicks of the program BEFORE and of this one, in alternating pairs: medians of the ratios
	@bench/compare "$$BEFORE"

bench-page: ## The page: first load, processor time of the rising number, memory over MINUTES=10
	@bench/page

bench-limits: ## The limiter off, in process and with Redis, in turn; refusals; one hammering player
	@bench/limits

balance: ## Rewrite docs/balance.md and its plot after a change of sql/catalogue.json
	UPDATE_DOCS=1 cargo test --test balance
