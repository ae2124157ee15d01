// The page in a real browser, against a real server: what a person does, and what may go wrong meanwhile.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { Redis, Server } from "./server.mjs";

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const WAIT = 20_000;

let browser;
let server;

before(async () => {
  server = await Server.start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"],
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A visit in a fresh browser. Faults are what the console and the content security policy complain about. */
class Visit {
  static async begin(options = {}, to = server) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US", ...options });
    const visit = new Visit(context, to);
    await visit.open();
    return visit;
  }

  constructor(context, to) {
    this.context = context;
    this.server = to;
    this.faults = [];
  }

  /** Opens another tab, which is this visit's page from then on. */
  async open(path = "/") {
    this.page = await this.context.newPage();
    this.page.setDefaultTimeout(WAIT);
    this.page.on("console", (message) => message.type() === "error" && this.faults.push(message.text()));
    this.page.on("pageerror", (error) => this.faults.push(String(error)));
    await this.page.goto(this.server.url + path);
    await this.until("the game is shown", async () => (await this.connection()) === "online");
    return this.page;
  }

  at(id) {
    return this.page.getByTestId(id);
  }

  async connection() {
    return this.at("connection").getAttribute("data-state");
  }

  /** The shown energy. */
  async energy(page = this.page) {
    return Number(await page.getByTestId("energy").textContent());
  }

  async until(what, condition) {
    const end = Date.now() + WAIT;
    for (;;) {
      if (await condition()) return;
      assert.ok(Date.now() < end, `waited in vain: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async click(times) {
    for (let click = 0; click < times; click += 1) await this.at("click").click();
  }

  /** Waits until the server has everything. */
  saved() {
    return this.until("everything is saved", async () => (await this.at("connection").textContent()).includes("saved"));
  }

  async register(username, password = "correct horse") {
    await this.at("register-open").click();
    await this.at("register-username").fill(username);
    await this.at("register-password").fill(password);
    await this.at("register-submit").click();
    await this.until("the name is taken", async () => (await this.at("register-open").count()) === 0);
  }

  /** Ends the visit. Faults that the test has caused itself are expected. */
  async end(expected = /^$/) {
    const faults = this.faults.filter((it) => !expected.test(it));
    await this.context.close();
    assert.deepEqual(faults, []);
  }
}

const NETWORK = /Failed to load resource|net::ERR/;

describe("the page", { concurrency: false }, () => {
  it("lets a newcomer play at once, and find the same workshop after a reload", async () => {
    const visit = await Visit.begin();
    assert.equal(await visit.page.locator("dialog[open]").count(), 0);
    assert.equal(await visit.at("energy").textContent(), "0.0");
    await visit.click(12);
    await visit.until("the clicks are shown", async () => (await visit.energy()) === 12);
    await visit.saved();
    await visit.at("buy-hand_crank").click();
    await visit.until("it is bought", async () => (await visit.energy()) < 5);
    const first = await visit.energy();
    await visit.until("energy rises", async () => (await visit.energy()) > first);
    await visit.page.reload();
    await visit.until(
      "the machine is still there",
      async () => (await visit.page.getByText("0.15 per second").count()) === 1,
    );
    await visit.end();
  });

  it("shows all controls without a menu", async () => {
    const visit = await Visit.begin();
    for (const id of [
      "energy",
      "click",
      "buy-hand_crank",
      "upgrade-work_gloves",
      "language",
      "ranking",
      "register-open",
      "sign-out",
      "connection",
    ]) {
      const box = await visit.at(id).boundingBox();
      assert.ok(box !== null && box.y + box.height <= 900 && box.x + box.width <= 1280, `${id} is not in view`);
    }
    await visit.end();
  });

  it("agrees with another tab of the same browser", async () => {
    const visit = await Visit.begin();
    const first = visit.page;
    await visit.click(5);
    await visit.saved();
    const second = await visit.open();
    await visit.until("the other tab shows it", async () => (await visit.energy(second)) === 5);
    await visit.click(4);
    await visit.until("the first tab follows", async () => (await visit.energy(first)) === 9);
    await visit.end();
  });

  it("goes on without a network, and sends everything when it is back", async () => {
    const visit = await Visit.begin();
    await visit.click(3);
    await visit.saved();
    await visit.context.setOffline(true);
    await visit.until("the page notices", async () => (await visit.connection()) === "offline");
    await visit.click(6);
    assert.equal(await visit.energy(), 9);
    await visit.context.setOffline(false);
    await visit.until("the page is back", async () => (await visit.connection()) === "online");
    await visit.saved();
    await visit.page.reload();
    await visit.until("nothing is lost", async () => (await visit.energy()) === 9);
    await visit.end(NETWORK);
  });

  it("loses nothing when the server restarts in play", async () => {
    const own = await Server.start();
    const visit = await Visit.begin({}, own);
    await visit.click(4);
    await visit.saved();
    await own.end("SIGKILL");
    await visit.click(5);
    await visit.until("the page notices", async () => (await visit.connection()) === "offline");
    await own.run();
    await visit.until("the page is back", async () => (await visit.connection()) === "online");
    await visit.saved();
    assert.equal(await visit.energy(), 9);
    await visit.page.reload();
    await visit.until("it is stored", async () => (await visit.energy()) === 9);
    await visit.end(NETWORK);
    await own.stop();
  });

  it("renews a token that the server refuses in play", async () => {
    const visit = await Visit.begin();
    let refused = 0;
    await visit.page.route("**/api/v1/me/actions", async (route) => {
      if (refused++ > 0) return route.continue();
      const body = JSON.stringify({ code: "token_expired", status: 401, title: "", detail: "", request_id: "x" });
      return route.fulfill({ status: 401, contentType: "application/problem+json", body });
    });
    await visit.click(3);
    await visit.saved();
    assert.equal(await visit.energy(), 3);
    // Sent again; clicks that came later may have a call of their own.
    assert.ok(refused >= 2, `${refused} calls`);
    await visit.end(/401/);
  });

  it("goes on after a token that expired before the page expected it", async () => {
    const own = await Server.start({ ACCESS_TOKEN_TTL_SECONDS: "5" });
    const visit = new Visit(await browser.newContext({ locale: "en-US" }), own);
    // As on a computer that slept: the page believes that its token is valid.
    await visit.context.route(/auth\/(guest|refresh)$/, async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      body.tokens.expires_in = 900;
      return route.fulfill({ response, json: body });
    });
    const statuses = [];
    visit.context.on("response", (response) => {
      if (response.url().includes("/me")) statuses.push(response.status());
    });
    await visit.open();
    await visit.until("a token is refused", async () => statuses.includes(401));
    await visit.click(5);
    await visit.saved();
    await visit.until("a later token is refused", async () => statuses.filter((it) => it === 401).length > 1);
    await visit.click(2);
    await visit.saved();
    assert.equal(await visit.energy(), 7);
    assert.equal(await visit.connection(), "online");
    await visit.end(/401/);
    await own.stop();
  });

  it("tells a banned player, and goes on when the ban ends", async () => {
    const visit = await Visit.begin();
    await visit.register("banned_for_a_while");
    await visit.click(4);
    await visit.saved();
    const { entries } = await server.admin("GET", "/players?query=banned_for_a_while");
    await server.admin("POST", `/players/${entries[0].player_id}/ban`, { reason: "a test" });
    await visit.at("blocked").waitFor();
    await visit.page.reload();
    await visit.at("blocked").waitFor();
    assert.equal(await visit.page.getByText("This player is banned").count(), 1);
    await server.admin("POST", `/players/${entries[0].player_id}/unban`, { reason: "a test" });
    await visit.page.reload();
    await visit.until("the player plays on", async () => (await visit.energy()) === 4);
    await visit.end(/403/);
  });

  it("loads again if a roll-out takes its program away", async () => {
    const visit = new Visit(await browser.newContext({ locale: "en-US" }), server);
    let missing = 0;
    await visit.context.route(/assets\/index-.*\.js$/, (route) => {
      missing += 1;
      return missing > 2 ? route.continue() : route.fulfill({ status: 404, body: "" });
    });
    await visit.open();
    assert.equal(missing, 3);
    await visit.end(/404/);
  });

  it("waits when the limit says so, and loses nothing", async () => {
    const visit = await Visit.begin();
    let refused = 0;
    await visit.page.route("**/api/v1/me/actions", async (route) => {
      if (refused++ > 1) return route.continue();
      const body = {
        code: "rate_limited",
        status: 429,
        title: "",
        detail: "",
        request_id: "x",
        policy: "player",
        retry_after_ms: 300,
      };
      return route.fulfill({
        status: 429,
        contentType: "application/problem+json",
        headers: { "Retry-After": "1" },
        body: JSON.stringify(body),
      });
    });
    await visit.click(3);
    await visit.saved();
    assert.equal(await visit.connection(), "online");
    assert.equal(await visit.energy(), 3);
    assert.ok(refused >= 3);
    await visit.end(/429/);
  });

  it("lets a guest take a name, leave, and come back; the next player sees nothing of it", async () => {
    const visit = await Visit.begin();
    await visit.click(7);
    await visit.saved();
    await visit.register("ada");
    assert.equal(await visit.energy(), 7);
    await visit.at("sign-out").click();
    assert.equal(await visit.page.locator("dialog[open]").count(), 0);
    await visit.until("another guest plays", async () => (await visit.at("register-open").count()) === 1);
    assert.equal(await visit.energy(), 0);
    await visit.page.reload();
    await visit.until("it plays at once", async () => (await visit.connection()) === "online");
    assert.equal(await visit.energy(), 0);
    await visit.at("register-open").click();
    await visit.page.getByRole("button", { name: "I have a name already" }).click();
    await visit.at("register-username").fill("ada");
    await visit.at("register-password").fill("wrong horse");
    await visit.at("register-submit").click();
    await visit.page.getByText("The username or the password is wrong.").waitFor();
    await visit.at("register-password").fill("correct horse");
    await visit.at("register-submit").click();
    await visit.until("ada is back", async () => (await visit.energy()) === 7);
    await visit.end(/401/);
  });

  it("asks a guest before its workshop is left", async () => {
    const visit = await Visit.begin();
    await visit.click(2);
    await visit.saved();
    await visit.at("sign-out").click();
    await visit.at("sign-out-confirm").click();
    await visit.until("a new guest begins", async () => (await visit.energy()) === 0);
    await visit.end();
  });

  it("speaks Korean, and remembers it", async () => {
    const visit = await Visit.begin();
    await visit.at("language").selectOption("ko");
    await visit.until(
      "the page is Korean",
      async () => (await visit.page.locator("html").getAttribute("lang")) === "ko",
    );
    assert.match(await visit.at("click").textContent(), /크랭크/);
    await visit.page.reload();
    await visit.page.getByRole("heading", { name: "기계" }).waitFor();
    await visit.page.getByRole("heading", { name: "손 크랭크" }).waitFor();
    await visit.end();
  });

  it("shows the rankings, the journal and the account", async () => {
    const visit = await Visit.begin();
    await visit.click(11);
    await visit.saved();
    await visit.at("buy-hand_crank").click();
    await visit.saved();
    await visit.at("ranking").click();
    await visit.page.getByText("(you)").first().waitFor();
    await visit.at("view-journal").click();
    await visit.page.getByText("Bought: Hand crank").waitFor();
    await visit.page.goBack();
    await visit.page.getByRole("heading", { name: "Rankings" }).waitFor();
    await visit.at("view-account").click();
    await visit.page.getByText("this one").waitFor();
    await visit.end();
  });

  it("goes on while Redis is away", async () => {
    const redis = await Redis.start();
    const own = await Server.start({ REDIS_URL: redis.url });
    const visit = await Visit.begin({}, own);
    await visit.click(3);
    await visit.saved();
    await redis.stop();
    await visit.click(4);
    await visit.saved();
    assert.equal(await visit.energy(), 7);
    await visit.end();
    await own.stop();
  });

  it("gives a player all data, and deletes it", async () => {
    const visit = await Visit.begin();
    await visit.click(4);
    await visit.saved();
    await visit.at("view-account").click();
    const download = visit.page.waitForEvent("download");
    await visit.page.getByRole("button", { name: "Download everything about you" }).click();
    const exported = JSON.parse(readFileSync(await (await download).path(), "utf8"));
    assert.equal(exported.state.lifetime_energy, 4);
    await visit.page.getByRole("button", { name: "Delete this player" }).click();
    const begun = visit.page.waitForResponse((it) => it.url().endsWith("/api/v1/auth/guest"));
    await visit.page.getByRole("button", { name: "Delete for ever" }).click();
    await begun;
    await visit.page.goto(server.url);
    await visit.until("a new guest begins", async () => (await visit.connection()) === "online");
    assert.equal(await visit.energy(), 0);
    // A poll of the state that was sent before the deletion may be refused.
    await visit.end(/status of 401/);
  });

  it("buys again while a button is held, and by the keyboard", async () => {
    const visit = await Visit.begin();
    await visit.click(36);
    await visit.saved();
    await visit.at("buy-hand_crank").hover();
    await visit.page.mouse.down();
    await visit.until("two are bought", async () => (await visit.page.getByText("2 owned").count()) === 1);
    await visit.page.mouse.up();
    await visit.saved();
    await visit.page.keyboard.press("Digit1");
    await visit.until("another one is bought", async () => (await visit.page.getByText("3 owned").count()) === 1);
    const before = await visit.energy();
    await visit.page.locator("h2").first().click();
    await visit.page.keyboard.press("Space");
    await visit.until("space cranks", async () => (await visit.energy()) >= before + 1);
    await visit.end();
  });

  it("shows notifications as they come, and forgets them when they are read", async () => {
    const visit = await Visit.begin();
    await visit.saved();
    const unread = () => visit.at("bell").getAttribute("data-unread");
    const send = (type, priority, title) =>
      server.admin("POST", "/notifications", { to: "all", type, priority, title, body: { en: "One\nTwo" } });
    await send("party", "high", { en: "A party", ko: "잔치" });
    await visit.until("the bell shows it", async () => (await unread()) === "1");
    await visit.until("it is told of", async () => (await visit.page.getByText("Important: A party").count()) === 1);
    await visit.at("bell").click();
    await visit.until("it is listed", async () => (await visit.at("news-entry").count()) === 1);
    // Another one comes while the list is open.
    const second = await send("maintenance", "low", { en: "Maintenance" });
    await visit.until("it is listed", async () => (await visit.at("news-entry").count()) === 2);
    assert.match(await visit.at("news-entry").first().textContent(), /Maintenance.*One\nTwo/s);
    await server.admin("DELETE", `/notifications/${second.id}`);
    await visit.until("it is withdrawn", async () => (await visit.at("news-entry").count()) === 1);
    await visit.at("news-read").click();
    await visit.until("nothing is unread", async () => (await unread()) === "0");
    await visit.page.keyboard.press("Escape");
    await visit.until("the list is closed", async () => (await visit.page.locator("dialog[open]").count()) === 0);
    await visit.page.reload();
    await visit.until("the game is shown", async () => (await visit.connection()) === "online");
    await visit.at("bell").click();
    await visit.until("it is still listed", async () => (await visit.at("news-entry").count()) === 1);
    assert.equal(await unread(), "0");
    await visit.page.keyboard.press("Escape");
    await visit.at("language").selectOption("ko");
    await visit.at("bell").click();
    await visit.until("it is in Korean", async () => (await visit.page.getByText("잔치").count()) > 0);
    await visit.end();
  });

  it("does not tell of what the player has muted", async () => {
    const visit = await Visit.begin();
    await visit.at("bell").click();
    await visit.page.locator("summary").click();
    await visit.at("news-grant").uncheck();
    await visit.until("it is stored", async () => !(await visit.at("news-grant").isChecked()));
    await visit.page.keyboard.press("Escape");
    const players = await server.admin("GET", "/players?limit=1");
    const player = players.entries[0].player_id;
    await server.admin("POST", `/players/${player}/grant`, { energy: 5, reason: "a gift" });
    await visit.until("the energy is there", async () => (await visit.energy()) >= 5);
    const mail = {
      to: { players: [player] },
      type: "other",
      priority: "low",
      title: { en: "Other" },
      body: { en: "!" },
    };
    await server.admin("POST", "/notifications", mail);
    await visit.until("the other one came", async () => (await visit.at("bell").getAttribute("data-unread")) === "1");
    await visit.at("bell").click();
    assert.equal(await visit.at("news-entry").count(), 1);
    await visit.end();
  });

  it("fits a phone", async () => {
    const visit = await Visit.begin({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    for (const path of ["/", "/rankings", "/journal", "/account"]) {
      await visit.page.goto(server.url + path);
      await visit.until("it is shown", async () => (await visit.connection()) === "online");
      const { wide, inner } = await visit.page.evaluate(() => ({
        wide: document.documentElement.scrollWidth,
        inner: innerWidth,
      }));
      assert.ok(wide <= inner, `${path} is ${wide} pixels wide`);
    }
    await visit.end();
  });

  for (const colorScheme of ["dark", "light"]) {
    it(`has no serious fault of accessibility in the ${colorScheme} scheme`, async () => {
      const visit = await Visit.begin({ colorScheme, reducedMotion: "reduce" });
      await visit.click(12);
      for (const path of ["/", "/rankings", "/journal", "/account"]) {
        await visit.page.goto(server.url + path);
        await visit.until("it is shown", async () => (await visit.connection()) === "online");
        await visit.page.evaluate(AXE);
        const found = await visit.page.evaluate(async () => {
          const { violations } = await globalThis.axe.run();
          return violations
            .filter((it) => ["serious", "critical"].includes(it.impact))
            .map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
        });
        assert.deepEqual(found, [], path);
      }
      await visit.end();
    });
  }
});
