// Handles answers without casts, as a page does: unions can be narrowed, and every case is handled.
import { type Client, type Schemas, unreachable } from "./client";

/** A problem as text for people. If the document gains a code, this does not compile until the code is handled. */
export function explain(problem: Schemas["Problem"]): string {
  const id: string = problem.request_id;
  switch (problem.code) {
    case "invalid_request":
    case "validation_failed":
      return problem.errors.map((error) => `${error.field} ${error.message}`).join("; ");
    case "insufficient_energy":
      return `${problem.required - problem.available} is missing`;
    case "requirement_not_met":
      return problem.requires === undefined ? problem.detail : requirement(problem.requires);
    case "nothing_to_gain":
      return `at ${problem.required_lifetime_energy}`;
    case "version_mismatch":
      return `the version is ${problem.version}`;
    case "rate_limited":
      return `wait ${problem.retry_after_ms} ms for ${policies[problem.policy]}`;
    case "unauthenticated":
    case "token_expired":
    case "invalid_credentials":
    case "forbidden":
    case "player_banned":
    case "not_found":
    case "method_not_allowed":
    case "already_owned":
    case "username_taken":
    case "already_registered":
    case "payload_too_large":
    case "unsupported_media_type":
    case "idempotency_key_reused":
      return problem.title;
    case "internal":
    case "unavailable":
      return `${problem.detail} (${id})`;
    default:
      return unreachable(problem);
  }
}

const policies: Record<Schemas["RateLimitedProblem"]["policy"], string> = {
  player: "the player",
  address: "the address",
  auth: "signing in",
  login: "the name",
  live: "opening sockets",
};

export function requirement(requirement: Schemas["Requirement"]): string {
  switch (requirement.type) {
    case "generator_owned":
      return `${requirement.count} of ${requirement.generator}`;
    case "lifetime_energy":
      return `${requirement.energy}`;
    default:
      return unreachable(requirement);
  }
}

export function effect(effect: Schemas["Effect"]): string {
  switch (effect.type) {
    case "generator_multiplier":
      return `${effect.generator} times ${effect.multiplier}`;
    case "global_multiplier":
      return `all times ${effect.multiplier}`;
    case "click_flat":
      return `${effect.energy} a click`;
    case "click_share":
      return `${effect.share} of a second`;
    case "offline_cap":
      return `${effect.seconds} s`;
    default:
      return unreachable(effect);
  }
}

export function action(action: Schemas["Action"]): string {
  switch (action.type) {
    case "click":
      return `${action.clicks} clicks`;
    case "buy_generator":
      return action.quantity === "max" ? `all of ${action.id}` : `${action.quantity + 1} of ${action.id}`;
    case "buy_upgrade":
      return action.id;
    default:
      return unreachable(action);
  }
}

export function result(result: Schemas["ActionResult"]): string {
  if (result.status === 200) {
    return `${result.accepted ?? 0} clicks, ${result.purchased ?? 0} bought for ${result.spent ?? 0}`;
  }
  switch (result.code) {
    case "insufficient_energy":
      return `${result.required} of ${result.available}`;
    case "requirement_not_met":
      return result.requires === undefined ? result.detail : requirement(result.requires);
    case "not_found":
    case "already_owned":
      return result.title;
    default:
      return unreachable(result);
  }
}

/** The problems of one operation can be narrowed by status and code. */
export async function buy(call: Client): Promise<string> {
  const answer = await call("buyGenerators", { path: { id: "wind_turbine" }, body: { quantity: 10 } });
  switch (answer.status) {
    case 200: {
      const replayed: "true" | undefined = answer.headers["Idempotency-Replayed"];
      return `${replayed ?? ""} ${answer.body.purchased} for ${answer.body.spent}, ${answer.body.state.energy} left`;
    }
    case 409:
      switch (answer.body.code) {
        case "insufficient_energy":
          return `${answer.body.required}`;
        case "version_mismatch":
          return `${answer.body.version}`;
        case "requirement_not_met":
          return answer.body.detail;
        default:
          return unreachable(answer.body);
      }
    case 429:
    case 503:
      return `after ${answer.headers["Retry-After"] + 1} s`;
    case 401:
      return answer.headers["WWW-Authenticate"];
    case 400:
    case 403:
    case 404:
    case 413:
    case 415:
    case 422:
    case 500:
      return explain(answer.body);
    default:
      return unreachable(answer);
  }
}

export async function poll(call: Client, tag: string): Promise<Schemas["State"] | undefined> {
  const answer = await call("readState", { header: { "If-None-Match": tag } });
  if (answer.status === 304) {
    const same: string = answer.headers.ETag;
    const nothing: undefined = answer.body;
    return same === tag ? nothing : undefined;
  }
  return answer.status === 200 ? answer.body : undefined;
}

/** Every paged list has `entries` of a named type and a cursor that may be null. */
export async function pages(call: Client): Promise<string[]> {
  const ledger = await call("readLedger", {});
  const sessions = await call("listSessions", {});
  const seasons = await call("listSeasons", {});
  const lines: Schemas["LedgerEntry"][] = ledger.status === 200 ? ledger.body.entries : [];
  const open: Schemas["Session"][] = sessions.status === 200 ? sessions.body.entries : [];
  const past: Schemas["Season"][] = seasons.status === 200 ? seasons.body.entries : [];
  const next: string | null = seasons.status === 200 ? seasons.body.next_cursor : null;
  return [next ?? "", ...lines.map((it) => kinds[it.kind]), ...open.map((it) => it.id), ...past.map((it) => it.state)];
}

export const kinds: Record<Schemas["LedgerKind"], string> = {
  generator_purchase: "generators",
  upgrade_purchase: "an upgrade",
  prestige: "prestige",
  grant: "a gift",
};
export const boards: Record<Schemas["Board"], string> = {
  lifetime_energy: "ever",
  energy_per_second: "now",
  season: "this week",
};
export const readiness: Record<Schemas["Readiness"]["status"], boolean> = {
  ok: true,
  degraded: true,
  starting: false,
  draining: false,
};
export const checks: Record<Schemas["Check"]["status"], boolean> = {
  ok: true,
  degraded: true,
  read_only: true,
  down: false,
  disabled: false,
};
export const jobs: Record<Schemas["Job"]["status"], string> = { queued: "", running: "", done: "", dead: "" };
export const rebuilds: Record<Schemas["RankingsRebuild"]["status"], string> = { started: "", running: "" };
export const seasons: Record<Schemas["Season"]["state"], string> = { running: "", closing: "", final: "" };
export const tokens: Record<Schemas["Tokens"]["token_type"], string> = { Bearer: "" };
