// The types of a client's transport: the request and the answer of each operation, derived from the OpenAPI document.
import type { components, operations, paths } from "api";

export type Schemas = components["schemas"];
export type OperationId = keyof operations;

type Body<O extends OperationId> = operations[O] extends {
  requestBody: { content: { "application/json": infer B } };
}
  ? { body: B }
  : operations[O] extends { requestBody?: { content: { "application/json": infer B } } }
    ? { body?: B }
    : object;

/** Path, query and header parameters, and the body. */
export type Request<O extends OperationId> = operations[O]["parameters"] & Body<O>;

type Content<R> = R extends { content: infer C } ? (C extends object ? C[keyof C] : undefined) : undefined;
type Responses<O extends OperationId> = operations[O]["responses"];

/** The answer. It is a union that is discriminated by `status`. */
export type Answer<O extends OperationId> = {
  [S in keyof Responses<O>]: {
    status: S;
    headers: Responses<O>[S] extends { headers: infer H } ? H : never;
    body: Content<Responses<O>[S]>;
  };
}[keyof Responses<O>];

export type Client = <O extends OperationId>(operation: O, request: Request<O>) => Promise<Answer<O>>;

type Operation<P> = { [M in keyof P]-?: P[M] extends { responses: unknown } ? P[M] : never }[keyof P];

/** All operations that are reachable through `paths`. */
export type OperationsOfPaths = { [P in keyof paths]: Operation<paths[P]> }[keyof paths];

/** Whether two types are the same. */
export type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** A call compiles only if all cases of a union were handled before. */
export function unreachable(rest: never): never {
  throw new Error(`unknown case: ${JSON.stringify(rest)}`);
}
