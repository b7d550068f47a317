// A program of this repository, an example as a rule, as a process of its own, which a test may kill and start again.
//
// The folder of the built programs comes from `PARTYRS_EXAMPLES_DIR`; `cargo xtask test` sets it.
// Nothing may stay behind: a server and its data end with the test that started it, and, should the
// test runner itself be stopped, with this process.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { within } from "./waiting.mjs";

/** The top of the repository, where examples look for their files, as under `cargo run`. */
const TOP = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PROBE_EVERY_MS = 20;

/**
 * Starts the example `name` for the test `t`, on a free port and with a data folder of its own.
 *
 * It is ready when this returns. `env` is added to the environment; `args` tells the arguments for a
 * port, for a program that takes it there.
 */
export async function startServer(t, name, env = {}, args = () => []) {
  const server = new Server(name, await freePort(), env, args);
  t.after(() => server.end());
  await server.start();
  return server;
}

/** Runs the example `name` until it exits by itself: its exit code and all that it printed. */
export async function runToExit(t, name, env = {}) {
  const server = new Server(name, await freePort(), env);
  t.after(() => server.end());
  server.spawn();
  await within(server.exited, `\`${name}\` exits`);
  return { code: server.code, printed: server.printed };
}

class Server {
  /** All that the process printed, over all its lives. */
  printed = "";
  /** Its exit code; null while it runs and after a signal. */
  code = null;
  /** Resolves when the process that was started last has ended. */
  exited = Promise.resolve();

  #process = null;

  constructor(name, port, env, args = () => []) {
    this.name = name;
    this.port = port;
    this.env = env;
    this.args = args(port);
    /** As `PartySocket` wants it. */
    this.host = `127.0.0.1:${port}`;
    this.data = mkdtempSync(join(tmpdir(), `partyrs-${name}-`));
    alive.add(this);
  }

  url(path = "/") {
    return `http://${this.host}${path}`;
  }

  socketUrl(path) {
    return `ws://${this.host}${path}`;
  }

  spawn() {
    const folder = process.env.PARTYRS_EXAMPLES_DIR;
    if (!folder) throw new Error("PARTYRS_EXAMPLES_DIR is not set; run `cargo xtask test`");
    const started = spawn(join(folder, this.name), this.args, {
      cwd: TOP,
      env: { ...process.env, PARTYRS_ADDR: this.host, PARTYRS_DATA: this.data, ...this.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const print = (chunk) => (this.printed += chunk);
    started.stdout.on("data", print);
    started.stderr.on("data", print);
    this.#process = started;
    this.exited = new Promise((resolve) => {
      // `error` means that there is no such program: then nothing else will come.
      started.on("error", (error) => {
        print(`${error.message}; has \`cargo build --workspace --bins\` been run?`);
        this.#process = null;
        resolve();
      });
      // `close` rather than `exit`, so that all it printed has been read.
      started.on("close", (code) => {
        this.code = code;
        this.#process = null;
        resolve();
      });
    });
  }

  /** Starts it and waits until its port answers. */
  async start() {
    this.spawn();
    let over = false;
    const gone = this.exited.then(() => {
      if (!over) throw new Error(`\`${this.name}\` ended before it served:\n${this.printed}`);
    });
    const answers = async () => {
      while (!over && !(await portAnswers(this.port))) await pause(PROBE_EVERY_MS);
    };
    try {
      await within(Promise.race([answers(), gone]), `\`${this.name}\` answers on its port`);
    } finally {
      over = true;
    }
  }

  /** Ends the process at once, as a power cut would: it gets no chance to tidy up. */
  async kill() {
    this.#process?.kill("SIGKILL");
    await within(this.exited, `\`${this.name}\` is gone`);
  }

  /** Asks the process to end and gives its exit code. */
  async stop() {
    this.#process?.kill("SIGTERM");
    await within(this.exited, `\`${this.name}\` stops`);
    return this.code;
  }

  /** Ends the process and removes its data. */
  async end() {
    await this.kill();
    this.remove();
  }

  /** As `end`, without waiting: for the end of this process. */
  remove() {
    this.#process?.kill("SIGKILL");
    rmSync(this.data, { recursive: true, force: true, maxRetries: 5 });
    alive.delete(this);
  }
}

/** Servers that still have a process or a folder. */
const alive = new Set();
process.on("exit", () => alive.forEach((server) => server.remove()));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/**
 * A port that nobody listens on.
 *
 * It lies below the range from which the system takes ports for outgoing connections: a client that
 * dials a dead server again and again would in the end be given that port itself, and keep it.
 */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await portIsFree(port)) return port;
  }
}

function portIsFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function portAnswers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => resolve(false));
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
