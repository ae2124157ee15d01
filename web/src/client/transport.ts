import { offline, problemOf } from "./problem";
import type { paths } from "./schema";

type Method = "get" | "post" | "put" | "patch" | "delete";
type MethodsOf<P extends keyof paths> = {
  [M in Method]: paths[P][M] extends { responses: unknown } ? M : never;
}[Method];
type Operation<P extends keyof paths, M extends Method> = paths[P][M];

type BodyOf<O> = O extends { requestBody: { content: { "application/json": infer B } } }
  ? { body: B }
  : O extends { requestBody?: { content: { "application/json": infer B } } }
    ? { body?: B }
    : object;
type PathOf<O> = O extends { parameters: { path: infer P } } ? { path: P } : object;
type QueryOf<O> = O extends { parameters: { query?: infer Q } } ? { query?: Q } : object;

/** The parameters and the body of an operation, as the OpenAPI document describes them. */
export type RequestOf<P extends keyof paths, M extends Method> = BodyOf<Operation<P, M>> &
  PathOf<Operation<P, M>> &
  QueryOf<Operation<P, M>> &
  Extras;

/** The body of an operation's successful answer; `undefined` if it has none. */
export type ResultOf<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer R }
    ? R extends { 200: { content: { "application/json": infer B } } }
      ? B
      : R extends { 201: { content: { "application/json": infer B } } }
        ? B
        : undefined
    : never;

/** What a call may have in addition. */
export interface Extras {
  /** The `Idempotency-Key`: a repeat with the same key has no further effect. */
  key?: string;
  /** The `ETag` of the last answer. While nothing has changed the result is `undefined`. */
  ifNoneMatch?: string;
  /** An access token; without it the call is anonymous. */
  token?: string;
  signal?: AbortSignal;
  /** The language of texts in the answer, unless the player has chosen one. */
  language?: string;
  /** Milliseconds after which the call counts as `offline`, if it takes longer than others. */
  timeoutMs?: number;
  /** Sends the request even if the page is being closed. */
  keepalive?: boolean;
}

/** An answer: its body, its entity tag, and when the request was sent and the answer arrived, in performance time. */
export interface Answer<T> {
  /** `undefined` after `ifNoneMatch` if nothing has changed. */
  body: T | undefined;
  etag: string | undefined;
  sentAt: number;
  receivedAt: number;
}

/** Sends a request and answers its result, or throws a `Problem`. */
export type Transport = <P extends keyof paths, M extends MethodsOf<P>>(
  method: M,
  path: P,
  request: RequestOf<P, M>,
) => Promise<Answer<ResultOf<P, M>>>;

export interface TransportOptions {
  /** The address of the server, without a slash at the end; the page's own origin by default. */
  baseUrl?: string;
  fetch?: typeof fetch;
  /** Milliseconds after which a call without an answer counts as `offline`. */
  timeoutMs?: number;
}

interface Loose extends Extras {
  body?: unknown;
  path?: Record<string, string>;
  query?: Record<string, string | number | boolean | readonly string[] | undefined>;
}

export function createTransport(options: TransportOptions = {}): Transport {
  const { baseUrl = "", timeoutMs = 10_000 } = options;
  const send = options.fetch ?? ((input: RequestInfo | URL, init?: RequestInit) => fetch(input, init));
  return async (method, path, typed) => {
    const request: Loose = typed;
    const headers: Record<string, string> = {};
    if (request.body !== undefined) headers["Content-Type"] = "application/json";
    if (request.token !== undefined) headers["Authorization"] = `Bearer ${request.token}`;
    if (request.key !== undefined) headers["Idempotency-Key"] = request.key;
    if (request.ifNoneMatch !== undefined) headers["If-None-Match"] = request.ifNoneMatch;
    if (request.language !== undefined) headers["Accept-Language"] = request.language;
    const timeout = AbortSignal.timeout(request.timeoutMs ?? timeoutMs);
    const init: RequestInit = {
      method: method.toUpperCase(),
      headers,
      // The session cookie is needed for requests to a configured origin of the same site.
      credentials: "include",
      signal: request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]),
    };
    if (request.body !== undefined) init.body = JSON.stringify(request.body);
    if (request.keepalive === true) init.keepalive = true;
    const sentAt = performance.now();
    let response: Response;
    try {
      response = await send(baseUrl + address(path, request), init);
    } catch (cause) {
      throw offline(cause);
    }
    if (!response.ok && response.status !== 304) throw await problemOf(response);
    const receivedAt = performance.now();
    const isEmpty = response.status === 304 || response.status === 204;
    try {
      const body = isEmpty ? undefined : await response.json();
      return { body, etag: response.headers.get("ETag") ?? undefined, sentAt, receivedAt };
    } catch (cause) {
      throw offline(cause);
    }
  };
}

function address(path: string, request: Loose): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(request.path?.[name] ?? ""));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) {
    const values = Array.isArray(value) ? value : [value];
    for (const it of values) if (it !== undefined) query.append(name, String(it));
  }
  const text = query.toString();
  return text === "" ? filled : `${filled}?${text}`;
}
