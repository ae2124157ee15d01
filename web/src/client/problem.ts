import type { Code, ProblemBody } from "./types";

/**
 * Why a call failed: the server's problem (RFC 9457), or `offline` if there was no answer. Whether a change was made is
 * unknown after `offline` and `unavailable`; a repeat with the same idempotency key finds out.
 */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly code: Code | "offline",
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
    message: string,
    /** The problem as the server sent it. */
    readonly body: ProblemBody | undefined,
    /** Milliseconds after which a repeat may succeed, if the server said so. */
    readonly retryAfterMs: number | undefined,
  ) {
    super(message);
  }

  /** The id of the request, for reports. */
  get requestId(): string | undefined {
    return this.body?.request_id;
  }

  /** Whether the same call may succeed later. */
  get isTransient(): boolean {
    return this.code === "offline" || this.status === 429 || this.status >= 500;
  }

  /** The message about a field of the request, if one was invalid. */
  fieldMessage(field: string): string | undefined {
    const errors = this.body !== undefined && "errors" in this.body ? (this.body.errors ?? []) : [];
    return errors.find((error) => error.field === field)?.message;
  }
}

export function offline(cause: unknown): Problem {
  return new Problem("offline", 0, cause instanceof Error ? cause.message : "no answer", undefined, undefined);
}

/** The problem in an answer whose status is not a success. */
export async function problemOf(response: Response): Promise<Problem> {
  let body: ProblemBody | undefined;
  try {
    body = (await response.json()) as ProblemBody;
  } catch {
    // A proxy may answer with another type.
  }
  const seconds = Number(response.headers.get("Retry-After"));
  const exact = body?.code === "rate_limited" ? body.retry_after_ms : undefined;
  const retryAfterMs = exact ?? (seconds > 0 ? seconds * 1000 : undefined);
  const code = body?.code ?? (response.status >= 500 || response.status === 0 ? "unavailable" : "invalid_request");
  return new Problem(code, response.status, body?.detail ?? body?.title ?? response.statusText, body, retryAfterMs);
}
