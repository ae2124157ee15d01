// The types of the API that clients use, from the OpenAPI document.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Action = Schemas["Action"];
export type Announcement = Schemas["Announcement"];
export type ActionResult = Schemas["ActionResult"];
export type ActionsOutcome = Schemas["ActionsOutcome"];
export type Board = Schemas["Board"];
export type Catalog = Schemas["Catalog"];
export type Effect = Schemas["Effect"];
export type Generator = Schemas["Generator"];
export type LedgerEntry = Schemas["LedgerEntry"];
export type Notification = Schemas["Notification"];
export type OwnRanking = Schemas["OwnRanking"];
export type Quantity = Schemas["Quantity"];
export type RankingEntry = Schemas["RankingEntry"];
export type Rankings = Schemas["Rankings"];
export type Requirement = Schemas["Requirement"];
export type Season = Schemas["Season"];
export type SeasonRankings = Schemas["SeasonRankings"];
export type Session = Schemas["Session"];
export type SignedIn = Schemas["SignedIn"];
export type State = Schemas["State"];
export type StreamEvent = Schemas["Event"];
export type Tokens = Schemas["Tokens"];
export type UnreadCounts = Schemas["UnreadCounts"];
export type Upgrade = Schemas["Upgrade"];

/** What the server answers instead of a result. */
export type ProblemBody = Schemas["Problem"];
/** The stable code of a problem. */
export type Code = ProblemBody["code"];
