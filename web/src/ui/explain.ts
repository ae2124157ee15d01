import { Problem } from "../client";
import type { Messages as Texts } from "../i18n/en";

/** The text about a problem, for people. */
export function explain(error: unknown, m: Texts): string {
  const code = error instanceof Problem ? error.code : "other";
  return m.problems[code] ?? (error instanceof Problem && error.body !== undefined ? error.message : "") ?? "";
}
