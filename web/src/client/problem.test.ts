import { describe, expect, it } from "vitest";
import { problemOf } from "./problem";

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });

describe("problemOf", () => {
  it("takes the exact time of a refusal by the limit", async () => {
    const body = { code: "rate_limited", detail: "wait", retry_after_ms: 87, policy: "player" };
    const problem = await problemOf(answer(429, body, { "Retry-After": "1" }));
    expect([problem.code, problem.retryAfterMs, problem.isTransient]).toEqual(["rate_limited", 87, true]);
  });

  it("takes a page of a proxy as unavailable", async () => {
    const problem = await problemOf(answer(502, "<h1>Bad Gateway</h1>", { "Retry-After": "3" }));
    expect([problem.code, problem.retryAfterMs, problem.isTransient]).toEqual(["unavailable", 3000, true]);
  });

  it("finds the message about a field", async () => {
    const errors = [{ field: "username", message: "is too short" }];
    const problem = await problemOf(answer(422, { code: "validation_failed", detail: "d", errors }));
    expect(problem.fieldMessage("username")).toBe("is too short");
    expect(problem.fieldMessage("password")).toBeUndefined();
    expect(problem.isTransient).toBe(false);
  });
});
