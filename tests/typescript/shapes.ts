// Checks which members are always present, may be null or may be absent, and which calls must not compile.
import type { Client, Equal, OperationId, OperationsOfPaths, Schemas } from "./client";
import type { operations } from "api";

type Is<S extends keyof Schemas, M extends keyof Schemas[S], T> = Equal<Schemas[S][M], T>;

/** Compiles only if all elements are `true`. */
type All<T extends true[]> = T;

export type Checks = All<[
  // Always present, and possibly null.
  Is<"State", "username", string | null>,
  Is<"SignedInPlayer", "username", string | null>,
  Is<"OwnedGenerator", "next_cost", number | null>,
  Is<"Season", "ranked_players", number | null>,
  Is<"SeasonResult", "rank", number | null>,
  Is<"Session", "user_agent", string | null>,
  Is<"FoundPlayer", "username", string | null>,
  Is<"FoundPlayer", "banned_at", string | null>,
  Is<"Job", "started_at", string | null>,
  Is<"Job", "finished_at", string | null>,
  Is<"Job", "worker", string | null>,
  Is<"Job", "error", string | null>,
  Is<"Check", "latency_ms", number | null>,
  Is<"LedgerEntryPage", "next_cursor", string | null>,
  Is<"SessionPage", "next_cursor", string | null>,
  Is<"SeasonPage", "next_cursor", string | null>,
  Is<"JobPage", "next_cursor", string | null>,
  Is<"FoundPlayerPage", "next_cursor", string | null>,
  // Always present.
  Is<"Generator", "available", boolean>,
  Is<"Upgrade", "available", boolean>,
  Is<"Upgrade", "requires", Schemas["Requirement"] | null>,
  // Present or absent, never null.
  Equal<Pick<Schemas["State"], "away">, { away?: Schemas["Away"] }>,
  Equal<Pick<Schemas["AppliedAction"], "accepted">, { accepted?: number }>,
  Equal<Pick<Schemas["AppliedAction"], "purchased">, { purchased?: number }>,
  Equal<Pick<Schemas["AppliedAction"], "spent">, { spent?: number }>,
  Equal<Pick<Schemas["GeneratorRequest"], "available">, { available?: boolean }>,
  // `paths` contains exactly the operations of `operations`.
  Equal<OperationsOfPaths, operations[OperationId]>,
]>;

export function invalidCalls(call: Client): void {
  // @ts-expect-error: no such board
  void call("readRankings", { query: { board: "nonsense" } });
  // @ts-expect-error: no such type
  void call("performActions", { body: { actions: [{ type: "clikc", clicks: 5 }] } });
  // @ts-expect-error: clicks have no quantity
  void call("performActions", { body: { actions: [{ type: "click", quantity: 5 }] } });
  // @ts-expect-error: neither a number nor "max"
  void call("buyGenerators", { path: { id: "wind_turbine" }, body: { quantity: "all" } });
  // @ts-expect-error: the id of the generator is missing
  void call("buyGenerators", { body: { quantity: 1 } });
  // @ts-expect-error: a password is missing
  void call("logIn", { body: { username: "ada" } });
  // @ts-expect-error: a body is missing
  void call("sendClicks", {});
  // @ts-expect-error: no such status
  void call("adminListJobs", { query: { status: "lost" } });
  // @ts-expect-error: no such operation
  void call("dance", {});
}
