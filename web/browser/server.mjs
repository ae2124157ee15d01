// A server of the program, with a database of its own, for tests in a browser.
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PROGRAM = process.env.IDLEWATT ?? new URL("../../target/debug/idlewatt", import.meta.url).pathname;

/** A port on which nobody listens. */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export class Server {
  static async start(environment = {}) {
    const folder = mkdtempSync(join(tmpdir(), "idlewatt-browser-"));
    // As root the database runs as another user, who must be able to pass.
    chmodSync(folder, 0o755);
    const server = new Server(folder, await freePort(), environment);
    await server.run();
    return server;
  }

  constructor(folder, port, environment) {
    Object.assign(this, { folder, port, environment, url: `http://127.0.0.1:${port}` });
  }

  /** Starts the program and waits until it is ready. */
  async run() {
    const environment = {
      PATH: process.env.PATH,
      DATA_DIR: join(this.folder, "data"),
      PORT: String(this.port),
      METRICS_PORT: "0",
      DRAIN_DELAY_SECONDS: "0",
      RUST_LOG: "warn",
      RATE_LIMIT_AUTH_PER_MINUTE: "6000",
      RATE_LIMIT_PER_SECOND: "100",
      RATE_LIMIT_BURST: "500",
      ADMIN_TOKEN: "browser tests' operator",
      ...this.environment,
    };
    this.process = spawn(PROGRAM, [], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    this.log = "";
    this.process.stderr.on("data", (text) => {
      this.log += text;
    });
    await new Promise((resolve, reject) => {
      this.process.once("exit", () => reject(new Error(`the server ended:\n${this.log}`)));
      createInterface(this.process.stdout).once("line", resolve);
    });
    this.process.removeAllListeners("exit");
  }

  /** Ends the program at once or in order, and waits until it has ended. */
  async end(signal = "SIGTERM") {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill(signal);
    await ended;
  }

  async stop() {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A call as an operator. */
  async admin(method, path, body) {
    const response = await fetch(`${this.url}/api/v1/admin${path}`, {
      method,
      headers: { Authorization: `Bearer ${"browser tests' operator"}`, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return response.status === 204 ? undefined : response.json();
  }
}

/** A Redis of a test's own. */
export class Redis {
  static async start() {
    const redis = new Redis();
    const port = await freePort();
    redis.url = `redis://127.0.0.1:${port}/0`;
    const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    redis.process = spawn("redis-server", options, { stdio: ["ignore", "pipe", "ignore"] });
    await new Promise((resolve, reject) => {
      redis.process.once("exit", () => reject(new Error("redis-server ended")));
      createInterface(redis.process.stdout).on("line", (line) => line.includes("Ready to accept") && resolve());
    });
    redis.process.removeAllListeners("exit");
    return redis;
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
  }
}
