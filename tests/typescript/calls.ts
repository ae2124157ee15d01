// Calls every operation without casts. Does not compile if an operation is missing here, or was removed from the
// OpenAPI document.
import type { Answer, Client, OperationId } from "./client";

const id = "0198c2b4-0000-7000-8000-000000000000";

export function calls(call: Client): { [O in OperationId]: () => Promise<Answer<O>> } {
  return {
    createGuest: () => call("createGuest", {}),
    registerPlayer: () =>
      call("registerPlayer", { body: { username: "ada", password: "correct horse", display_name: "Ada" } }),
    logIn: () => call("logIn", { body: { username: "ada", password: "correct horse" } }),
    refreshTokens: () => call("refreshTokens", { body: { refresh_token: "a token" } }),
    logOut: () => call("logOut", {}),
    listSessions: () => call("listSessions", {}),
    endSession: () => call("endSession", { path: { id } }),
    endOtherSessions: () => call("endOtherSessions", {}),
    changePassword: () =>
      call("changePassword", { body: { current_password: "correct horse", new_password: "another horse" } }),
    readCatalog: () => call("readCatalog", { header: { "If-None-Match": '"a tag"' } }),
    readState: () => call("readState", { header: { "If-None-Match": 'W/"a tag"' } }),
    renamePlayer: () => call("renamePlayer", { body: { display_name: "Ada" } }),
    deletePlayer: () => call("deletePlayer", { header: { "Idempotency-Key": "the end" } }),
    sendClicks: () => call("sendClicks", { body: { clicks: 5 } }),
    buyGenerators: () =>
      call("buyGenerators", {
        path: { id: "wind_turbine" },
        header: { "Idempotency-Key": "first" },
        body: { quantity: "max", expected_version: 7 },
      }),
    buyUpgrade: () => call("buyUpgrade", { path: { id: "work_gloves" } }),
    prestige: () => call("prestige", { body: { expected_version: 7 } }),
    performActions: () =>
      call("performActions", {
        body: {
          actions: [
            { type: "click", clicks: 5 },
            { type: "buy_generator", id: "wind_turbine", quantity: 1 },
            { type: "buy_generator", id: "wind_turbine", quantity: "max" },
            { type: "buy_upgrade", id: "work_gloves" },
          ],
        },
      }),
    readLedger: () => call("readLedger", { query: { limit: 10, cursor: "a cursor" } }),
    exportPlayer: () => call("exportPlayer", {}),
    readProfile: () => call("readProfile", { path: { id } }),
    readRankings: () => call("readRankings", { query: { board: "season", limit: 10, offset: 20 } }),
    readOwnRanking: () => call("readOwnRanking", { query: { board: "energy_per_second", around: 3 } }),
    listSeasons: () => call("listSeasons", {}),
    readSeasonRankings: () => call("readSeasonRankings", { path: { id: "2026-w02" } }),
    checkHealth: () => call("checkHealth", {}),
    checkReadiness: () => call("checkReadiness", {}),
    adminReadCatalog: () => call("adminReadCatalog", {}),
    adminReplaceCatalog: () =>
      call("adminReplaceCatalog", {
        header: { "If-Match": '"1"' },
        body: {
          generators: [
            {
              id: "hand_crank",
              name: "Hand crank",
              description: "Turn it.",
              base_cost: 10,
              cost_growth: 1.15,
              base_energy_per_second: 0.1,
            },
          ],
          upgrades: [
            {
              id: "work_gloves",
              name: "Work gloves",
              description: "They grip.",
              cost: 100,
              effect: { type: "generator_multiplier", generator: "hand_crank", multiplier: 2 },
              requires: { type: "generator_owned", generator: "hand_crank", count: 1 },
              available: false,
            },
          ],
        },
      }),
    pollEvents: () => call("pollEvents", { query: { stream: ["announcements@17"], epoch: "5b1c8e0f9a7d2346", wait: 25 } }),
    listStreams: () => call("listStreams", {}),
    listNotifications: () =>
      call("listNotifications", { query: { unread: true, priority: "high", limit: 10 }, header: { "Accept-Language": "ko" } }),
    markNotificationsRead: () => call("markNotificationsRead", { body: { ids: [id] } }),
    deleteNotification: () => call("deleteNotification", { path: { id } }),
    readNotificationSettings: () => call("readNotificationSettings", {}),
    changeNotificationSettings: () => call("changeNotificationSettings", { body: { muted_types: ["grant"] } }),
    adminListNotifications: () => call("adminListNotifications", { query: { limit: 10 } }),
    adminSendNotification: () =>
      call("adminSendNotification", {
        body: {
          to: { players: [id] },
          type: "gift",
          priority: "high",
          title: { en: "A gift", ko: "선물" },
          body: { en: "For you" },
        },
      }),
    adminWithdrawNotification: () => call("adminWithdrawNotification", { path: { id } }),
    adminListJobs: () => call("adminListJobs", { query: { status: "dead" } }),
    adminRetryJob: () => call("adminRetryJob", { path: { id } }),
    adminDiscardJob: () => call("adminDiscardJob", { path: { id } }),
    adminRebuildRankings: () => call("adminRebuildRankings", {}),
    adminSearchPlayers: () => call("adminSearchPlayers", { query: { query: "ada" } }),
    adminReadPlayer: () => call("adminReadPlayer", { path: { id } }),
    adminBanPlayer: () => call("adminBanPlayer", { path: { id }, body: { reason: "a script" } }),
    adminUnbanPlayer: () => call("adminUnbanPlayer", { path: { id } }),
    adminGrantEnergy: () => call("adminGrantEnergy", { path: { id }, body: { energy: 1e12, reason: "a prize" } }),
  };
}
